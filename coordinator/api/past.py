"""`past.…`: lists and summaries as they were at a moment, what changed between two, and what stands out.

    score of what happens = (count - expected) / sqrt(expected + 1)         counts scatter as Poisson's
    score of a node's use = (mean - mean before) / (deviation before + 2 % of its capacity)

What is expected is what there was in the time before, which is looked at BEFORE times as long.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from bus import api, past
from bus.errors import ApiError
from bus.fields import ALL_TASK_FIELDS, JOB_FIELDS, NODE_FIELDS, TASK_FIELDS
from bus.filter import Condition, Operator, Order
from bus.refusal import quote, refusal
from bus.scheduling import Scheduler
from bus.values import NodeAdmin, NodeHealth, NodeName, Resources
from coordinator.api.access import viewer
from coordinator.api.find import Finder
from coordinator.api.jobs import check_range
from coordinator.api.listing import states_wanted, understand
from coordinator.api.moments import bounded, moment
from coordinator.api.node_list import page
from coordinator.api.scheduler import SNAPSHOTS_SHOWN, snapshot_shown
from coordinator.clock import Clock
from coordinator.core.amounts import RESOURCES, amount_of
from coordinator.core.model import Cluster, Node
from coordinator.core.scheduler.learner import REWARDS
from coordinator.core.scheduler.policies import Mode
from coordinator.core.scheduler.values import rank_in_force
from coordinator.loop import Loop
from coordinator.store.past import Busy, JobThen, Load, NodeThen, Past
from coordinator.store.rows import UserRow

BEFORE = 6
STANDOUTS_MAX = 50
SCORE_LEAST = 2.0
"""What scatters by less than two deviations is as usual."""

NOISE = 0.02
"""Of a node's capacity: a machine that idled perfectly before is not news when it does a little."""

NUMBER_MAX = 2**63 - 1

_NEWEST = Order("number", descending=True)
_NEWEST_TASKS = Order("job", descending=True)
_TIMES_FIRST_S = 0.0
_UNITS = {"cpu": "cores", "memory": "MiB", "gpus": "GPUs", "net": "Mbit/s"}

JOBS_UNKNOWN = ["name", "priority"]
NODES_UNKNOWN = ["labels", "capacity", "version", "suspicion"]
"""What nobody keeps the changes of: told as it is now."""


class Pasts:
    """The handlers."""

    def __init__(self, loop: Loop, finder: Finder, store: Past, clock: Clock) -> None:
        self._loop = loop
        self._finder = finder
        self._store = store
        self._clock = clock
        self.handlers: dict[str, Callable[[UserRow, Struct], Awaitable[Struct]]] = {
            "past.cluster": self.cluster,
            "past.jobs": self.jobs,
            "past.tasks": self.tasks,
            "past.nodes": self.nodes,
            "past.scheduler": self.scheduler,
            "past.changes": self.changes,
            "past.spike": self.spike,
        }

    async def cluster(self, user: UserRow, request: Struct) -> Struct:
        """`past.cluster`."""
        assert isinstance(request, past.PastCluster)
        at_s = self._moment(request.at, "/at")
        await self._loop.barrier()
        nodes = await self._nodes(at_s)
        jobs, tasks = await bounded(self._store.live_then(at_s))
        return summary(nodes, jobs, tasks)

    async def jobs(self, user: UserRow, request: Struct) -> Struct:
        """`past.jobs`: newest first."""
        assert isinstance(request, past.PastJobs)
        at_s = self._moment(request.at, "/at")
        listing = understand(request, user, JOB_FIELDS, _NEWEST, now_s=at_s)
        more = states_wanted(request.states)
        if request.user is not None:
            more += (Condition("user", Operator.EQUAL, (request.user,)),)
        await self._loop.barrier()
        listing = replace(listing, conditions=listing.conditions + more)
        found = await bounded(self._store.jobs(listing, viewer=viewer(user)))
        found.unknown = JOBS_UNKNOWN
        return found

    async def tasks(self, user: UserRow, request: Struct) -> Struct:
        """`past.tasks`: by index; of all jobs the newest first."""
        assert isinstance(request, past.PastTasks)
        at_s = self._moment(request.at, "/at")
        if not request.job:
            return await self._every_task(user, request, at_s=at_s)
        listing = understand(request, user, TASK_FIELDS, Order("index"), now_s=at_s)
        number = await self._finder.job(user, request.job, field="/job")
        await self._loop.barrier()
        listing = replace(listing, conditions=listing.conditions + states_wanted(request.states))
        found = await bounded(self._store.tasks_then(number, listing))
        found.unknown = JOBS_UNKNOWN
        return found

    async def _every_task(self, user: UserRow, request: past.PastTasks, *, at_s: float) -> api.Tasks:
        listing = understand(request, user, ALL_TASK_FIELDS, _NEWEST_TASKS, now_s=at_s)
        await self._loop.barrier()
        listing = replace(listing, conditions=listing.conditions + states_wanted(request.states))
        found = await bounded(self._store.every_task(listing, viewer=viewer(user)))
        found.unknown = JOBS_UNKNOWN
        return found

    async def nodes(self, user: UserRow, request: Struct) -> Struct:
        """`past.nodes`: by name."""
        assert isinstance(request, past.PastNodes)
        at_s = self._moment(request.at, "/at")
        listing = understand(request, user, NODE_FIELDS, Order("name"), now_s=at_s)
        await self._loop.barrier()
        found = page(await self._nodes(at_s), listing)
        found.unknown = NODES_UNKNOWN
        return found

    async def scheduler(self, user: UserRow, request: Struct) -> Struct:
        """`past.scheduler`: as the newest snapshot of then says; each change of mode has one."""
        assert isinstance(request, past.PastScheduler)
        at_s = self._moment(request.at, "/at")
        await self._loop.barrier()
        snapshots = await bounded(self._store.snapshots(at_s, SNAPSHOTS_SHOWN))
        if not snapshots:
            hint = "ask for a later moment"
            raise ApiError(refusal("E_NOT_FOUND", "nothing was learned yet by then", field="/at", hint=hint))
        _, tasks = await bounded(self._store.live_then(at_s))
        newest, cluster = snapshots[0], self._loop.cluster
        return Scheduler(
            mode=newest.mode,
            policy=newest.policy,
            order=cluster.order,
            acts=(newest.policy if newest.mode == Mode.ON else "") or cluster.order,
            rank=rank_in_force(cluster),
            epsilon=newest.epsilon,
            reward_window=REWARDS,
            reward_avg=newest.reward_avg,
            learned=newest.sequence,
            digest=newest.digest,
            queue=tasks.get("queued", 0),
            evidence=newest.evidence,
            snapshots=[snapshot_shown(each) for each in snapshots],
            unknown=["decisions", "test", "forecasts"],
        )

    async def changes(self, user: UserRow, request: Struct) -> Struct:
        """`past.changes`."""
        assert isinstance(request, past.PastChanges)
        until_s = self._clock.now_s() if request.until is None else self._moment(request.until, "/until")
        since_s = self._interval(request.since, until_s)
        await self._loop.barrier()
        check_range(request.before, 0, NUMBER_MAX, field="/before")
        only, store = viewer(user), self._store
        numbers, following = await bounded(
            store.changed_jobs(since_s, until_s, before=request.before, viewer=only)
        )
        before, after = [await bounded(store.jobs_then(numbers, at_s)) for at_s in (since_s, until_s)]
        found = past.Changes(
            since=since_s, until=until_s, jobs=jobs_moved(before, after), exact=not following, next=following
        )
        if not request.before:
            were, are = [await bounded(store.nodes_then(at_s)) for at_s in (since_s, until_s)]
            found.nodes = nodes_moved(were, are)
            happened = await bounded(store.happened(since_s, until_s, viewer=only))
            found.happened = {kind: times for kind, (times, _) in happened.items()}
        return found

    async def spike(self, user: UserRow, request: Struct) -> Struct:
        """`past.spike`."""
        assert isinstance(request, past.PastSpike)
        until_s = self._moment(request.until, "/until")
        since_s = self._interval(request.since, until_s)
        before_s = max(since_s - BEFORE * (until_s - since_s), _TIMES_FIRST_S)
        await self._loop.barrier()
        only, store = viewer(user), self._store
        now = await bounded(store.happened(since_s, until_s, viewer=only))
        usual = await bounded(store.happened(before_s, since_s, viewer=only))
        jobs = await bounded(store.busy_jobs(since_s, until_s, before_s=before_s, viewer=only))
        loads = await bounded(store.loads(since_s, until_s, before_s=before_s))
        found = [*events_standing_out(now, usual), *map(job_standing_out, jobs)]
        for load in loads:
            if (node := self._loop.cluster.nodes.get(NodeName(load.node))) is not None:
                found.append(node_standing_out(load, node.capacity))
        found = [each for each in found if abs(each.score) >= SCORE_LEAST]
        found.sort(key=lambda each: (-abs(each.score), each.kind, each.name))
        return past.Spike(since=since_s, until=until_s, standouts=found[:STANDOUTS_MAX])

    async def _nodes(self, at_s: float) -> list[api.Node]:
        cluster = self._loop.cluster
        return list(nodes_shown(await bounded(self._store.nodes_then(at_s)), cluster, at_s=at_s))

    def _moment(self, at_s: float, field: str) -> float:
        """Raises ApiError."""
        return moment(at_s, field, now_s=self._clock.now_s())

    def _interval(self, since_s: float, until_s: float) -> float:
        """Raises ApiError."""
        if self._moment(since_s, "/since") >= until_s:
            raise ApiError(refusal("E_TIME", field="/since", got=quote(since_s), expected="before /until"))
        return since_s


def nodes_shown(then: Iterable[NodeThen], cluster: Cluster, *, at_s: float) -> Iterable[api.Node]:
    """Nodes as lists show them; what is not kept is as it is now, and who is gone since is not shown."""
    for each in then:
        node = cluster.nodes.get(NodeName(each.name))
        if node is not None:
            yield _node_shown(each, node, at_s=at_s)


def _node_shown(then: NodeThen, node: Node, *, at_s: float) -> api.Node:
    return api.Node(
        name=node.name,
        id=str(node.id),
        health=then.health,
        admin=then.admin,
        kind=node.kind,
        capacity=node.capacity,
        allocated=then.allocated,
        running=then.running,
        waiting=then.waiting,
        load=then.load,
        last_heartbeat_s=0.0 if then.heard_s is None else max(at_s - then.heard_s, 0.0),
        labels=node.labels,
        version=node.version,
        reason=then.reason,
        usage=then.usage,
    )


def summary(nodes: Sequence[api.Node], jobs: dict[str, int], tasks: dict[str, int]) -> api.Cluster:
    """The cluster in a few numbers."""
    active = [
        node for node in nodes if node.health is not NodeHealth.UNREACHABLE and node.admin is NodeAdmin.ACTIVE
    ]
    capacity = sum((node.capacity for node in active), Resources())
    allocated = sum((node.allocated for node in active), Resources())
    shares = [(amount_of(allocated, name), amount_of(capacity, name)) for name in RESOURCES]
    return api.Cluster(
        total_nodes=len(nodes),
        active_nodes=len(active),
        jobs=jobs,
        tasks=tasks,
        capacity=capacity,
        allocated=allocated,
        epoch=0,
        started_at=0.0,
        version="",
        live_jobs=sum(jobs.values()),
        load=max(held / most if most else 0.0 for held, most in shares),
    )


def jobs_moved(before: Iterable[JobThen], after: Iterable[JobThen]) -> list[past.Moved]:
    """Those in another state, the newest first."""
    states = {job.number: job.state for job in before}
    return [
        past.Moved(
            noun="job",
            name=str(job.number),
            before=states.get(job.number, ""),
            after=job.state,
            about=f"{job.name} of {job.user}",
        )
        for job in after
        if states.get(job.number, "") != job.state
    ]


def nodes_moved(before: Iterable[NodeThen], after: Iterable[NodeThen]) -> list[past.Moved]:
    """Those in another state, by name."""
    states = {node.name: _state(node) for node in before}
    moved = [(node, states.get(node.name, "")) for node in after]
    return [
        past.Moved(noun="node", name=node.name, before=was, after=_state(node), about=node.reason)
        for node, was in sorted(moved, key=lambda pair: pair[0].name)
        if was != _state(node)
    ]


def _state(node: NodeThen) -> str:
    worse = node.health is NodeHealth.UNREACHABLE or node.admin is NodeAdmin.ACTIVE
    return str(node.health if worse else node.admin)


def events_standing_out(
    now: dict[str, tuple[int, float]], usual: dict[str, tuple[int, float]]
) -> Iterable[past.Standout]:
    """Kinds of events of which there were more or fewer than before."""
    for kind in sorted({*now, *usual}):
        times, first_s = now.get(kind, (0, None))
        expected = usual.get(kind, (0, 0.0))[0] / BEFORE
        yield past.Standout(
            kind="event",
            name=kind,
            about="events",
            value=float(times),
            expected=expected,
            score=_surprise(times, expected),
            at=first_s,
        )


def job_standing_out(busy: Busy) -> past.Standout:
    """A job whose tasks changed more than before."""
    expected = busy.before / BEFORE
    return past.Standout(
        kind="job",
        name=str(busy.number),
        about=f"{busy.name} of {busy.user}: its tasks changed",
        value=float(busy.times),
        expected=expected,
        score=_surprise(busy.times, expected),
        at=busy.first_s,
    )


def node_standing_out(load: Load, capacity: Resources) -> past.Standout:
    """A node that used more or less of something than before."""
    most = {
        "cpu": capacity.cpu_millis,
        "memory": capacity.mem_mib,
        "gpus": capacity.gpu_millis / 1000,
        "net": capacity.net_mbps,
    }[load.resource]
    scale = 1000.0 if load.resource == "cpu" else 1.0
    usual = load.deviation + NOISE * max(float(most), 1.0)
    return past.Standout(
        kind="node",
        name=load.node,
        about=f"{load.resource} used",
        value=load.value / scale,
        expected=load.before / scale,
        score=(load.value - load.before) / usual,
        unit=_UNITS[load.resource],
    )


def _surprise(times: float, expected: float) -> float:
    return (times - expected) / math.sqrt(expected + 1.0)
