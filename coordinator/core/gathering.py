"""The start of a gang: all ranks get places in one step, and none starts before all are there.

    placed ──assign──▶ its agent has it on disk ──confirmed──▶ all are ──go──▶ each agent starts its ranks
       └────────────── `start_timeout_s` later not all run: all are taken back, charged to nobody

An assignment of a rank means: hold it. The agent that has rank 0 chooses a port with its confirmation. When
every rank is confirmed, all agents are told to go, with where rank 0 is met. What is lost on the way is said
again: assignments after a heartbeat, `go` by `remind_starts`. Nothing of it is written down: a new leader
assigns again what has not started, and hears the same confirmations.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from bus.values import AttemptRef, AttemptState, Meeting, NodeName, TaskState
from coordinator.core.changes import hold, move, record_attempt, take_place
from coordinator.core.effects import Effect, EventRecord, SendStart
from coordinator.core.model import Attempt, Cluster, Node, Ranks, Task
from coordinator.core.scheduler.explain import Explanation
from coordinator.core.scheduler.feasible import find_gpus

_ALONE = "127.0.0.1"


def begin_gang(
    out: list[Effect],
    cluster: Cluster,
    task: Task,
    seats: Sequence[Node],
    *,
    now_s: float,
    explanation: Explanation | None,
) -> list[Attempt]:
    """queued -> assigned with the next fence, for all ranks at once: `seats` are their nodes, by rank."""
    task.fence += 1
    task.ranks = Ranks()
    cluster.gathering[task.ref] = task
    begun = []
    for rank, node in enumerate(seats):
        gpus = find_gpus(node, task.group.shape)
        assert gpus is not None, "seats are counted with their GPUs"
        kept = explanation if rank == 0 else None
        attempt = take_place(cluster, task, node, gpus=gpus, now_s=now_s, explanation=kept, rank=rank)
        hold(cluster, attempt)
        begun.append(attempt)
    move(out, cluster, task, TaskState.ASSIGNED, now_s=now_s)
    for attempt in begun:
        record_attempt(out, cluster, attempt, new=True, explanation=attempt.decided)
    return begun


def confirm_ranks(
    out: list[Effect], cluster: Cluster, attempts: Iterable[Attempt], ports: Mapping[AttemptRef, int]
) -> None:
    """Agents have these ranks on disk: go, where they were the last."""
    tasks: dict[int, Task] = {}
    for attempt in attempts:
        task = attempt.task
        if task.ranks is not None:
            task.ranks.port = ports.get(attempt.ref, task.ranks.port)
            tasks[id(task)] = task
    for task in tasks.values():
        _start(out, cluster, task)


def remind_starts(out: list[Effect], cluster: Cluster) -> None:
    """Say `go` again to those who may not have heard it."""
    for task in cluster.gathering.values():
        _start(out, cluster, task)


def _start(out: list[Effect], cluster: Cluster, task: Task) -> None:
    ranks = task.ranks
    assert ranks is not None, "only what is placed gathers"
    ready = all(each.confirmed_at is not None for each in ranks.live.values())
    leaving = any(each.yielding or each.cancelling for each in ranks.live.values())
    if not (ready and ranks.port) or ranks.ends or leaving or task.group.job.withheld:
        return
    ranks.gone = True
    meeting = _meeting(cluster, ranks)
    batches: dict[NodeName, list[AttemptRef]] = {}
    for attempt in ranks.in_order:
        if attempt.state is AttemptState.ASSIGNED:
            batches.setdefault(attempt.node, []).append(attempt.ref)
    out.extend(SendStart(node=name, attempts=tuple(refs), meeting=meeting) for name, refs in batches.items())


def _meeting(cluster: Cluster, ranks: Ranks) -> Meeting:
    names = [each.node for each in ranks.in_order]
    nodes = [cluster.nodes[name] for name in dict.fromkeys(names)]
    address = nodes[0].inventory.ip if len(nodes) > 1 else _ALONE
    hosts = [(node.inventory.ip if len(nodes) > 1 else _ALONE, names.count(node.name)) for node in nodes]
    return Meeting(address=address, port=ranks.port, hosts=tuple(hosts))


def was_held(attempt: Attempt) -> bool:
    """Whether it is a rank that nobody has told to start: what ends it now ends nothing that ran."""
    ranks = attempt.task.ranks
    return ranks is not None and not ranks.gone and attempt.state is AttemptState.ASSIGNED


def note_started(cluster: Cluster, task: Task) -> None:
    """One of its ranks runs: with the last of them the barrier is passed."""
    ranks = task.ranks
    if ranks is not None and all(each.state is AttemptState.RUNNING for each in ranks.live.values()):
        cluster.gathering.pop(task.ref, None)


def overdue(cluster: Cluster, *, now_s: float) -> list[tuple[Task, EventRecord]]:
    """Gangs of which ranks have waited too long for the others, each with the line of the history."""
    found = []
    for task in cluster.gathering.values():
        gang, ranks = task.group.settings.gang, task.ranks
        assert gang is not None and ranks is not None and ranks.first is not None
        waiting = [each for each in ranks.in_order if each.state is AttemptState.ASSIGNED]
        late = not any(each.yielding or each.cancelling for each in ranks.live.values())
        if late and now_s - ranks.first.assigned_at >= gang.start_timeout_s:
            absent = sorted({each.node for each in waiting if each.confirmed_at is None})
            whom = f": nothing was heard of {', '.join(absent)}" if absent else ""
            job = task.group.job
            text = (
                f"gang {task.ref} did not start within {gang.start_timeout_s:g} s{whom}; it is queued again"
            )
            event = EventRecord(
                at=now_s,
                event_type="gang_start_timeout",
                severity="warning",
                message=text,
                job_id=job.id,
                user=job.owner,
                details={"task": str(task.ref), "ranks": gang.size, "unheard": absent},
            )
            found.append((task, event))
    return found
