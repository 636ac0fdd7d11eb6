"""From a job as written to the tasks it means: `derive(spec)` is pure and deterministic.

The coordinator derives again from the stored spec when it starts, so what a stored spec means must
never change; a new meaning needs a new `v`. All faults of a spec are reported at once, with their paths.

    command | tool                  -> one task
    array "0-99%10" | for_each | matrix
                                    -> one group: a range of tasks, at most n of them at once
    tool with a merge, for_each     -> group "map", and one task "merge" that needs it
    tasks                           -> one group an entry, with `needs` between them
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from sys import intern
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from msgspec import Struct

from bus.instants import parse_instant
from bus.item_lists import ItemList
from bus.matrix import Matrix, parse_matrix
from bus.refusal import quote
from bus.spec import Constraints, JobSpec, ResourceSpec, TaskSpec
from bus.units import (
    ArrayRange,
    UnitError,
    parse_array,
    parse_cpu_millis,
    parse_duration_s,
    parse_gpu_millis,
    parse_mbps,
    parse_priority,
    parse_size_mib,
)
from bus.values import GPU_MILLI, JobKind, Resources, TaskSettings, TaskState, UserName
from coordinator.core import checks, contents, tools
from coordinator.core.checkpoint_specs import checkpointing_of
from coordinator.core.children import maker
from coordinator.core.conditions import Condition, Need
from coordinator.core.container_specs import container_of, features_of, network_of
from coordinator.core.effects import Fault
from coordinator.core.gang_specs import gang_of
from coordinator.core.model import Awaited, Group, Job, Shape, Values, shape_of
from coordinator.core.preferences import parse_wishes
from coordinator.core.retrying import parse_retry_on
from coordinator.core.scheduler.wishes import Wishes
from coordinator.core.volumes import features_of as volume_features
from coordinator.core.volumes import mounts_of

T = TypeVar("T")
R = TypeVar("R")

# Thousands of jobs a second say the same few amounts, most of them by default; a refusal is not kept.
_remember = lru_cache(maxsize=512, typed=True)
_duration_s, _cpu_millis = _remember(parse_duration_s), _remember(parse_cpu_millis)
_size_mib, _mbps = _remember(parse_size_mib), _remember(parse_mbps)
_gpu_millis = _remember(parse_gpu_millis)

_NO_ARRAY = ArrayRange((), 0)
_NO_MATRIX = Matrix((), ())
NO_LISTS: Mapping[str, ItemList] = {}
_DEFAULT_RESOURCES = ResourceSpec()
TASKS_MAX = 1_000_000
EXPLICIT_TASKS_MAX = 10_000

_ENTRY_FIELDS = (
    "command", "tool", "input", "array", "for_each", "matrix", "max_parallel", "gang", "config",
)  # fmt: skip
"""What a job that lists its tasks says in each of them."""


class Part(Struct, frozen=True):
    """One group to be: everything but its place in a job."""

    name: str | None
    count: int
    settings: TaskSettings
    command: tuple[str, ...]
    input: dict[str, Any] | None
    needs: tuple[Need, ...]
    values: Values | None
    limit: int
    max_failures: int | None = None


class Derived(Struct, frozen=True):
    """A spec that is in order: the job's name and its groups, in the order of their task numbers."""

    name: str
    priority: int
    parts: tuple[Part, ...]
    after: tuple[tuple[int, Condition], ...] = ()
    wishes: Wishes | None = None  # of all parts
    start_at_s: float | None = None

    @property
    def tasks(self) -> int:
        return sum(part.count for part in self.parts)

    def settings_of(self, index: int) -> TaskSettings:
        """Those of the task of that number. Raises IndexError."""
        first = 0
        for part in self.parts:
            if index < first + part.count:
                return part.settings
            first += part.count
        raise IndexError(index)


def derive(
    spec: JobSpec, owner: UserName, lists: Mapping[str, ItemList] = NO_LISTS
) -> Derived | tuple[Fault, ...]:
    """The groups that `spec` means, or everything that is wrong with it.

    `lists`: the content that its `for_each` points to, by hash; of those that are not there only the length
    is known, which is enough for who does not ask what a task stands for.
    """
    faults: list[Fault] = []
    deriver = _Deriver(spec, owner, faults, lists=lists)
    parts = deriver.parts()
    priority = deriver.priority()
    start_at_s = deriver.start_at_s()
    checks.check_job(spec, faults)
    faults += contents.faults(spec)
    after = checks.parse_after(spec.after, faults)
    checks.check_corresponding(spec, after, faults)
    wishes = parse_wishes(spec.constraints, faults) if spec.constraints is not None else None
    if not faults:
        total = sum(part.count for part in parts)
        if total > TASKS_MAX:
            faults.append(
                Fault(
                    code="E_ARRAY",
                    message="too many tasks in one job",
                    got=f"{total} tasks",
                    expected=f"at most {TASKS_MAX}",
                    hint="submit several jobs",
                )
            )
    if faults:
        return tuple(faults[: checks.FAULTS_MAX])
    name = spec.name or deriver.default_name()
    return Derived(name, priority, tuple(parts), after, wishes, start_at_s)


def build_job(
    derived: Derived, *, spec: JobSpec, job_id: UUID, number: int, owner: UserName, submitted_at: float
) -> Job:
    """The job as the cluster keeps it; its groups wait (`pending`) where they, or the job, need others."""
    job = Job(job_id, number, owner, derived.name, spec.type, derived.priority, submitted_at, derived.tasks)
    job.after = [Awaited(earlier, condition) for earlier, condition in derived.after]
    if derived.start_at_s is not None and derived.start_at_s > submitted_at:
        job.start_at_s = derived.start_at_s
    job.parent = checks.parse_parent(spec.parent, [])
    job.made_by = maker(spec.dedupe_key or "", job.parent)
    job.on_failure, job.max_failures = spec.on_failure, spec.max_failures or 0
    waits = bool(job.after) or job.start_at_s is not None
    first = 0
    shapes: dict[int, Shape] = {}
    wishes = derived.wishes.of_job(number) if derived.wishes is not None else None
    for part in derived.parts:
        shape = shapes.get(id(part.settings))
        if shape is None:
            near = contents.nearby(part.settings, derived.wishes, number)
            shape = shapes[id(part.settings)] = shape_of(part.settings, near or wishes)
        state = TaskState.PENDING if part.needs or waits else TaskState.QUEUED
        job.groups.append(
            Group(
                job=job,
                first=first,
                count=part.count,
                settings=part.settings,
                shape=shape,
                command=part.command,
                name=part.name,
                input=part.input,
                needs=tuple(need.name for need in part.needs),
                conditions=tuple(need.condition for need in part.needs),
                values=part.values,
                limit=part.limit,
                max_failures=part.max_failures,
                untouched_state=state,
                cursor=first,
            )
        )
        if state is TaskState.PENDING:
            job.pending += part.count
        else:
            job.queued += part.count
        first += part.count
    for group in job.groups:
        for name in group.needs:
            job.dependents.setdefault(name, []).append(group)
    job.needed.update((group.name, group) for group in job.groups if group.name in job.dependents)
    return job


class _Deriver:
    """Walks one spec. Settings that are equal become one object, to keep a queued task small."""

    def __init__(
        self, spec: JobSpec, owner: UserName, faults: list[Fault], *, lists: Mapping[str, ItemList]
    ) -> None:
        self._spec = spec
        self._lists = lists
        self._owner = owner
        self._faults = faults
        self._interned: dict[bytes, TaskSettings] = {}
        self._base: dict[str | None, TaskSettings] = {}
        self._retry_on = parse_retry_on(spec.retry_on, faults)
        self._checkpoint = checkpointing_of(spec.checkpoint, faults)

    def parts(self) -> list[Part]:
        spec = self._spec
        checks.check_kind(spec, self._faults)
        if spec.tasks is None:
            whole = TaskSpec(
                command=spec.command,
                tool=spec.tool,
                input=spec.input,
                array=spec.array if spec.frames is None else spec.frames,
                for_each=spec.for_each,
                matrix=spec.matrix,
                max_parallel=spec.max_parallel,
                gang=spec.gang,
            )
            return self._parts_of(whole, "")
        parts: list[Part] = []
        if not spec.tasks:
            self._fault("E_REQUIRED", "a list of tasks must not be empty", "/tasks")
        if len(spec.tasks) > EXPLICIT_TASKS_MAX:
            self._fault(
                "E_TOO_MANY",
                "too many tasks in one message",
                "/tasks",
                got=f"{len(spec.tasks)} tasks",
                expected=f"at most {EXPLICIT_TASKS_MAX}",
                hint="use `array` or `for_each`, which stay one short message",
            )
            return parts
        for field in _ENTRY_FIELDS:
            if getattr(spec, field) is not None:
                self._fault("E_FIELD", f"{field} and tasks exclude each other", f"/{field}")
        for position, task in enumerate(spec.tasks):
            parts += self._parts_of(task, f"/tasks/{position}")
        checks.check_needs(spec.tasks, self._faults)
        return parts

    def default_name(self) -> str:
        spec = self._spec
        if spec.tool:
            return spec.tool
        command = spec.command or (spec.tasks[0].command if spec.tasks else None)
        name = command[0].rsplit("/", 1)[-1][: checks.NAME_MAX] if command else ""
        return name if name.strip() and checks.is_plain(name) else "job"

    def priority(self) -> int:
        """1 to 10, whether it was written as a number or a word."""
        return self._parse(parse_priority, self._spec.priority, field="/priority", default=1)

    def start_at_s(self) -> float | None:
        """Seconds of the Unix epoch; whether they have passed is not known here."""
        asked = self._spec.start_at
        return None if asked is None else self._parse(parse_instant, asked, field="/start_at", default=0.0)

    def _fault(
        self, code: str, message: str, field: str, *, got: str = "", expected: str = "", hint: str = ""
    ) -> None:
        self._faults.append(
            Fault(code=code, message=message, field=field, got=got, expected=expected, hint=hint)
        )

    def _parse(self, parse: Callable[[T], R], value: T, *, field: str, default: R, code: str = "") -> R:
        try:
            return parse(value)
        except UnitError as error:
            got = quote(error.got)
            self._fault(code or error.code, "", field, got=got, expected=error.expected)
            return default

    def _parts_of(self, task: TaskSpec, path: str) -> list[Part]:
        """The groups of one entry: one, or two for a tool with a merge over a list of items."""
        called = self._spec.called.get(task.tool) if task.tool else None
        known = [*tools.TOOLS, *self._spec.called]
        required = tools.required_keys(task, called)
        checks.check_what(task, path, tools=known, required=required, faults=self._faults)
        values, count, limit = self._elements(task, path)
        settings = self._settings(task, path, task.tool)
        spec_config = self._spec.config
        command = tuple(task.command or ()) or (called.command if called is not None else ())
        if command:
            command = (intern(command[0]), *command[1:])
        merge = None
        if task.tool and task.for_each is not None:
            merge = tools.TOOLS.get(tools.built_in(task.tool))
        part = Part(
            name=task.name if merge is None else task.name or "map",
            count=count,
            settings=settings,
            command=command,
            input=task.input if spec_config is None else {**(task.input or {}), "config": spec_config},
            needs=checks.parse_needs(task.needs),
            values=values,
            limit=limit,
            max_failures=task.max_failures if self._spec.tasks is not None else None,
        )
        if merge is None:
            return [part]
        assert part.name is not None
        merging = Part(
            name="merge" if task.name is None else f"{task.name}-merge",
            count=1,
            settings=self._settings(task, path, merge),
            command=(),
            input=task.input,
            needs=(Need(part.name, Condition.OK),),
            values=None,
            limit=0,
        )
        return [part, merging]

    def _elements(self, task: TaskSpec, path: str) -> tuple[Values | None, int, int]:
        """What the elements stand for, how many there are, and how many of them may run at once (0: all)."""
        checks.check_elements(task, path, self._faults)
        limit = task.max_parallel or 0
        if task.array is not None:
            array = self._parse(parse_array, task.array, field=f"{path}/array", default=_NO_ARRAY)
            if array.count:
                return Values(array=array), array.count, array.limit or limit
        elif task.matrix is not None:
            matrix = self._parse(parse_matrix, task.matrix, field=f"{path}/matrix", default=_NO_MATRIX)
            if matrix.names:
                return Values(matrix=matrix), matrix.count, limit
        elif isinstance(task.for_each, str):
            kept = self._spec.lists.get(task.for_each)
            if kept is not None:
                listed = self._lists.get(kept.sha256) or ItemList(kept.items)
                return Values(listed=listed, listed_as=kept.sha256), listed.count, limit
            self._fault(
                "E_NOT_FOUND", "the list was not looked up", f"{path}/for_each", got=quote(task.for_each)
            )
        elif task.for_each is not None:
            items = task.for_each
            if not items or not all(items):
                self._fault(
                    "E_ARRAY", "an empty item or list", f"{path}/for_each", expected="a list of items"
                )
            if any("*" in item or "?" in item for item in items[:1]) and len(items) == 1:
                self._fault(
                    "E_ARRAY",
                    "a pattern instead of files",
                    f"{path}/for_each",
                    got=quote(items[0]),
                    expected="the list of files",
                    hint="`corral submit --for-each` expands patterns where the files are",
                )
            return Values(items=tuple(items)), len(items), limit
        return None, 1, 0

    def _settings(self, task: TaskSpec, path: str, tool: str | None) -> TaskSettings:
        """Settings of one entry; entries that override nothing share one object."""
        own = (
            task.resources, task.env, task.workdir, task.stdin, task.timeout, task.grace, task.retries,
            task.gang, task.image, task.network_policy, task.models, task.files, task.volumes,
        )  # fmt: skip
        plain = all(value is None for value in own)
        if plain and tool in self._base:
            return self._base[tool]
        settings = self._make_settings(task, path if not plain else "", tool)
        settings = self._interned.setdefault(msgspec.msgpack.encode(settings), settings)
        if plain:
            self._base[tool] = settings
        return settings

    def _make_settings(self, task: TaskSpec, path: str, tool: str | None) -> TaskSettings:
        spec = self._spec
        timeout = spec.timeout if task.timeout is None else task.timeout
        grace = spec.grace if task.grace is None else task.grace
        constraints = spec.constraints or Constraints()
        checks.check_constraints(constraints, self._faults)
        env = {**spec.env, **(task.env or {})}
        checks.check_env(env, f"{path}/env", self._faults)
        workdir = task.workdir or spec.workdir
        checks.check_workdir(workdir, f"{path}/workdir", self._faults)
        retries = spec.retries if task.retries is None else task.retries
        checks.check_range(retries, 0, 10, field=f"{path}/retries", faults=self._faults)
        backoff = self._duration(spec.backoff, "/backoff", 1.0, code="E_RANGE")
        backoff_max = self._duration(spec.backoff_max, "/backoff_max", backoff, code="E_RANGE")
        if backoff_max < backoff:
            got, least = quote(spec.backoff_max), f"at least the backoff of {backoff:g} s"
            self._fault("E_RANGE", "", "/backoff_max", got=got, expected=least)
        called = spec.called.get(tool) if tool else None
        if timeout is None and called is not None:
            timeout = called.timeout
        asked = task.resources or spec.resources or tools.default_resources(called, _DEFAULT_RESOURCES)
        resources = self._resources(asked, f"{path}/resources")
        gang = gang_of(task, path, self._faults, config=spec.config)
        container = container_of(spec, task, path, self._faults)
        network = network_of(
            spec, task, path, container=container, gang=gang is not None, faults=self._faults
        )
        brought = contents.places(spec, task)
        volumes = mounts_of(spec, task, path, self._faults)
        settings = TaskSettings(
            resources=resources,
            user=self._owner,
            env=env,
            workdir=workdir,
            stdin=task.stdin if task.stdin is not None else spec.stdin,
            timeout_s=None if timeout is None else self._duration(timeout, f"{path}/timeout", 1.0),
            grace_s=10.0 if grace is None else self._duration(grace, f"{path}/grace", 10.0),
            max_retries=retries,
            retry_on_timeout=self._retry_on.timeout,
            retry_on_failure=self._retry_on.failure,
            retry_exit_codes=self._retry_on.exit_codes,
            retry_signals=self._retry_on.signals,
            backoff_s=backoff,
            backoff_max_s=backoff_max,
            idempotent=spec.idempotent,
            on_disconnect=spec.on_disconnect,
            preemptible=spec.preemptible,
            labels=constraints.labels,
            nodes=tuple(constraints.nodes),
            gpu_types=checks.parse_gpu_types(asked.gpu_type, f"{path}/resources/gpu_type", self._faults),
            gpu_mem_mib=self._size(asked.gpu_memory, f"{path}/resources/gpu_memory"),
            gpu_uuid=checks.parse_gpu_uuid(
                asked.gpu_uuid, resources, gang, f"{path}/resources/gpu_uuid", self._faults
            ),
            pty=spec.type is JobKind.INTERACTIVE and tool is None,
            gang=gang,
            container=container,
            network=network,
            features=(
                *features_of(container, network, gpus=resources.gpu_millis),
                *contents.features_of(brought),
                *volume_features(volumes),
            ),
            volumes=volumes,
            streaming=spec.type is JobKind.STREAMING,
            frames=spec.frames is not None,
            checkpoint=self._checkpoint,
            contents=brought,
        )
        return tools.bound(settings, tool, called, path=path, faults=self._faults)

    def _duration(self, value: float | str, field: str, default: float, *, code: str = "") -> float:
        return self._parse(_duration_s, value, field=field, default=default, code=code)

    def _size(self, value: int | str, field: str) -> int:
        return self._parse(_size_mib, value, field=field, default=0)

    def _resources(self, asked: ResourceSpec, path: str) -> Resources:
        gpus, gpu_milli = divmod(
            self._parse(_gpu_millis, asked.gpu, field=f"{path}/gpu", default=GPU_MILLI), GPU_MILLI
        )
        if not (gpus or gpu_milli):
            for name in ("gpu_type", "gpu_memory", "gpu_uuid"):
                if getattr(asked, name):
                    self._fault(
                        "E_FIELD", f"{name} without gpu", f"{path}/{name}", hint="say how many GPUs: gpu"
                    )
        return Resources(
            self._parse(_cpu_millis, asked.cpu, field=f"{path}/cpu", default=0),
            self._size(asked.memory, f"{path}/memory"),
            gpus,
            self._size(asked.storage, f"{path}/storage"),
            self._parse(_mbps, asked.net, field=f"{path}/net", default=0),
            gpu_milli,
        )
