"""`past.why`: why a task was where it was at a moment, or what kept it back then, as far as that is kept.

What was placed is explained by what its attempt kept of the decision. Of what waited it is told what rows
and recorded changes tell: its state, who was before it, how its prerequisites stood, and how nodes stood.
Nothing is made up: `unknown` names what nobody keeps.
"""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from uuid import UUID

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from bus import api, past
from bus.errors import ApiError
from bus.filter import Condition, Operator
from bus.refusal import refusal
from bus.spec import JobSpec
from bus.then import attempt_then
from bus.units import counted
from bus.values import JobState, NodeName, TaskRef, TaskState, UserName
from coordinator.api.access import viewer
from coordinator.api.find import Finder
from coordinator.api.moments import bounded, moment
from coordinator.api.placed import Placed
from coordinator.clock import Clock
from coordinator.core import why
from coordinator.core.conditions import with_condition
from coordinator.core.intake import build_job, derive
from coordinator.core.model import TERMINAL, Cluster, Group, Node
from coordinator.core.scheduler.order import aged
from coordinator.core.scheduler.policies import Mode
from coordinator.loop import Loop
from coordinator.store.past import NodeThen, Past
from coordinator.store.reads import Reads
from coordinator.store.rows import UserRow

WAITING = (TaskState.PENDING, TaskState.QUEUED, TaskState.RETRYING, TaskState.REASSIGNED)
UNKNOWN = ["fair share", "reservations", "priority", "capacity", "labels"]
"""Of what waited. The first two are left out, the others told as they are now."""


class PastReasons:
    """The handler."""

    def __init__(self, loop: Loop, finder: Finder, reads: Reads, store: Past, clock: Clock) -> None:
        self._loop = loop
        self._finder = finder
        self._reads = reads
        self._store = store
        self._clock = clock
        self._placed = Placed(reads)
        self.handlers: dict[str, Callable[[UserRow, Struct], Awaitable[Struct]]] = {"past.why": self.why}

    async def why(self, user: UserRow, request: Struct) -> Struct:
        """`past.why`."""
        assert isinstance(request, past.PastWhy)
        at_s = moment(request.at, "/at", now_s=self._clock.now_s())
        number, index = await self._finder.target(user, request.target, field="/target")
        task = await bounded(self._task(number, index, at_s))
        shown = (
            None if task is None else await self._reads.task(TaskRef(number, task.index), viewer=viewer(user))
        )
        if task is None or shown is None:
            message, hint = f"{request.target} was not there yet", "ask for a later moment"
            raise ApiError(refusal("E_NOT_FOUND", message, field="/at", hint=hint))
        task.attempts = [attempt_then(each, at_s) for each in shown.attempts if each.assigned_at <= at_s]
        if task.state in WAITING:
            return await self._waiting(task, at_s=at_s)
        return await self._placed.why(task, viewer=viewer(user))

    async def _task(self, number: int, index: int | None, at_s: float) -> api.Task | None:
        """As it was then; of a job its first that waited, else the one that started last."""
        if index is not None:
            return await self._store.task_then(number, at_s, _is("index", index))
        waiting = await self._store.task_then(number, at_s, _is("state", *WAITING))
        return waiting or await self._store.task_then(number, at_s, newest=True)

    async def _waiting(self, task: api.Task, *, at_s: float) -> api.Why:
        cluster, ref = self._loop.cluster, str(TaskRef(task.job, task.index))
        job = await self._reads.job(task.job, viewer=None)
        then = await bounded(self._store.job_then(task.job, at_s))
        assert job is not None and then is not None, "its task was there"
        ahead = None
        if task.state is TaskState.QUEUED and not (then.held or then.state is JobState.PAUSED):
            place = aged(task.priority, then.submitted_at, ageing_s=cluster.limits.ageing_s)
            ahead = await bounded(self._ahead(task, then, place, at_s=at_s))
        nodes = nodes_then(await bounded(self._store.nodes_then(at_s)), cluster)
        group = group_then(job, task.index)
        blockers = [*withheld(then), *_again(task)]
        candidates: list[api.Candidate] = []
        if group is not None:
            blockers += await bounded(self._needs(group, task, at_s=at_s))
            blockers += await bounded(self._limit(group, at_s=at_s))
            blockers += off_nodes(nodes, group, owner=UserName(then.user))
            candidates = candidates_then(nodes, group)
        blockers += [replace(each, remedy="") for each in why.line_blocker(ahead)]
        since_s = max(
            (each.ended_at or each.assigned_at for each in task.attempts), default=task.submitted_at
        )
        return api.Why(
            task=ref,
            state=task.state,
            summary=_sentence(ref, blockers, task),
            waiting_s=max(at_s - since_s, 0.0),
            ahead=ahead,
            blockers=blockers,
            attempt=task.fence,
            policy=await bounded(self._policy(at_s)),
            candidates=candidates,
            unknown=UNKNOWN if group is not None else [*UNKNOWN, "nodes"],
        )

    async def _ahead(self, task: api.Task, then: api.Job, place: int, *, at_s: float) -> int:
        """By class and age, as far as rules tell: queued tasks of other jobs, and earlier ones of its own."""
        others = await self._store.queued_before(
            at_s, place, then.submitted_at, task.job, ageing_s=self._loop.cluster.limits.ageing_s
        )
        own = await self._store.states_then(
            task.job, at_s, _is("state", TaskState.QUEUED), Condition("index", Operator.LESS, (task.index,))
        )
        return others + sum(own.values())

    async def _policy(self, at_s: float) -> str:
        """The learned order that acted; "": a static one did, or nothing tells."""
        found = await self._store.snapshots(at_s, 1)
        return found[0].policy if found and found[0].mode == Mode.ON else ""

    async def _needs(self, group: Group, task: api.Task, *, at_s: float) -> list[api.Blocker]:
        """How stood what it waits for: groups of its job, and other jobs."""
        if task.state is not TaskState.PENDING:
            return []
        found = []
        for name, condition in zip(group.needs, group.conditions, strict=True):
            states = await self._store.states_then(task.job, at_s, _is("name", name))
            done, total = states.get(TaskState.COMPLETED, 0), sum(states.values())
            if sum(states.get(state, 0) for state in TERMINAL) == total:
                continue
            said = f"needs {with_condition(name, condition)}: {done} of {total} completed"
            found.append(api.Blocker(code="needs", message=said))
        for each in group.job.after:
            other = await self._store.job_then(each.number, at_s)
            if other is not None and not other.state.is_terminal:
                stood = (
                    f"was {other.state}, {other.counts.completed} of {counted(other.counts.total, 'task')}"
                )
                said = f"runs after {with_condition(each.number, each.condition)}: it {stood} completed"
                found.append(api.Blocker(code="after", message=said))
        return found

    async def _limit(self, group: Group, *, at_s: float) -> list[api.Blocker]:
        if not group.limit:
            return []
        live = sum((await self._store.states_then(
            group.job.number, at_s, _is("state", TaskState.ASSIGNED, TaskState.RUNNING),
            Condition("index", Operator.AT_LEAST, (group.first,)),
            Condition("index", Operator.LESS, (group.end,)),
        )).values())  # fmt: skip
        said = f"{live} of its tasks were live, and the job allows %{group.limit}"
        return [api.Blocker(code="array_limit", message=said)] if live >= group.limit else []


def group_then(job: api.Job, index: int) -> Group | None:
    """What was submitted, derived again; None where what that meant then is refused by now."""
    try:
        spec = msgspec.convert(job.spec, JobSpec)
    except msgspec.ValidationError:
        return None
    derived = derive(spec, UserName(job.user))
    if isinstance(derived, tuple):
        return None
    built = build_job(
        derived, spec=spec, job_id=UUID(job.id), number=job.number, owner=UserName(job.user),
        submitted_at=job.submitted_at,
    )  # fmt: skip
    return built.group_of(index)


def nodes_then(then: Iterable[NodeThen], cluster: Cluster) -> Mapping[NodeName, Node]:
    """Copies of the nodes with the state and the ledger of then; who is gone since is not known."""
    found = {}
    for each in then:
        node = cluster.nodes.get(NodeName(each.name))
        if node is not None:
            was = found[node.name] = copy.copy(node)
            was.health, was.admin, was.admin_reason = each.health, each.admin, each.reason
            was.allocated, was.gpu_taken, was.attempts, was.jobs = each.allocated, {}, {}, {}
            was.overdue = False
    return found


def off_nodes(nodes: Mapping[NodeName, Node], group: Group, *, owner: UserName) -> list[api.Blocker]:
    """What kept it off every node; nothing where one had room. What helps now did not help then."""
    scratch = Cluster(nodes=dict(nodes))
    return [replace(each, remedy="") for each in why.node_blockers(scratch, group.shape, asker=owner)]


def candidates_then(nodes: Mapping[NodeName, Node], group: Group) -> list[api.Candidate]:
    """The nodes with what spoke against them, the free ones first; nobody scored them then."""
    scratch = Cluster(nodes=dict(nodes))
    found = [
        api.Candidate(node=node.name, obstacles=list(why.node_obstacles(scratch, node, group.shape)))
        for node in nodes.values()
    ]
    found.sort(key=lambda each: (len(each.obstacles), each.node))
    return found[: why.CANDIDATES_MAX]


def withheld(then: api.Job) -> Iterator[api.Blocker]:
    """What people kept its job from."""
    if then.held:
        yield api.Blocker(code="held", message=f"job {then.number} was held")
    if then.state is JobState.PAUSED:
        yield api.Blocker(code="paused", message=f"job {then.number} was paused")


def _again(task: api.Task) -> Iterator[api.Blocker]:
    if task.state is TaskState.RETRYING:
        yield api.Blocker(code="backoff", message=f"failed, and was to be retried for time {task.retries}")


def _sentence(ref: str, blockers: Sequence[api.Blocker], task: api.Task) -> str:
    first = f"{ref} waited: {blockers[0].message}" if blockers else f"{ref} waited; nothing kept tells why"
    more = f", and {len(blockers) - 1} more" if len(blockers) > 1 else ""
    if not task.attempts:
        return first + more
    newest = task.attempts[-1]
    ended = f": {newest.message}" if newest.message else ""
    return f"{first}{more}; attempt {newest.fence} on {newest.node} had been {newest.state}{ended}"


def _is(field: str, *values: str | int) -> Condition:
    return Condition(field, Operator.EQUAL, tuple(values))
