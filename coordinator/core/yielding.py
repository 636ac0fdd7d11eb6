"""Attempts that are asked to end so that their tasks are queued again: requeues, drains, preemption.

`yielding` is a column of the attempt's row, so that every leader goes on asking. What has started is told to
end like a cancelled task, what has not is asked back. How it ends decides: with 0 of its own accord, it
completed; ended by us, its task goes through `reassigned`, charged to nobody. A cancel that comes after wins.
"""

from __future__ import annotations

from collections.abc import Iterable

from bus.values import AttemptState
from coordinator.core.changes import note_live, record_attempt
from coordinator.core.effects import Effect
from coordinator.core.model import Attempt, Cluster
from coordinator.core.placing import retract, send_cancels


def yield_attempts(
    out: list[Effect], cluster: Cluster, attempts: Iterable[Attempt], *, reason: str
) -> list[Attempt]:
    """Ask attempts to end; the answer is those of them that were not ending already."""
    fresh = [attempt for attempt in attempts if not (attempt.yielding or attempt.cancelling)]
    for attempt in fresh:
        attempt.yielding, attempt.reason = True, reason
        note_live(cluster, attempt)
        record_attempt(out, cluster, attempt)
    _ask(out, fresh)
    return fresh


def remind_yields(out: list[Effect], cluster: Cluster) -> None:
    """Ask again what should have ended by now: a command may have been lost."""
    _ask(out, [attempt for attempt in cluster.yielding.values() if not attempt.cancelling])


def _ask(out: list[Effect], attempts: list[Attempt]) -> None:
    send_cancels(out, [attempt for attempt in attempts if attempt.state is AttemptState.RUNNING])
    retract(out, attempts)  # it looks for those that have not started
