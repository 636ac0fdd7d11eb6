"""Which ends of a task are worth another try, and how long to wait before it.

`retry_on` names ends by words ("failed", "timeout") and by what the process said ("exit:75", "signal:KILL").
Only what it names is tried again. "failed" leaves out commands that cannot be run (their exit codes are 126
and 127) and outputs that their tool's schema does not allow: another try would find the same, unless the job
names that code.
"""

from __future__ import annotations

import heapq
import signal
from collections.abc import Sequence
from difflib import get_close_matches

from msgspec import Struct

from bus.refusal import quote
from bus.values import Ended, Outcome, TaskSettings, TaskState
from coordinator.core.effects import Fault
from coordinator.core.model import Cluster, Task

RETRY_ON_MAX = 64
_CANNOT_RUN = frozenset({Outcome.NOT_FOUND, Outcome.NOT_EXECUTABLE})
_SIGNALS = {each.name.removeprefix("SIG"): int(each) for each in signal.Signals}
_SIGNAL_MAX = 64
_CODE_MAX = 255
_DOUBLINGS_MAX = 64
_EXPECTED = "failed, timeout, exit:CODE or signal:NAME"


class RetryOn(Struct, frozen=True):
    """What a job's `retry_on` names."""

    failure: bool
    timeout: bool
    exit_codes: tuple[int, ...]
    signals: tuple[int, ...]


def parse_retry_on(entries: Sequence[str], faults: list[Fault]) -> RetryOn:
    """Every entry that cannot be read appends a fault."""
    exit_codes: set[int] = set()
    signals: set[int] = set()
    if len(entries) > RETRY_ON_MAX:
        got, expected = f"{len(entries)} entries", f"at most {RETRY_ON_MAX}"
        faults.append(Fault(code="E_TOO_MANY", field="/retry_on", got=got, expected=expected))
        entries = ()
    for position, entry in enumerate(entries):
        field = f"/retry_on/{position}"
        kind, colon, value = entry.partition(":")
        if entry in ("failed", "timeout"):
            continue
        if kind == "exit" and colon:
            code = _number(value, _CODE_MAX)
            if code is None:
                faults.append(_beyond(entry, field, f"exit:1 to exit:{_CODE_MAX}"))
            else:
                exit_codes.add(code)
        elif kind == "signal" and colon:
            number = _SIGNALS.get(value.upper().removeprefix("SIG")) or _number(value, _SIGNAL_MAX)
            if number is None:
                faults.append(_no_signal(entry, value, field))
            else:
                signals.add(number)
        else:
            near = get_close_matches(kind[:80], ("failed", "timeout", "exit", "signal"), 1)
            meant = {"exit": "exit:75", "signal": "signal:KILL"}
            hint = f"did you mean {meant.get(near[0], near[0])}?" if near else ""
            faults.append(
                Fault(code="E_ENUM", field=field, got=quote(entry), expected=f"one of {_EXPECTED}", hint=hint)
            )
    return RetryOn(
        "failed" in entries, "timeout" in entries, tuple(sorted(exit_codes)), tuple(sorted(signals))
    )


def _number(text: str, most: int) -> int | None:
    """A whole number from 1 to `most`."""
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(most)) else 0
    return number if 1 <= number <= most else None


def _beyond(entry: str, field: str, expected: str) -> Fault:
    return Fault(code="E_RANGE", field=field, got=quote(entry), expected=expected)


def _no_signal(entry: str, value: str, field: str) -> Fault:
    near = get_close_matches(value[:80].upper().removeprefix("SIG"), _SIGNALS, 1)
    return Fault(
        code="E_ENUM",
        message="no such signal",
        field=field,
        got=quote(entry),
        expected=f"signal:NAME, such as signal:KILL, or signal:1 to signal:{_SIGNAL_MAX}",
        hint=f"did you mean signal:{near[0]}?" if near else "",
    )


def may_retry(task: Task, report: Ended, state: TaskState) -> bool:
    """Whether the task is tried again after it came to `state`."""
    settings = task.group.settings
    if task.group.job.cancel_requested or task.retries >= settings.max_retries:
        return False
    if state is TaskState.TIMEOUT:
        return settings.retry_on_timeout
    return state is TaskState.FAILED and _named(settings, report)


def _named(settings: TaskSettings, report: Ended) -> bool:
    if settings.retry_on_failure and report.outcome not in _CANNOT_RUN and not report.fault:
        return True
    return report.exit_code in settings.retry_exit_codes or report.signal in settings.retry_signals


def schedule_retry(cluster: Cluster, task: Task, *, now_s: float, ran_s: float = 0.0) -> None:
    """Queue the task again when its backoff is over (`jobs.requeue_due`)."""
    heapq.heappush(cluster.retries, (now_s + backoff_s(task, ran_s=ran_s), cluster.next_sequence(), task.ref))


def starts_again(task: Task, state: TaskState) -> bool:
    """Whether a task of a streaming job is started again, however it ended: all but a cancel."""
    job = task.group.job
    return task.group.settings.streaming and not job.cancel_requested and state is not TaskState.CANCELLED


def backoff_s(task: Task, *, ran_s: float = 0.0) -> float:
    """min(backoff · 2^(n - 1), max), less up to a quarter so that retries spread.

    `n` is the number of the retry. Streaming jobs are charged none: of theirs it is the number of the
    attempt, and 1 again after one that ran (`ran_s`) longer than the longest backoff.

    The jitter is a hash of the task's number and n: the core draws no randomness.
    """
    settings = task.group.settings
    number = task.retries
    if settings.streaming:
        number = 1 if ran_s > settings.backoff_max_s else min(task.fence, _DOUBLINGS_MAX)
    whole = min(settings.backoff_s * 2.0 ** (number - 1), settings.backoff_max_s)
    scattered = (task.ref.job * 2_654_435_761 + task.index * 40_503 + number * 97) % 1024
    return whole * (1.0 - scattered / 4096)
