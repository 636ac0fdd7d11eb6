"""Stop a process and know that it has stopped."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

_WAIT_S = 20.0


def stand_still(pid: int) -> None:
    """SIGSTOP, and wait until no thread of it runs: on a busy machine one may answer long after `kill`."""
    os.kill(pid, signal.SIGSTOP)
    end_s = time.monotonic() + _WAIT_S
    while any(_state(thread) != "T" for thread in Path(f"/proc/{pid}/task").iterdir()):
        assert time.monotonic() < end_s, f"{pid} has not stopped within {_WAIT_S:g} s"
        time.sleep(0.001)


def _state(thread: Path) -> str:
    return thread.joinpath("stat").read_text().rpartition(")")[2].split()[0]
