"""One child process: spawned into its own session, watched through a pidfd, stopped within a bound."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from bus.layout import Layout
from bus.supervision import ProcessIdentity, identify

KILL_WAIT_S = 5.0


class Launch(Struct, frozen=True, kw_only=True):
    """How to start a process; `uid` and `gid` None: as the supervisor itself."""

    argv: tuple[str, ...]
    cwd: Path
    log: Path
    env: Mapping[str, str] | None = None
    uid: int | None = None
    gid: int | None = None


def python(layout: Layout, name: str, module: str, *arguments: str) -> Launch:
    """A program of ours. -P: nothing that lies in some working directory may stand in for our modules."""
    return Launch(
        argv=(sys.executable, "-P", "-m", module, *arguments),
        cwd=Path("/"),
        log=layout.log(name),
    )


class Child:
    """A running process. `ended` is set as soon as it is gone; `code` is negative for a signal."""

    def __init__(self, launch: Launch) -> None:
        """Spawns at once; raises OSError when the program cannot be started. Needs a running loop."""
        self._process = _spawn(launch)
        self._pidfd = os.pidfd_open(self._process.pid)
        identity = identify(self._process.pid)
        self.identity = identity or ProcessIdentity(self._process.pid, 0, "")
        self.ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._pidfd, self._on_exit)

    @property
    def code(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._process.returncode

    async def stop(self, number: signal.Signals, *, timeout_s: float) -> bool:
        """Ask with a signal, kill the whole session after the bound; whether asking was enough."""
        if self.ended.is_set():
            return True
        self._process.send_signal(number)
        if await _within(self.ended, timeout_s):
            return True
        _kill_group(self._process.pid)
        await _within(self.ended, KILL_WAIT_S)
        return False

    def kill(self) -> None:
        """End the whole session at once, whatever state it is in."""
        if not self.ended.is_set():
            _kill_group(self._process.pid)

    def _on_exit(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._process.wait()
        self.ended.set()


def _spawn(launch: Launch) -> subprocess.Popen[bytes]:
    drop = os.geteuid() == 0 and launch.uid is not None
    with launch.log.open("ab") as log:
        return subprocess.Popen(
            launch.argv,
            cwd=launch.cwd,
            env=launch.env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=launch.uid if drop else None,
            group=launch.gid if drop else None,
            extra_groups=[] if drop else None,
        )


def _kill_group(pid: int) -> None:
    # Every process of ours leads its own session, so its group holds only what it started itself.
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


async def _within(event: asyncio.Event, timeout_s: float) -> bool:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return False
    return True
