"""Paused jobs: what runs of them stands still where it is, with its resources and its walltime.

The rows say which jobs are paused, heartbeats which attempts stand still; wherever the two differ the node is
told again. So a lost command, a restarted agent and a new leader need nothing of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Set

from bus.values import AttemptRef, AttemptState, NodeName
from coordinator.core.effects import Effect, SendPause
from coordinator.core.model import Attempt
from coordinator.core.placing import send_cancels


def send_pauses(out: list[Effect], attempts: Iterable[Attempt], *, paused: bool) -> None:
    """Have nodes stop attempts where they stand, or let them go on."""
    batches: dict[NodeName, list[AttemptRef]] = {}
    for attempt in attempts:
        batches.setdefault(attempt.node, []).append(attempt.ref)
    out.extend(SendPause(node=name, attempts=tuple(refs), paused=paused) for name, refs in batches.items())


def heal_pauses(out: list[Effect], attempts: Iterable[Attempt], still: Set[AttemptRef]) -> None:
    """Of a node's attempts that should stand still or do, say again what differs. `still`: those that do.

    What is being ended is left alone: its end wakes it up.
    """
    stop: list[Attempt] = []
    go: list[Attempt] = []
    for attempt in attempts:
        paused = attempt.task.group.job.paused_by is not None
        if paused == (attempt.ref in still) or attempt.cancelling or attempt.yielding:
            continue
        if not paused:
            go.append(attempt)
        elif attempt.state is AttemptState.RUNNING:
            stop.append(attempt)
    send_pauses(out, stop, paused=True)
    send_pauses(out, go, paused=False)


def on_late_start(out: list[Effect], attempt: Attempt) -> None:
    """It started before its node heard that it should not: tell it what is true now."""
    if attempt.cancelling:
        return  # it was told already
    if attempt.yielding:
        send_cancels(out, [attempt])
    elif attempt.task.group.job.paused_by is not None:
        send_pauses(out, [attempt], paused=True)
