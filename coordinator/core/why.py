"""Why a task waits: everything that keeps it from starting, each with what would remove it.

Pure: it reads the cluster and changes nothing. What is placed is explained by what its attempt kept.
"""

from __future__ import annotations

from collections.abc import Iterator

from bus.api import Blocker, Candidate
from bus.instants import format_instant
from bus.units import counted, format_duration_s
from bus.values import NodeAdmin, NodeHealth, OnDisconnect, TaskState, UserName
from coordinator.core import after
from coordinator.core.amounts import RESOURCES, amount_of, describe, flag, some_of
from coordinator.core.conditions import Condition, Verdict, with_condition
from coordinator.core.gang_why import gang_blocker
from coordinator.core.gpu_health import label, release_command
from coordinator.core.gpu_why import elsewhere, gpus_short, quarantined
from coordinator.core.groups import verdicts
from coordinator.core.model import Attempt, Cluster, Group, Job, Node, Shape, Task
from coordinator.core.parents_why import parents_blocker
from coordinator.core.refusals import lasting, stories
from coordinator.core.releases import RANKS_SINCE
from coordinator.core.scheduler.affinity import scoring
from coordinator.core.scheduler.explain import Explanation
from coordinator.core.scheduler.feasible import LEFT_OUT, fits_now, obstacles, once_ended, other_gpu
from coordinator.core.scheduler.order import standing
from coordinator.core.scheduler.pool import pool_of
from coordinator.core.scheduler.scene import own_entry
from coordinator.core.scheduler.values import Values, acting
from coordinator.core.volume_why import volume_blocker

CANDIDATES_MAX = 16
ENDS_NAMED = 3

_ENDS = {
    Condition.OK: "completed",
    Condition.ANY: "ended",
    Condition.FAILED: "ended, and not all completed",
    Condition.CORRESPONDING: "completed the task of the same number",
}

_OWN_ABILITIES = {
    "container": (
        "run containers",
        "install podman there and start its agent again; corral doctor says more",
    ),
    "container_gpus": (
        "give GPUs to containers",
        "make NVIDIA's CDI specification there (nvidia-ctk cdi generate)",
    ),
    "no_network": ("keep tasks off the network", "allow user namespaces there; or submit it with an --image"),
}
"""What agents find out by trying it, each with its words and what would help."""

_WAITING = frozenset({TaskState.PENDING, TaskState.QUEUED, TaskState.RETRYING, TaskState.REASSIGNED})


def unheard(cluster: Cluster, attempt: Attempt, *, now_s: float) -> str:
    """What becomes of an attempt whose node is silent; "" while that is heard."""
    node = cluster.nodes[attempt.node]
    if not node.overdue:
        return ""
    settings = attempt.task.group.settings
    silent = f"{node.name} has been silent for {now_s - node.last_beat_s:.0f} s"
    if settings.on_disconnect is OnDisconnect.RUN_ON:
        return f"{silent}: it may run on there, and is not given to another node"
    if cluster.brake is not None:
        return f"{silent}; {cluster.brake.reason}"
    lease_s = cluster.limits.unreachable_after_s if settings.idempotent else cluster.limits.lease_s
    left_s = max(node.lease_from_s + lease_s - now_s, 0.0)
    return f"{silent}: queued again in {left_s:.0f} s unless it comes back"


def first_waiting(job: Job) -> int | None:
    """The index of the first task of `job` that waits; None if none does."""
    for group in job.groups:
        found = [task.index for task in (group.tasks or {}).values() if task.state in _WAITING]
        if group.untouched:
            found.append(group.cursor)
        if found:
            return min(found)
    return None


def newest_placed(job: Job) -> int | None:
    """The index of the task that was placed last among those that are assigned or run."""
    live = [
        (task.attempt.assigned_at, task.index)
        for group in job.groups
        for task in (group.tasks or {}).values()
        if task.attempt is not None
    ]
    return max(live)[1] if live else None


def waits(group: Group, index: int) -> bool:
    """Whether the task at `index` waits for a place."""
    task = group.find_task(index)
    return group.is_untouched(index) if task is None else task.state in _WAITING


def blockers(cluster: Cluster, group: Group, index: int, *, now_s: float) -> list[Blocker]:
    """Everything that keeps task `index` of `group` from starting; empty: it is about to be placed."""
    task = group.find_task(index)
    found = [
        *job_blockers(group),
        *_of_start(group.job, now_s=now_s),
        *_of_after(cluster, group.job),
        *_of_needs(group),
        *_of_retry(cluster, group, task, now_s=now_s),
    ]
    if group.full:
        found.append(
            Blocker(
                code="array_limit",
                message=f"{group.live} of its tasks are live, and the job allows %{group.limit}",
                remedy=f"when one of them ends; or submit with a limit above %{group.limit}",
            )
        )
    shape = group.shape if task is None else task.shape
    found += gang_blocker(cluster, shape) + parents_blocker(cluster, shape, asker=group.job.owner)
    found += node_blockers(cluster, shape, asker=group.job.owner)
    return [_of_refusals(cluster, task, each, now_s=now_s) for each in found]


def _of_refusals(cluster: Cluster, task: Task | None, found: Blocker, *, now_s: float) -> Blocker:
    """A blocker of left out nodes with what they said; any other as it is."""
    if task is None or found.code != LEFT_OUT:
        return found
    left = format_duration_s(lasting(cluster, task, now_s=now_s))
    message = "; ".join(stories(cluster, task, now_s=now_s)) or found.message
    remedy = f"in {left}, or when no other node could take it"
    return Blocker(code=LEFT_OUT, message=message, nodes=found.nodes, remedy=remedy)


def line_blocker(ahead: int | None) -> list[Blocker]:
    """What goes first, as a blocker."""
    if not ahead:
        return []
    go = f"{counted(ahead, 'task')} {'goes' if ahead == 1 else 'go'}"
    return [
        Blocker(code="line", message=f"{go} first", remedy="when they are placed; or a higher --priority")
    ]


def job_blockers(group: Group) -> Iterator[Blocker]:
    """What people keep its job from."""
    job = group.job
    if job.held_by is not None:
        yield Blocker(
            code="held",
            message=f"job {job.number} is held by {job.held_by}",
            remedy=f"corral release {job.number}",
        )
    if job.paused_by is not None:
        yield Blocker(
            code="paused",
            message=f"job {job.number} is paused by {job.paused_by}",
            remedy=f"corral resume {job.number}",
        )


def _of_needs(group: Group) -> Iterator[Blocker]:
    if group.untouched_state is not TaskState.PENDING:
        return
    for name, condition, verdict in zip(group.needs, group.conditions, verdicts(group), strict=True):
        needed = group.job.needed[name]
        left = needed.count - needed.completed
        if verdict is not Verdict.MET:
            states = [f"{needed.completed} of {needed.count} completed"]
            states += [f"{needed.live} placed"] if needed.live else []
            waiting = left - needed.live - needed.failed - needed.cancelled
            states += [f"{waiting} waiting"] if waiting else []
            what = with_condition(name, condition)
            first = f"{group.job.number}.{needed.first}"
            yield Blocker(
                code="needs",
                message=f"needs {what} (from task {first} on): {', '.join(states)}",
                remedy=f"when the task of {name} in its place has completed"
                if condition is Condition.CORRESPONDING
                else f"when all of {name} have {_ENDS[condition]}",
            )


def _of_start(job: Job, *, now_s: float) -> Iterator[Blocker]:
    if job.start_at_s is not None:
        left = format_duration_s(max(job.start_at_s - now_s, 0.0))
        message = f"starts at {format_instant(job.start_at_s)}, as its job asks"
        yield Blocker(code="start_at", message=message, remedy=f"in {left}; or submit it without start_at")


def _of_after(cluster: Cluster, job: Job) -> Iterator[Blocker]:
    for each in job.after:
        verdict = after.verdict(cluster, each)
        other = cluster.jobs.get(each.number)
        if verdict is Verdict.NEVER:
            remedy = f"submit it without job {each.number}"
            yield Blocker(code="after", message=after.unmet(each), remedy=remedy)
        elif verdict is Verdict.WAIT and other is not None:
            yield Blocker(
                code="after",
                message=f"runs after {with_condition(each.number, each.condition)}:"
                f" {other.completed} of {counted(other.total, 'task')} completed",
                remedy=f"when job {each.number} has {_ENDS[each.condition]}",
            )


def _of_retry(cluster: Cluster, group: Group, task: Task | None, *, now_s: float) -> Iterator[Blocker]:
    if task is None or task.state is not TaskState.RETRYING:
        return
    due_s = next((due for due, _, ref in cluster.retries if ref == task.ref), now_s)
    yield Blocker(
        code="backoff",
        message="ended, and is started again: its job is a stream"
        if group.settings.streaming
        else f"failed, and is retried for time {task.retries} of {group.settings.max_retries}",
        remedy=f"in {max(due_s - now_s, 0.0):.0f} s",
    )


def node_blockers(cluster: Cluster, shape: Shape, *, asker: UserName) -> list[Blocker]:
    """What keeps tasks of `shape` off every node; empty if one of them could take a task now.

    Of others than `asker` no task is named.
    """
    if not cluster.nodes:
        return [Blocker(code="no_nodes", message="no node has joined", remedy="corral join on a machine")]
    ruled_out: dict[str, list[Node]] = {}
    for node in cluster.nodes.values():
        found = node_obstacles(cluster, node, shape)
        if not found:
            if shape.gang is None:
                return []
            continue  # it has a place for one rank at least
        for code in found:
            ruled_out.setdefault(code, []).append(node)
    return [_of_nodes(cluster, shape, code, nodes, asker=asker) for code, nodes in ruled_out.items()]


def node_obstacles(cluster: Cluster, node: Node, shape: Shape) -> tuple[str, ...]:
    """What the last round saw against `node`, its reservations included."""
    found = obstacles(node, shape)
    return ("reserved",) if not found and node.name in cluster.reserved else found


def _of_nodes(cluster: Cluster, shape: Shape, code: str, nodes: list[Node], *, asker: UserName) -> Blocker:
    """One reason, counted over the nodes that it rules out."""
    kind, _, what = code.partition(":")
    some = f"{len(nodes)} of {len(cluster.nodes)} nodes" if len(nodes) > 1 else f"node {nodes[0].name}"
    plural = len(nodes) > 1
    match kind:
        case "busy":
            message, remedy = _busy(shape, what, nodes, some, asker=asker)
        case "capacity":
            most = max(nodes, key=lambda node: (amount_of(node.capacity, what), node.name))
            message = f"{some} could never hold {describe(what, amount_of(shape.resources, what))}"
            there = amount_of(most.capacity, what)
            remedy = f"ask for {describe(what, there)}, as {most.name} has, or less" if there else ""
        case "label":
            message = f"{some} {'lack' if plural else 'lacks'} the label {what}={dict(shape.labels)[what]}"
            remedy = "give a node that label, or submit without the constraint"
        case "avoid":
            message = f"{some} {'run' if plural else 'runs'} tasks of {_avoided(shape, what)}"
            remedy = f"when they have ended; or submit with --avoid {what}:1, as a wish"
        case "volume" | "writes" | "volume_in_use":
            message, remedy = volume_blocker(cluster, kind, what, nodes, some, asker=asker)
        case "tool":
            message = f"{some} {'do' if plural else 'does'} not have the tool {what}"
            remedy = "when a node with the tool joins"
        case "role" | "can":
            message, remedy = _unable(cluster, kind, what, nodes, some)
        case "node":
            message = f"{some} {'are' if plural else 'is'} not among those asked for: {some_of(shape.nodes)}"
            remedy = "submit without the constraint"
        case "kind":
            message, remedy = f"{some}: {what} nodes run no tasks", "when a node that runs tasks joins"
        case "gpu_type" | "gpu_memory" | "gpu_share":
            message, remedy = gpus_short(shape, kind, nodes, some)
        case "ranks":
            message, remedy = _too_old(nodes, some)
        case "gpu_quarantined":
            message, remedy = quarantined(nodes, some)
        case "gpu_uuid":
            message, remedy = elsewhere(cluster, shape, nodes, some)
        case "gpu_uuid_quarantined":
            held = nodes[0].quarantines[shape.gpu_uuid]
            message = f"{label(nodes[0], shape.gpu_uuid)}, which it names, is in quarantine (E_QUARANTINED): "
            message += held.reason or held.kind
            remedy = release_command(nodes[0], shape.gpu_uuid)
        case "health" | "admin":
            message, remedy = _away(kind, what, nodes)
        case "left_out":
            message = f"{some} could not start it lately, and {'are' if plural else 'is'} left out"
            remedy = "within minutes, or when no other node could take it"
        case "declined":
            message, remedy = f"{some} gave back work that it could not start", "when it is heard again"
        case _:
            message = f"{some_of(node.name for node in nodes)} is kept free for a task that has waited longer"
            remedy = "when that task has started"
    return Blocker(code=code, message=message, nodes=len(nodes), remedy=remedy)


def _unable(cluster: Cluster, kind: str, what: str, nodes: list[Node], some: str) -> tuple[str, str]:
    """Who lacks a role or a capability, and who comes nearest to it."""
    do = "do" if len(nodes) > 1 else "does"
    if kind == "role":
        return f"{some} {do} not have the role {what}", "when an agent that runs such tools joins"
    everywhere = len(nodes) == len(cluster.nodes)
    own = _OWN_ABILITIES.get(what)
    does = own[0] if own is not None else what
    message = f"no agent can {does}" if everywhere else f"the agent of {some} cannot {does}"
    tried = [(node.capabilities[what].level, node) for node in nodes if what in node.capabilities]
    if own is not None:
        faults = sorted({fault for _, node in tried if (fault := node.capabilities[what].fault)})
        return f"{message}{f' ({faults[0]})' if faults else ''}", own[1]
    if not tried:
        return message, f"corral up --can {what} (or corral join) where that is so"
    level, nearest = max(tried, key=lambda each: (each[0], each[1].name))
    fault = nearest.capabilities[what].fault
    why = f" ({fault})" if fault else ""
    return f"{message}; that of {nearest.name} passed {level:.0%} of its tests{why}", (
        f"{nearest.name} could if it passed all of them: mend it, and start its agent again"
    )


def _too_old(nodes: list[Node], some: str) -> tuple[str, str]:
    """Agents of a release that knows no gangs: they would start a rank before the others are there."""
    versions = some_of(sorted({node.version for node in nodes}))
    verb, whose = ("have agents", "their") if len(nodes) > 1 else ("has an agent", "its")
    since = ".".join(map(str, RANKS_SINCE))
    message = f"{some} {verb} of version {versions}, which cannot wait for the other ranks of a gang"
    return message, f"install Corral {since} or newer there, and start {whose} agent again"


def _avoided(shape: Shape, what: str) -> str:
    return "this job, one a node" if what == "self" else f"job {what}, which it avoids"


def _away(kind: str, what: str, nodes: list[Node]) -> tuple[str, str]:
    names = some_of(node.name for node in nodes)
    verb = "are" if len(nodes) > 1 else "is"
    if kind == "health":
        back = "when it is back" if len(nodes) == 1 else "when one is back"
        return f"{names} {verb} {what}", back if what == NodeHealth.UNREACHABLE else "at its next heartbeat"
    word = {NodeAdmin.INACTIVE: "cordoned", NodeAdmin.FAILED: "quarantined"}.get(NodeAdmin(what), what)
    reasons = {node.admin_reason for node in nodes} - {""}
    reason = f": {', '.join(sorted(reasons))}" if reasons else ""
    return f"{names} {verb} {word}{reason}", f"corral undrain {nodes[0].name}"


def _busy(shape: Shape, resource: str, nodes: list[Node], some: str, *, asker: UserName) -> tuple[str, str]:
    """How much is missing where least is, and what would free it."""
    wanted = amount_of(shape.resources, resource)
    nearest = min(nodes, key=lambda node: (_distance(node, shape), node.name))
    free = max(amount_of(nearest.free, resource), 0)
    ending = _ending(nearest, shape)
    ends = [f"when {_named(ending, asker)} {'ends' if len(ending) == 1 else 'end'}"] if ending else []
    if resource == "gpus" and shape.gpu_uuid and not other_gpu(nearest, shape):
        name = label(nearest, shape.gpu_uuid)
        return f"{name}, which it names, is taken", ends[0] if ends else "when it is free"
    lack = "lack" if len(nodes) > 1 else "lacks"
    message = f"{some} {lack} {describe(resource, wanted)}"
    if 0 < free < wanted:
        message += f"; nearest {nearest.name} is short of {describe(resource, wanted - free)}"
    elif free:  # GPUs that are shared, or of another kind
        message += f"; what {nearest.name} has free of them is of no use to it"
    ways = []
    if len(obstacles(nearest, shape)) == 1 and 0 < free < wanted:
        ways.append(f"would start with {flag(resource, free)}")
    return message, ", or ".join(ways + ends)


def _distance(node: Node, shape: Shape) -> tuple[int, float]:
    """Smaller is nearer: first the obstacles that time alone does not remove, then the share that lacks."""
    found = obstacles(node, shape)
    lasting = sum(not code.startswith("busy:") for code in found)
    free, wanted = node.free, shape.resources
    short = sum(
        1 - amount_of(free, name) / amount_of(wanted, name)
        for name in RESOURCES
        if amount_of(wanted, name) > amount_of(free, name)
    )
    return lasting, short


def _ending(node: Node, shape: Shape) -> list[Attempt]:
    """The attempts on `node`, oldest first, whose end makes room; none if their ends do not."""
    holding = [attempt for attempt in node.attempts.values() if attempt.holding]
    alone = [each for each in holding if fits_now(once_ended(node, [each]), shape)]
    if alone:
        return [min(alone, key=_age)]
    ending: list[Attempt] = []
    for attempt in sorted(holding, key=_age):
        ending.append(attempt)
        if fits_now(once_ended(node, ending), shape):
            return ending
    return []


def _named(attempts: list[Attempt], asker: UserName) -> str:
    """Tasks by their names; those of other users only by their count, for nobody may know of them."""
    own = [str(each.ref.task) for each in attempts if each.task.group.job.owner == asker]
    others = len(attempts) - len(own)
    if others:
        own.insert(0, f"{counted(others, 'task')} of {'another user' if others == 1 else 'others'}")
    return some_of(own, most=ENDS_NAMED)


def _age(attempt: Attempt) -> tuple[float, str]:
    return attempt.assigned_at, str(attempt.ref)


def candidates(cluster: Cluster, shape: Shape) -> list[Candidate]:
    """The nodes as a round would see them now: the feasible ones best first, then some of the others."""
    rule = acting(cluster)
    values = None if rule is None else Values(rule, pool_of(cluster), shape)
    score = scoring(cluster, shape, values)
    seen = [
        Candidate(
            node=node.name,
            score=None if found else round(score(node, shape.resources), 4),
            obstacles=list(found),
        )
        for node in cluster.nodes.values()
        for found in [node_obstacles(cluster, node, shape)]
    ]
    seen.sort(key=lambda each: (len(each.obstacles), each.score or 0.0, each.node))
    return seen[:CANDIDATES_MAX]


def decided(explanation: Explanation, chosen: str) -> list[Candidate]:
    """The candidates of a decision, as its attempt kept them."""
    found = [
        Candidate(node=seen.node, score=seen.score, features=seen.features, chosen=seen.node == chosen)
        for seen in explanation.candidates
    ]
    if all(not each.chosen for each in found):
        found.insert(0, Candidate(node=chosen, chosen=True))
    rejected = explanation.rejected
    return found + [Candidate(node=name, obstacles=list(reasons)) for name, reasons in rejected.items()]


def ahead(cluster: Cluster, group: Group, index: int) -> tuple[int | None, float | None]:
    """How many tasks go before task `index` of `group`, and since when it waits; None: it is in no line."""
    found = own_entry(cluster, group, index)
    if found is None:
        return None, None
    own, before = found
    return tasks_before(cluster, own.place) + before, own.since_s


def tasks_before(cluster: Cluster, own: tuple[int, int, float, int]) -> int:
    """How many tasks of all lines go before the place `own` (`Waiting.place`)."""
    return sum(
        waiting.entry.startable
        for line in cluster.lines.values()
        for waiting in line.entries
        if waiting.place < own
    )


def tasks_ahead(cluster: Cluster, job: Job, key: float) -> int:
    """How many tasks would go before one of `job` that came now."""
    return tasks_before(cluster, (standing(cluster, job), -job.priority, key, cluster.sequence + 1))
