"""The agent's eye on its guard: one that hangs holds no leases, so it is woken, and replaced in the end.

While the agent's heartbeats are answered no harm is done: the tasks are ours to run. Without leases nobody
else could end them in time: the guard is soon killed, and the next one ends whatever it left running.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable
from contextlib import suppress

from agent.guard import wire
from agent.guard.client import GuardError, GuardLink
from bus.values import AttemptRef

_log = logging.getLogger(__name__)

_INTERVAL_S = 1.0
_WAKE_AFTER_S = 5.0
_KILL_LAPSED_AFTER_S = 8.0
_KILL_AFTER_S = 30.0
"""Long: a machine may be busy, and what the guard watches is lost with it."""

_NOBODY = AttemptRef(0, 0, 0)


class GuardWatch:
    """`fault` says since when the guard has not answered, while that is so."""

    def __init__(self, link: GuardLink, *, lapsed: Callable[[], bool]) -> None:
        self._link = link
        self._lapsed = lapsed
        self.fault = ""

    async def run(self) -> None:
        """Ask the guard something small, for ever."""
        while True:
            answer = asyncio.create_task(self._ask(), name="question to the guard")
            try:
                await self._wait_for(answer)
            finally:
                answer.cancel()
            await asyncio.sleep(_INTERVAL_S)

    async def _ask(self) -> None:
        """Every version of a guard answers a read, also of what never was. Ends with its connection too."""
        await self._link.connected.wait()
        with suppress(GuardError):
            await self._link.read_log(_NOBODY, stream=wire.STDOUT, offset=0, limit=0)

    async def _wait_for(self, answer: asyncio.Task[None]) -> None:
        # Counted by our own waits: while this process was stopped itself, no time passes here.
        silent_s = 0.0
        while not (await asyncio.wait({answer}, timeout=_INTERVAL_S))[0]:
            silent_s += _INTERVAL_S
            if silent_s < _WAKE_AFTER_S:
                continue
            if not self.fault:
                _log.error("the guard (pid %d) hangs: it is told to go on", self._link.pid)
            self.fault = f"the guard has not answered for {silent_s:.0f} s"
            patience_s = _KILL_LAPSED_AFTER_S if self._lapsed() else _KILL_AFTER_S
            if silent_s >= patience_s:
                _log.error("%s: it is killed, and its tasks with it", self.fault)
            self._signal(signal.SIGKILL if silent_s >= patience_s else signal.SIGCONT)
        if self.fault:
            _log.warning("%s, and is there again", self.fault)
        self.fault = ""

    def _signal(self, number: signal.Signals) -> None:
        if self._link.pid:
            with suppress(OSError):
                os.kill(self._link.pid, number)
