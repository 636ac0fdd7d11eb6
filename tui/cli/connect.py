"""Reach the cluster that the options, the environment or this machine's data folder name."""

from __future__ import annotations

import re
from argparse import Namespace
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from tui.cli.diagnostics import CommandError, Exit

if TYPE_CHECKING:
    from bus.client import Client

_JOB = re.compile(r"[0-9]{1,18}|@last|[0-9a-f]{8}[0-9a-f-]{0,28}", re.ASCII)
_TASK = re.compile(r"([0-9]{1,18}|@last|[0-9a-f]{8}[0-9a-f-]{0,28})(\.[0-9]{1,10})?", re.ASCII)


def client(arguments: Namespace) -> AbstractAsyncContextManager[Client]:
    """A connection for `async with`."""
    from bus.client import Client

    data = Path(arguments.data) if arguments.data else None
    credentials = Path(arguments.credentials) if arguments.credentials else None
    return Client.connect(url=arguments.url, credentials=credentials, data=data)


def job_id(text: str) -> str:
    """`text` if it can name a job. Raises CommandError."""
    return _checked(text, _JOB, "a job is a number (1042), an id, or @last")


def task_id(text: str) -> str:
    """`text` if it can name a task, or a job of one task. Raises CommandError."""
    return _checked(text, _TASK, "a task is a job's number and its own (1042.7)")


def _checked(text: str, pattern: re.Pattern[str], hint: str) -> str:
    if pattern.fullmatch(text) is None:
        raise CommandError("E_ID", f"got {text[:80]!r}", exit=Exit.USAGE, hint=hint)
    return text
