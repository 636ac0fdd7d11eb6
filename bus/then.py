"""An attempt as it was at a moment, out of what it came to."""

from __future__ import annotations

from msgspec.structs import replace

from bus.api import Attempt
from bus.values import AttemptState


def attempt_then(attempt: Attempt, at_s: float) -> Attempt:
    """As far as it had come by `at_s`, in seconds of the Unix epoch."""
    if attempt.ended_at is not None and attempt.ended_at <= at_s:
        return attempt
    is_started = attempt.started_at is not None and attempt.started_at <= at_s
    return replace(
        attempt,
        state=AttemptState.RUNNING if is_started else AttemptState.ASSIGNED,
        started_at=attempt.started_at if is_started else None,
        ended_at=None,
        exit_code=None,
        signal=None,
        message="",
    )
