"""What drained nodes hold: what stays to its end, what has to go, and by how much later that is over.

    stays    what runs, and is over before the deadline; without a deadline all that runs
    goes     at once what has not started; at the deadline what still runs, from its beginning again
    delay    of what runs: (start elsewhere + run) − end here;  of the rest: start elsewhere − now

Where and when it starts is played (`foresight`); here is who would stand in line for it, and what is told.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from bus.api import Blocker, Displaced, Displacement
from bus.values import NodeName, TaskRef, UserName
from coordinator.core.model import Attempt, Cluster, Node
from coordinator.core.scheduler.forecast import middle_of
from coordinator.core.scheduler.forward import NOBODY, Future, Scene, Times
from coordinator.core.scheduler.ground import Runs, limit_s
from coordinator.core.scheduler.order import key_of, standing
from coordinator.core.scheduler.policies import Policy
from coordinator.core.scheduler.scene import InLine
from coordinator.core.why import job_blockers, node_blockers

DISPLACED_MAX = 1_000
"""So many tasks of drained nodes are looked at, each with an entry of its own."""

SHOWN_MAX = 500
PASSING = ("busy:", "reserved")
"""What time alone removes: it keeps nobody from going anywhere."""


Places = Mapping[int, int]
"""Of entries in a scene, by the sequence that stands at the end of their place in the line."""


class Leaving(Struct, frozen=True, kw_only=True):
    """A task on a node that drains. `ends_s`: when it would be over there; None: it has not started.

    `goes`: it has to leave; then it stands at `line` from then on, unless `blockers` keep it from that.
    """

    task: TaskRef
    owner: UserName
    node: NodeName
    run_s: float
    ends_s: float | None
    goes: bool
    line: InLine | None = None
    blockers: tuple[Blocker, ...] = ()


class Held(Struct, frozen=True, kw_only=True):
    """All tasks that drained nodes hold: those looked at, and how many there are."""

    tasks: tuple[Leaving, ...] = ()
    total: int = 0


def leaving(
    cluster: Cluster,
    drained: Collection[NodeName],
    policy: Policy,
    *,
    deadline_s: float | None,
    known: Times,
    sequence: int,
    now_s: float,
) -> Held:
    """Who is on these nodes; those who go stand in line behind `sequence`, as what is queued again does.

    `deadline_s`: from now on; `known`: of run to predicted times.
    """
    runs, ratio = Runs(cluster), middle_of(known)
    attempts = [
        attempt
        for name in sorted(drained)
        for attempt in cluster.nodes[name].attempts.values()
        if not (attempt.cancelling or attempt.yielding)
    ]
    found = []
    for number, attempt in enumerate(attempts[:DISPLACED_MAX]):
        group = attempt.task.group
        run_s = min(max(runs.predicted_s(group) * ratio, 1.0), limit_s(group))
        ends_s = _end(attempt, run_s, now_s=now_s)
        leaves_s = _leaves(ends_s, deadline_s, now_s=now_s)
        kept = () if leaves_s is None else tuple(job_blockers(group))
        line = None
        if leaves_s is not None and not kept:
            key = key_of(cluster, policy, group, now_s=now_s)
            place = (standing(cluster, group.job), -group.job.priority, key, sequence + number)
            line = InLine(group, place, 1, leaves_s, leaves_s)
        found.append(
            Leaving(
                task=attempt.task.ref,
                owner=group.job.owner,
                node=attempt.node,
                run_s=run_s,
                ends_s=ends_s,
                goes=leaves_s is not None,
                line=line,
                blockers=kept,
            )
        )
    return Held(tasks=tuple(found), total=len(attempts))


def with_blockers(
    cluster: Cluster, held: Held, *, after: Scene, nodes: Sequence[Node], places: Places
) -> Held:
    """What keeps those from every node who may stand in line, and could start on none of `nodes`."""
    scratch = copy.copy(cluster)
    scratch.nodes = {node.name: node for node in nodes}
    known: dict[tuple[int, UserName], tuple[Blocker, ...]] = {}
    tasks = []
    for each in held.tasks:
        if each.line is not None:
            line = after.entries[places[each.line.place[-1]]].line
            if not after.allowed[line].any():
                key = (line, each.owner)
                if key not in known:
                    found = node_blockers(scratch, each.line.shape, asker=each.owner)
                    known[key] = tuple(one for one in found if not one.code.startswith(PASSING))
                each = replace(each, blockers=known[key])
        tasks.append(each)
    return Held(tasks=tuple(tasks), total=held.total)


def told(
    held: Held,
    will: Future,
    names: Sequence[NodeName],
    places: Places,
    *,
    viewer: UserName | None,
    now_s: float,
) -> tuple[Displacement, list[Displaced]]:
    """What is said of all of them, and of each that `viewer` may see (None: everybody's); late ones first."""
    rows = [(each.owner, _row(each, will, names, places, now_s=now_s)) for each in held.tasks]
    going = [row for _, row in rows if row.goes]
    delays = [row.delay_s for row in going if row.delay_s is not None]
    total = Displacement(
        tasks=held.total,
        stay=len(rows) - len(going),
        go=len(going),
        nowhere=sum(row.starts_at is None for row in going),
        delay_mean_s=sum(delays) / len(delays) if delays else None,
        delay_most_s=max(delays, default=None),
        empty_at=max(
            (row.ends_at for _, row in rows if not row.goes and row.ends_at is not None), default=None
        ),
    )
    shown = [row for owner, row in rows if viewer is None or owner == viewer]
    shown.sort(key=_urgency)
    return total, shown[:SHOWN_MAX]


def _end(attempt: Attempt, run_s: float, *, now_s: float) -> float | None:
    """When it is over as predicted; what outlived that takes as long again, as in `forward`."""
    if attempt.started_at is None:
        return None
    passed_s = max(now_s - attempt.started_at, 0.0)
    rest_s = run_s - passed_s if run_s > passed_s else passed_s
    return max(min(now_s + rest_s, attempt.started_at + limit_s(attempt.task.group)), now_s + 1.0)


def _leaves(ends_s: float | None, deadline_s: float | None, *, now_s: float) -> float | None:
    """When it has to go; None: it need not."""
    if ends_s is None:
        return now_s
    if deadline_s is None or ends_s <= now_s + deadline_s:
        return None
    return now_s + deadline_s


def _row(
    each: Leaving, will: Future, names: Sequence[NodeName], places: Places, *, now_s: float
) -> Displaced:
    row = Displaced(
        task=str(each.task),
        user=each.owner,
        node=each.node,
        running=each.ends_s is not None,
        goes=each.goes,
        ends_at=each.ends_s,
        blockers=list(each.blockers),
    )
    if each.line is None or each.blockers:
        return row
    place = places[each.line.place[-1]]
    starts_s, at = will.starts[place].first_s, will.rows[place]
    if at != NOBODY:
        row.goes_to, row.starts_at = names[at], starts_s
        row.delay_s = starts_s - now_s if each.ends_s is None else starts_s + each.run_s - each.ends_s
    return row


def _urgency(row: Displaced) -> tuple[bool, bool, float, str]:
    """What goes nowhere first, then by delay; what stays last."""
    return not row.goes, row.starts_at is not None, -(row.delay_s or 0.0), row.task
