"""What waits for places that only its parents hold: told, since nothing of it would end by itself."""

from __future__ import annotations

from collections import Counter

from bus.api import Blocker
from bus.units import counted
from bus.values import UserName
from coordinator.core.children import descendants
from coordinator.core.model import Attempt, Cluster, Shape
from coordinator.core.scheduler.feasible import obstacles

NAMED = 3


def parents_blocker(cluster: Cluster, shape: Shape, *, asker: UserName) -> list[Blocker]:
    """Where the nodes that could hold it are taken by tasks which all wait for jobs that they submitted.

    Of others than `asker` no task is named.
    """
    holding: list[Attempt] = []
    for node in cluster.nodes.values():
        found = obstacles(node, shape)
        if found and all(code.startswith("busy:") for code in found):
            holding += [attempt for attempt in node.attempts.values() if attempt.holding]
        elif not found:
            return []
    waiting = Counter(each.ref.job for each in cluster.attempts() if each.awaits)
    if not holding or not all(_waits_in_vain(cluster, each, waiting) for each in holding):
        return []
    own = sorted({attempt.ref.task for attempt in holding if attempt.task.group.job.owner == asker})
    others = len({attempt.ref.task for attempt in holding}) - len(own)
    names = [str(ref) for ref in own[:NAMED]]
    names += [f"{len(own) - NAMED} more"] if len(own) > NAMED else []
    names += [f"{counted(others, 'task')} of others"] if others else []
    return [
        Blocker(
            code="parents_wait",
            message="what runs where it fits waits for jobs of its own, of which none runs:"
            f" {' and '.join(filter(None, (', '.join(names[:-1]), names[-1])))}",
            remedy="cancel one of them, or let it end; let fewer run at once (--max-parallel), with less each"
            + (f": corral cancel {own[0]}" if own else ""),
        )
    ]


def _waits_in_vain(cluster: Cluster, attempt: Attempt, waiting: Counter[int]) -> bool:
    """Whether it waits, and nothing that came from it does anything but wait as well.

    `waiting`: how many attempts of each job do.
    """
    below = descendants(cluster, attempt.ref.job, attempt.ref.task.whole.index)
    return attempt.awaits and all(job.assigned + job.running <= waiting[job.number] for job in below)
