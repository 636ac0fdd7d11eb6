"""Keeps one service running: wait for what it needs, start, probe, restart with exponential backoff."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Awaitable, Callable

from msgspec import Struct

from bus.supervision import ProcessHealth, ProcessStatus
from coordinator.supervisor.child import Child, Launch

log = logging.getLogger("corral.supervisor")

BACKOFF_FIRST_S = 0.1
BACKOFF_MAX_S = 30.0
STABLE_S = 20.0
"""Healthy for so long, a service has earned that its next restart is quick again."""

PROBE_STARTING_S = 0.05
PROBE_HEALTHY_S = 5.0
PROBE_TIMEOUT_S = 5.0


class Unhealthy(Exception):
    """A probe found the service not (yet) answering; the text says what was seen."""


class LaunchFailed(Exception):
    """A service could not be prepared for its start; the text says why."""


class Service(Struct, frozen=True, kw_only=True):
    """What to keep running. `launch` may raise LaunchFailed or OSError, `probe` Unhealthy."""

    name: str
    launch: Callable[[], Awaitable[Launch]]
    probe: Callable[[], Awaitable[None]]
    needs: tuple[str, ...] = ()
    address: str = ""
    stop_signal: signal.Signals = signal.SIGTERM
    stop_timeout_s: float = 10.0


def backoff_s(failures: int) -> float:
    """Pause before a start that follows `failures` unasked ends in a row."""
    return min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2.0 ** min(failures - 1, 20))


class Keeper:
    """The life of one service until `stop`. `was_healthy` is set once and stays."""

    def __init__(self, service: Service, *, status: ProcessStatus, changed: Callable[[], None]) -> None:
        self.service = service
        self.status = status
        self.was_healthy = asyncio.Event()
        self._changed = changed
        self._child: Child | None = None
        self._stopping = False
        self._started_at = time.time()

    async def run(self, needs: tuple[Keeper, ...]) -> None:
        """Start and restart until cancelled; returns only by cancellation."""
        for needed in needs:
            await needed.was_healthy.wait()
        while True:
            delay_s = await self._one_life()
            await asyncio.sleep(delay_s)
            self.status.restarts += 1

    async def stop(self) -> None:
        """Stop the process, within the service's bound. `run` must have been cancelled before."""
        if self._child is not None:
            polite = await self._child.stop(self.service.stop_signal, timeout_s=self.service.stop_timeout_s)
            self._set(ProcessHealth.STOPPED, "" if polite else "had to be killed")
        else:
            self._set(ProcessHealth.STOPPED)
        self.status.identity = None
        self._changed()

    async def _one_life(self) -> float:
        """From start to end of one process; returns the pause before the next."""
        self._set(ProcessHealth.STARTING)
        try:
            self._child = Child(await self.service.launch())
        except (LaunchFailed, OSError) as error:
            return self._on_failure(str(error))
        self.status.identity = self._child.identity
        self._changed()
        probing = asyncio.create_task(self._probe_until_end(), name=f"probe {self.service.name}")
        try:
            await self._child.ended.wait()
        finally:
            probing.cancel()
        code = self._child.code
        self._child = None
        self.status.identity = None
        assert code is not None
        return self._on_failure(describe_end(code))

    async def _probe_until_end(self) -> None:
        healthy_since: float | None = None
        while True:
            try:
                async with asyncio.timeout(PROBE_TIMEOUT_S):
                    await self.service.probe()
            except (Unhealthy, TimeoutError) as error:
                message = str(error) or f"no answer within {PROBE_TIMEOUT_S:g} s"
                if self.status.health is ProcessHealth.HEALTHY:
                    self._set(ProcessHealth.UNHEALTHY, message)
                elif message != self.status.message:
                    self._set(self.status.health, message)
                healthy_since = None
            else:
                healthy_since = healthy_since or time.monotonic()
                if time.monotonic() - healthy_since >= STABLE_S:
                    self.status.failures = 0
                if self.status.health is not ProcessHealth.HEALTHY:
                    self._on_healthy()
            starting = self.status.health is ProcessHealth.STARTING
            await asyncio.sleep(PROBE_STARTING_S if starting else PROBE_HEALTHY_S)

    def _on_healthy(self) -> None:
        if self.status.ready_after_s is None:
            self.status.ready_after_s = round(time.time() - self._started_at, 3)
        self._set(ProcessHealth.HEALTHY)
        self.was_healthy.set()

    def _on_failure(self, message: str) -> float:
        self.status.failures += 1
        delay_s = backoff_s(self.status.failures)
        log.warning("%s: %s; starts again in %.1f s", self.service.name, message, delay_s)
        self._set(ProcessHealth.BACKOFF, message)
        return delay_s

    def _set(self, health: ProcessHealth, message: str = "") -> None:
        if health is not self.status.health:
            self.status.since = time.time()
        self.status.health = health
        self.status.message = message
        self._changed()


def describe_end(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"exited with {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
