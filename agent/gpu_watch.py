"""Looks at this node's GPUs: at a pace for their faults, and at once when a task waits for one to be free."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path

from agent.core.events import GpusSeen
from agent.core.gpus import Conditions, Look, faults, judge
from agent.core.model import Phase
from agent.executor import Executor
from agent.gpus import GpuDriver
from agent.usage import members, monitor_of
from bus.gpus import GpuFault
from bus.values import AttemptRef

_log = logging.getLogger(__name__)

LOOK_S = 5.0
_AGAIN_S = 0.2
"""While somebody waits for a GPU that is not free yet."""


class GpuWatch:
    """`run` looks for ever. `faults` is what heartbeats tell; `on_change` hears when that changes.

    `tasks`: their folder, by which those in containers are known.
    """

    def __init__(
        self,
        driver: GpuDriver,
        executor: Executor,
        *,
        on_change: Callable[[], None],
        tasks: Path | None = None,
    ) -> None:
        self._tasks = tasks
        self._driver = driver
        self._executor = executor
        self._on_change = on_change
        self._known: Conditions = {}
        self._wanted = asyncio.Event()
        self._faults: tuple[GpuFault, ...] | None = None

    @property
    def faults(self) -> tuple[GpuFault, ...] | None:
        """What is wrong with them; None before the first look."""
        return self._faults

    def wake(self) -> None:
        """A task waits for a GPU."""
        self._wanted.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._wanted.clear()
            waiting = self._waiting()
            try:
                await self._look(waiting)
            except Exception:  # noqa: BLE001 - a probe of this machine: no task is to pay for it
                _log.exception("GPUs cannot be looked at")
                await asyncio.sleep(LOOK_S)
                continue
            pace_s = _AGAIN_S if self._waiting() else LOOK_S if self._known else None
            try:
                async with asyncio.timeout(pace_s):
                    await self._wanted.wait()
            except TimeoutError:
                continue

    def _waiting(self) -> dict[AttemptRef, tuple[str, ...]]:
        held = self._executor.ledger.held.values()
        return {
            each.attempt: each.order.gpus
            for each in held
            if each.phase is Phase.CLEARING and each.order is not None
        }

    async def _look(self, waiting: dict[AttemptRef, tuple[str, ...]]) -> None:
        """Only those who waited before it began may count on what it saw."""
        leaders = {each.attempt: each.pid for each in self._executor.ledger.held.values() if each.pid}
        looks, strangers = await asyncio.to_thread(self._see, leaders)
        wanted = {uuid for gpus in waiting.values() for uuid in gpus}
        free = judge(self._known, looks, strangers=strangers, wanted=wanted, now_s=time.time())
        if waiting:
            free |= wanted - self._known.keys()  # the guard will say that there is no such GPU
            self._executor.handle(GpusSeen(attempts=tuple(waiting), free=free))
        told = faults(self._known)
        if told != self._faults:
            for fault in set(told) - set(self._faults or ()):
                _log.warning("GPU %s: %s", fault.uuid, fault.reason)
            self._faults = told
            self._on_change()

    def _see(self, leaders: dict[AttemptRef, int]) -> tuple[tuple[Look, ...], frozenset[int]]:
        """The GPUs, and the processes on them that this machine has and that belong to no task of ours.

        Within a container the library may name processes by numbers of the world outside: of those only the
        memory tells.
        """
        looks = self._driver.look()
        on_them = {pid for look in looks for pid in look.pids}
        own: frozenset[int] = frozenset()
        if on_them:
            monitors = {monitor_of(self._tasks, attempt) for attempt in leaders}
            own = members({*leaders.values(), *monitors} - {0})
        return looks, frozenset([pid for pid in on_them - own if Path(f"/proc/{pid}").exists()])
