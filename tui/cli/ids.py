"""Names of jobs, tasks and attempts as people type them, checked before anybody is asked."""

from __future__ import annotations

import re
from typing import NamedTuple

from tui.cli.diagnostics import CommandError, Exit

_JOB = r"[0-9]{1,18}|@last|[0-9a-f]{8}(?:-[0-9a-f-]{0,27})?"
_TARGET = re.compile(
    rf"(?P<job>{_JOB})(?:\.(?P<index>[0-9]{{1,7}})(?::(?P<rank>[0-9]{{1,4}}))?)?(?:#(?P<attempt>[0-9]{{1,9}}))?",
    re.ASCII,
)
_JOB_HINT = "a job is a number (1042), the first 8 or more characters of its id, or @last"
_TASK_HINT = "a task is its job and its own number (1042.7, @last.0); 1042 will do where a job has only one"


class Target(NamedTuple):
    """`name` is the job, task or rank without its attempt; `attempt` 0 means the newest."""

    name: str
    attempt: int = 0

    def __str__(self) -> str:
        return f"{self.name}#{self.attempt}" if self.attempt else self.name


def job_id(text: str) -> str:
    """`text` if it can name a job. Raises CommandError."""
    match = _TARGET.fullmatch(text)
    if match is None or match["index"] is not None or match["attempt"] is not None:
        raise _bad(text, "a job", _JOB_HINT)
    return text


def task_id(text: str) -> str:
    """`text` if it can name a task, or a job. Raises CommandError."""
    match = _TARGET.fullmatch(text)
    if match is None or match["attempt"] is not None or match["rank"] is not None:
        raise _bad(text, "a job or task", _TASK_HINT)
    return text


def attempt_id(text: str) -> Target:
    """A task, a job of one task, or one attempt of either ("1042.7#2"). Raises CommandError."""
    match = _TARGET.fullmatch(text)
    if match is None or (match["attempt"] is not None and int(match["attempt"]) == 0):
        raise _bad(
            text, "a task or attempt", f"{_TASK_HINT}; 1042.7#2 is its second attempt, 1042.7:3 rank 3"
        )
    name, _, attempt = text.partition("#")
    return Target(name, int(attempt or 0))


def _bad(text: str, expected: str, hint: str) -> CommandError:
    return CommandError(
        "E_ID", "not an id", exit=Exit.USAGE, got=repr(text[:80]), expected=expected, hint=hint
    )
