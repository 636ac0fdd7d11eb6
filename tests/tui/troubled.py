"""A cluster whose answers a test holds back, or turns into errors, one kind of request at a time."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

from textual.pilot import Pilot

from bus.errors import CorralError
from tui.app import Console
from tui.client.fake import FakeCluster
from tui.client.source import Source
from tui.screens.live import LiveScreen

FRAME = frozenset({"whoami", "cluster"})
"""What the console itself asks to know that somebody is there; `everything` leaves it alone."""


class Troubled:
    """`hold` and `fail` take the names of the source's methods; no name means all that screens ask."""

    def __init__(self, fake: FakeCluster) -> None:
        self.fake = fake
        self._held: set[str] = set()
        self._errors: dict[str, CorralError] = {}
        self._changed = asyncio.Condition()
        self.waiting: list[str] = []

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Source]:
        """As long as the fake can be reached."""
        async with self.fake.connect():
            yield cast("Source", self)

    def hold(self, *operations: str) -> None:
        """No answers to these until `release`."""
        self._held = set(operations) or {""}

    def fail(self, error: CorralError, *operations: str) -> None:
        """This instead of an answer, until `release`."""
        self._errors.update(dict.fromkeys(operations or ("",), error))

    async def release(self, *, into: CorralError | None = None) -> None:
        """All is well: what was held is answered; or `into` an error, as everything is from then on."""
        async with self._changed:
            self._held, self._errors = set(), {} if into is None else {"": into}
            self._changed.notify_all()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.fake, name)
        if not inspect.iscoroutinefunction(method):
            return method

        async def answered(*arguments: Any, **named: Any) -> Any:
            self.waiting.append(name)
            try:
                async with self._changed:
                    await self._changed.wait_for(lambda: not self._is_among(name, self._held))
            finally:
                self.waiting.remove(name)
            if self._is_among(name, self._errors):
                raise self._errors.get(name) or self._errors[""]
            return await method(*arguments, **named)

        return answered

    def _is_among(self, name: str, names: Any) -> bool:
        return name in names or ("" in names and name not in FRAME)


def console(pilot: Pilot[None]) -> Console:
    assert isinstance(pilot.app, Console)
    return pilot.app


def screen_at(pilot: Pilot[None]) -> LiveScreen:
    assert isinstance(pilot.app.screen, LiveScreen)
    return pilot.app.screen


def said(pilot: Pilot[None]) -> str:
    return "\n".join(note.message for note in pilot.app._notifications)
