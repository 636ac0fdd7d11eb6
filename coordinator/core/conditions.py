"""What a task or job may wait for: that others completed, that they failed, or only that they ended.

One rule for tasks of one job (`needs`) and for jobs (`after`). An array counts as a whole, and so does a
job, unless each task waits for one of the same index (`corresponding`): it completed if every task of it did.
Whatever else it came to (failures, timeouts, cancels, what was cancelled for a need of its own) is a failure,
so that each end meets exactly one of `ok` and `failed`.
"""

from __future__ import annotations

from enum import Enum, StrEnum, auto
from typing import NamedTuple


class Condition(StrEnum):
    OK = "ok"
    FAILED = "failed"
    ANY = "any"
    CORRESPONDING = "corresponding"  # task i after task i


_CONDITIONS = {str(condition): condition for condition in Condition}


class Verdict(Enum):
    WAIT = auto()
    MET = auto()
    NEVER = auto()  # it cannot be met any more


class Need(NamedTuple):
    """A group of the same job, as "name" or "name:condition"."""

    name: str
    condition: Condition


def judge(condition: Condition, *, over: bool, sound: bool) -> Verdict:
    """`sound`: nothing of it failed or was cancelled, so far."""
    if condition is Condition.CORRESPONDING:
        return Verdict.MET if over else Verdict.WAIT  # as a whole it decides nothing
    if condition is Condition.OK and not sound:
        return Verdict.NEVER  # the rest of it need not be waited for
    if not over:
        return Verdict.WAIT
    return Verdict.NEVER if condition is Condition.FAILED and sound else Verdict.MET


def split_condition(text: str) -> tuple[str, Condition | None]:
    """What stands before a colon, and the condition after it; None: there is no such condition."""
    name, colon, word = text.partition(":")
    if not colon:
        return name, Condition.OK
    return name, _CONDITIONS.get(word)


def with_condition(name: object, condition: Condition) -> str:
    """As people write it."""
    return f"{name}" if condition is Condition.OK else f"{name}:{condition}"
