"""What the fake cluster does when it is steered: as the coordinator would, on rows that were made up."""

from __future__ import annotations

import time
import zlib
from collections.abc import Mapping
from typing import Any, Literal

from msgspec import to_builtins
from msgspec.structs import replace

from bus.api import (
    Affected,
    Cancelled,
    Changed,
    Effect,
    Job,
    JobChanged,
    Node,
    NodeChanged,
    Outlook,
    Plan,
    PlannedGroup,
    Resolved,
    Submitted,
    Task,
    TaskChanged,
    TaskCounts,
)
from bus.bulk import BulkSteer, BulkSteered, Undo, revision_of, total_of
from bus.client import Change
from bus.errors import ApiError, Error
from bus.requests import WhatIf
from bus.scheduling import Scheduler
from bus.spec import JobSpec
from bus.units import parse_array
from bus.values import JobState, NodeAdmin, Resources, TaskState
from tui.client.fake_displacement import displaced
from tui.client.fake_world import World, not_found
from tui.view.actions import ADMIN_VERBS, OPPOSITES

Mode = Literal["off", "shadow", "on"]

OVER = frozenset({TaskState.COMPLETED, TaskState.FAILED, TaskState.TIMEOUT, TaskState.CANCELLED})
COUNTED_AS = {TaskState.TIMEOUT: "failed", TaskState.RETRYING: "queued", TaskState.REASSIGNED: "queued"}


class FakeActions:
    """A part of FakeCluster: `done` holds what was asked, in order."""

    world: World
    done: list[tuple[str, str]]
    specs: dict[int, dict[str, Any]]
    mode: Mode

    def change(self, change: Change) -> None:
        """Tell the feed."""
        raise NotImplementedError

    def _check(self, operation: str) -> None:
        raise NotImplementedError

    async def submit(self, spec: JobSpec | None = None) -> Submitted:
        assert spec is not None
        self._check("submit")
        number, size, now_s = len(self.world.jobs) + 1, tasks_of(spec), time.time()
        self.done.append(("submit", str(number)))
        self.specs[number] = to_builtins(spec)
        job = Job(
            number=number, id=f"0198c2f4-0000-7000-9000-{number:012d}", name=spec.name or "", user="demo",
            kind=spec.type, priority=spec.priority if isinstance(spec.priority, int) else 5,
            state=JobState.PENDING, counts=TaskCounts(total=size, queued=size), submitted_at=now_s,
        )  # fmt: skip
        self.world.jobs.append(job)
        self._tell(job)
        return Submitted(number=number, id=job.id, tasks=size)

    async def plan(self, spec: JobSpec) -> Plan:
        self._check("plan")
        size = tasks_of(spec)
        group = PlannedGroup(
            name="", first=0, count=size, command=spec.command or [], tool=spec.tool,
            resources=Resources(1000, 64, 0), now={"n-0001": min(size, 8)}, waits=max(0, size - 8),
        )  # fmt: skip
        return Plan(name=spec.name or "", tasks=size, starts_now=min(size, 8), groups=[group])

    async def what_if(self, change: WhatIf) -> Outlook:
        self._check("what_if")
        now_s = time.time()
        waiting = sum(job.counts.queued for job in self.world.jobs)
        effect = Effect(
            tasks=waiting, wait_before_s=600.0, wait_after_s=660.0, slowdown_before=2.0, slowdown_after=2.2,
            later=len(change.drain),
        )  # fmt: skip
        job = next((job for job in reversed(self.world.jobs) if job.counts.queued), None)
        jobs = []
        if job is not None:
            late = Affected(
                job=job.number,
                user=job.user,
                tasks=1,
                starts_before=now_s + 600.0,
                starts_after=now_s + 900.0,
            )
            jobs.append(late)
        outlook = Outlook(change=f"{', '.join(change.drain)} drained", effect=effect, jobs=jobs)
        if change.drain:
            outlook.displacement, outlook.displaced = displaced(
                self.world, change.drain, deadline_s=change.deadline_s, now_s=now_s
            )
        return outlook

    async def scheduler_mode(self, mode: Mode) -> Scheduler:
        self._check("scheduler_mode")
        self.done.append(("scheduler_mode", mode))
        self.mode = mode
        return Scheduler(
            mode=mode, policy="", order="fair", acts="fair", epsilon=0.1, reward_window=100,
            audit=self._audit(),
        )  # fmt: skip

    async def cancel(self, target: str | int) -> Cancelled:
        self._check("cancel")
        number, index = self._target("cancel", target)
        if index is None:
            job = self.world.job(number)
            left = job.counts.total - job.counts.completed - job.counts.failed - job.counts.cancelled
            self.change(self.world.cancel(number, time.time()))
            return Cancelled(tasks=left, audit=self._audit())
        moved = self._move(number, index, TaskState.CANCELLED, frozenset(TaskState) - OVER)
        return Cancelled(tasks=moved, audit=self._audit())

    async def retry(self, target: str | int) -> Changed:
        self._check("retry")
        number, index = self._target("retry", target)
        failed = frozenset({TaskState.FAILED, TaskState.TIMEOUT})
        if index is not None:
            return Changed(tasks=self._move(number, index, TaskState.QUEUED, failed), audit=self._audit())
        counts = self.world.job(number).counts
        self._recount(number, replace(counts, failed=0, queued=counts.queued + counts.failed))
        return Changed(tasks=counts.failed, audit=self._audit())

    async def requeue(self, target: str | int) -> Changed:
        self._check("requeue")
        number, index = self._target("requeue", target)
        started = frozenset({TaskState.ASSIGNED, TaskState.RUNNING})
        if index is not None:
            return Changed(tasks=self._move(number, index, TaskState.QUEUED, started), audit=self._audit())
        counts = self.world.job(number).counts
        self._recount(number, replace(counts, running=0, assigned=0, queued=counts.queued + counts.running))
        return Changed(tasks=counts.running + counts.assigned, audit=self._audit())

    async def prioritize(self, job: str | int, priority: int) -> Changed:
        self._check("priority")
        number, _ = self._target("priority", job)
        self._put(replace(self.world.job(number), priority=priority))
        return Changed(tasks=self.world.job(number).counts.queued, audit=self._audit())

    async def label(self, node: str, labels: Mapping[str, str | None]) -> Node:
        self._check("label")
        self.done.append(("label", node))
        shown = self.world.node(node)
        ours = {name: value for name, value in {**shown.set_labels, **labels}.items() if value is not None}
        agents = {name: value for name, value in shown.labels.items() if name not in shown.set_labels}
        return self._put_node(replace(shown, labels=agents | ours, set_labels=ours))

    async def resolve(self, event: str, *, note: str = "") -> Resolved:
        self._check("resolve")
        self.done.append(("resolve", event))
        events = self.world.events
        position = next((index for index, one in enumerate(events) if one.id == event), None)
        if position is None:
            raise not_found(f"no event {event}")
        events[position] = replace(
            events[position], resolved_at=time.time(), resolved_by="demo", resolution=note
        )
        return Resolved(event=events[position], audit=self._audit())

    async def steer_all(self, asked: BulkSteer) -> BulkSteered:
        self._check("steer_all")
        keys = self.matching(asked.noun, asked.filter)
        now = revision_of(total=len(keys), digest=zlib.crc32(" ".join(keys).encode()))
        if asked.revision not in (0, now):
            message = f"the list has changed: {total_of(asked.revision)} matched, {len(keys)} do now"
            raise ApiError(Error(code="E_STALE", message=message, status=409, hint="look again"))
        answer = BulkSteered(matched=len(keys), changed=len(keys), revision=now, dry_run=asked.dry_run)
        if asked.dry_run:
            return answer
        arguments = {
            "priority": (asked.priority,), "label": (asked.labels,),
        }.get(asked.verb, ())  # fmt: skip
        method = getattr(self, {"priority": "prioritize"}.get(asked.verb, asked.verb))
        undo = self._ways_back(asked, keys)
        for key in keys:
            await method(key, *arguments)
        return replace(answer, audit=self._audit(), undo=undo)

    def _ways_back(self, asked: BulkSteer, keys: list[str]) -> list[Undo]:
        """Each with all that go it."""
        ways: list[Undo] = []
        for key in keys:
            way = self._way_back(asked, key)
            known = next(
                (one for one in ways if way is not None and replace(one, targets=[key]) == way), None
            )
            if known is not None:
                known.targets.append(key)
            elif way is not None:
                ways.append(way)
        return ways

    def _way_back(self, asked: BulkSteer, key: str) -> Undo | None:
        if asked.noun == "node":
            node = self.world.node(key)
            if asked.verb == "label":
                before = {name: node.set_labels.get(name) for name in asked.labels}
                return Undo(verb="label", targets=[key], labels=before)
            return Undo(verb=ADMIN_VERBS[node.goal or node.admin], targets=[key])
        if asked.verb == "priority":
            return Undo(verb="priority", targets=[key], priority=self.world.job(int(key)).priority)
        opposite = OPPOSITES.get(asked.verb)
        return Undo(verb=opposite, targets=[key]) if opposite else None

    def matching(self, noun: str, filter: str) -> list[str]:
        """The names of all that a filter lets through."""
        raise NotImplementedError

    def _audit(self) -> str:
        return f"a{len(self.done)}"

    async def hold(self, job: str | int) -> Changed:
        return self._withhold("hold", job, held=True)

    async def release(self, job: str | int) -> Changed:
        return self._withhold("release", job, held=False)

    async def pause(self, job: str | int) -> Changed:
        return self._stand("pause", job, JobState.PAUSED)

    async def resume(self, job: str | int) -> Changed:
        return self._stand("resume", job, JobState.RUNNING)

    async def cordon(self, node: str, *, reason: str = "") -> Node:
        return self._steer_node("cordon", node, NodeAdmin.INACTIVE, reason=reason)

    async def drain(self, node: str, *, reason: str = "", deadline_s: float | None = None) -> Node:
        return self._steer_node("drain", node, NodeAdmin.DRAINING, reason=reason, deadline_s=deadline_s)

    async def maintenance(self, node: str, *, reason: str = "", deadline_s: float | None = None) -> Node:
        return self._steer_node(
            "maintenance", node, NodeAdmin.DRAINING, reason=reason, deadline_s=deadline_s,
            goal=NodeAdmin.MAINTENANCE,
        )  # fmt: skip

    async def undrain(self, node: str, *, reason: str = "") -> Node:
        return self._steer_node("undrain", node, NodeAdmin.ACTIVE, reason=reason)

    def with_spec(self, job: Job) -> Job:
        """A job as `job.show` tells it: with what was submitted."""
        made_up = {"name": job.name, "command": ["python3", f"{job.name}.py"], "priority": job.priority}
        if job.counts.total > 1:
            made_up["array"] = f"0-{job.counts.total - 1}"
        return replace(job, spec=self.specs.get(job.number, made_up))

    def _target(self, verb: str, target: str | int) -> tuple[int, int | None]:
        """Note what was asked; raises ApiError where there is no such thing."""
        self.done.append((verb, str(target)))
        number, _, index = str(target).partition(".")
        self.world.job(int(number))
        return int(number), int(index) if index else None

    def _withhold(self, verb: str, target: str | int, *, held: bool) -> Changed:
        self._check(verb)
        number, _ = self._target(verb, target)
        job = replace(self.world.job(number), held=held)
        self._put(job)
        return Changed(tasks=job.counts.queued + job.counts.pending, audit=self._audit())

    def _stand(self, verb: str, target: str | int, state: JobState) -> Changed:
        self._check(verb)
        number, _ = self._target(verb, target)
        job = self.world.job(number)
        if job.state.is_terminal:
            raise ApiError(Error(code="E_CONFLICT", message=f"job {number} is over: nothing of it runs"))
        started = job.counts.running or job.counts.completed
        job = replace(job, state=state if state is JobState.PAUSED or started else JobState.PENDING)
        self._put(job)
        return Changed(tasks=job.counts.running, audit=self._audit())

    def _move(self, number: int, index: int, state: TaskState, among: frozenset[TaskState]) -> int:
        """Bring one task to `state` where it is in one of `among`; how many were."""
        tasks = self.world.tasks(number)
        if index >= len(tasks):
            raise not_found(f"no task {number}.{index}")
        task = tasks[index]
        if task.state not in among:
            return 0
        now_s = time.time()
        tasks[index] = moved = replace(
            task, state=state, node=None, ended_at=now_s if state in OVER else None, exit_code=None
        )
        self.change(feed_of(moved, now_s))
        job = self.world.job(number)
        before, after = (COUNTED_AS.get(one, str(one)) for one in (task.state, state))
        counts = {before: getattr(job.counts, before) - 1, after: getattr(job.counts, after) + 1}
        self._recount(number, replace(job.counts, **counts))
        return 1

    def _recount(self, number: int, counts: TaskCounts) -> None:
        left = counts.total - counts.completed - counts.failed - counts.cancelled
        job = self.world.job(number)
        state = JobState.RUNNING if left and job.state.is_terminal else job.state
        self._put(replace(job, counts=counts, state=state, ended_at=None if left else job.ended_at))

    def _put(self, job: Job) -> None:
        self.world.jobs[job.number - 1] = job
        self._tell(job)

    def _tell(self, job: Job) -> None:
        self.change(
            JobChanged(number=job.number, state=job.state, counts=job.counts, at=time.time(), held=job.held)
        )

    def _steer_node(
        self,
        verb: str,
        name: str,
        admin: NodeAdmin,
        *,
        reason: str,
        deadline_s: float | None = None,
        goal: NodeAdmin | None = None,
    ) -> Node:
        self._check(verb)
        self.done.append((verb, name))
        deadline = None if deadline_s is None else time.time() + deadline_s
        node = self.world.node(name)
        return self._put_node(replace(node, admin=admin, goal=goal, deadline=deadline, reason=reason))

    def _put_node(self, node: Node) -> Node:
        nodes = self.world.nodes
        nodes[nodes.index(self.world.node(node.name))] = node
        self.change(NodeChanged(node=node.name, health=node.health, admin=node.admin, at=time.time()))
        return replace(node, audit=self._audit())


def tasks_of(spec: JobSpec) -> int:
    """How many tasks a job would have."""
    if spec.tasks:
        return len(spec.tasks)
    return (
        len(spec.for_each)
        if isinstance(spec.for_each, list)
        else parse_array(spec.array).count
        if spec.array
        else 1
    )


def feed_of(task: Task, now_s: float) -> TaskChanged:
    """What the feed says of a task that changed."""
    return TaskChanged(
        job=task.job, index=task.index, state=task.state, node=task.node, fence=task.fence,
        exit_code=task.exit_code, at=now_s,
    )  # fmt: skip
