"""Ends of attempts wait until what they saved is kept; whatever the guard says later waits behind them.

So a new attempt, wherever it starts, finds the checkpoint that the one before saved when it was told to end.
What the guard says stays in order, because places are given anew only once they are free.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection

from agent.guard import wire
from agent.guard.client import Events, ExitRecord, Inventory, StartRecord
from agent.saver import Saver
from bus.values import AttemptRef

_FORCED = frozenset({wire.TIMEOUT, wire.CANCELLED, wire.LEASE_EXPIRED})
"""Outcomes of which a task heard by TERM."""


class Settling:
    """`take` each frame of events; `handle` gets them, in order."""

    def __init__(self, saver: Saver, handle: Callable[[Events], None]) -> None:
        self._saver = saver
        self._handle = handle
        self._waiting: deque[Events] = deque()
        self._worker: asyncio.Task[None] | None = None

    def take(self, frame: Events) -> None:
        if not self._waiting and not self._held(frame.exits):
            self._handle(frame)
            return
        self._waiting.append(frame)
        if self._worker is None:
            self._worker = asyncio.create_task(self._run(), name="ends that wait")

    def begin(self, inventory: Inventory, known: Collection[AttemptRef]) -> Inventory:
        """A guard's inventory has all that waited here. Its ends that must wait are held back: until then
        their attempts (of `known`, which are held here) count as running."""
        self._waiting.clear()
        if self._worker is not None:
            self._worker.cancel()
            self._worker = None
        held = [record for record in self._held(inventory.exits) if record.attempt in known]
        if not held:
            return inventory
        running = tuple([StartRecord(r.attempt, 0, r.started_at or r.ended_at) for r in held])
        exits = tuple([record for record in inventory.exits if record not in held])
        asyncio.get_running_loop().call_soon(self.take, Events((), tuple(held)))
        return Inventory(
            (*inventory.running, *running), inventory.queued, exits, inventory.paused, inventory.version
        )

    def _held(self, exits: Collection[ExitRecord]) -> list[ExitRecord]:
        return [r for r in exits if r.started_at is not None and self._saver.holds(r.attempt)]

    async def _run(self) -> None:
        while self._waiting:
            frame = self._waiting[0]
            await asyncio.gather(
                *(
                    self._saver.settle(record.attempt, emergency=record.outcome in _FORCED)
                    for record in self._held(frame.exits)
                )
            )
            self._waiting.popleft()
            self._handle(frame)
        self._worker = None
