"""Replays in a process of their own (`python -m coordinator tune`): what is asked, and what is heard back."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from bus.errors import Error

LINE_MAX = 16 << 20


class Refused(Exception):
    """The replay could not be made; `error` is for people."""

    def __init__(self, error: Error) -> None:
        self.error = error
        super().__init__(error.message)


async def replayed(
    command: Sequence[str], asked: dict[str, Any], *, heard: Callable[[int, int], None]
) -> dict[str, Any]:
    """The result of `command`, a `sim.tuning` child; `heard` with replays done and their number at most.

    The child ends with who waits for it. Raises Refused, OSError.
    """
    child = await asyncio.create_subprocess_exec(
        *command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        limit=LINE_MAX,  # what it says beside its answer is for our log
    )
    assert child.stdin is not None and child.stdout is not None
    try:
        with suppress(ConnectionError):  # it ended before it had read all: what it said tells why
            child.stdin.write(msgspec.json.encode(asked))
            await child.stdin.drain()
        child.stdin.close()
        async for line in child.stdout:
            said = json.loads(line)
            if "error" in said:
                raise Refused(msgspec.convert(said["error"], Error))
            if "result" in said:
                result: dict[str, Any] = said["result"]
                return result
            heard(*said["progress"])
        # Before any signal: subprocess polls before it sends one, and takes the code from asyncio.
        code = await child.wait()
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()
    raise Refused(Error(code="E_INTERNAL", message=f"the replay ended with code {code}"))
