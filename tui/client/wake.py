"""What a list is waiting for: nothing, the next page, the end, or to be asked for anew, now or soon."""

from __future__ import annotations

import asyncio

from bus.patience import wait_for_event

SOON_S = 1.0
"""The least time between two reloads that changes ask for; a reader's own wishes do not wait."""


class Wake:
    """Wishes gather until they are taken."""

    def __init__(self) -> None:
        self._stirred = asyncio.Event()
        self._urgent = False
        self._changed = False
        self._more = False
        self._before = False
        self._end = False
        self._woke_at = -SOON_S

    def met(self) -> None:
        """All that was wanted so far is being asked for."""
        self._urgent = self._changed = False

    def now(self) -> None:
        """Ask anew at once."""
        self._urgent = True
        self._stirred.set()

    def soon(self) -> None:
        """Ask anew, at most once a second."""
        self._changed = True
        self._stirred.set()

    def more(self) -> None:
        """The next page is wanted."""
        self._more = True
        self.now()

    def before(self) -> None:
        """The page before the first is wanted."""
        self._before = True
        self.now()

    def end(self) -> None:
        """The end is wanted."""
        self._end = True
        self.now()

    def take_more(self) -> bool:
        """Whether the next page is wanted; then no longer."""
        wanted, self._more = self._more, False
        return wanted

    def take_before(self) -> bool:
        """Whether the page before the first is wanted; then no longer."""
        wanted, self._before = self._before, False
        return wanted

    def take_end(self) -> bool:
        """Whether the end is wanted; then no longer."""
        wanted, self._end = self._end, False
        return wanted

    async def rest(self, timeout_s: float) -> bool:
        """Let so much time pass; True at once where something is wanted that cannot wait."""
        loop = asyncio.get_running_loop()
        due_at = loop.time() + timeout_s
        while not self._urgent and (left_s := due_at - loop.time()) > 0:
            await wait_for_event(self._stirred, timeout_s=left_s)
        return self._urgent

    async def wait(self, timeout_s: float) -> None:
        """Until something is wanted, or the time is up."""
        loop = asyncio.get_running_loop()
        due_at = loop.time() + timeout_s
        while not self._urgent:
            until = min(due_at, self._woke_at + SOON_S) if self._changed else due_at
            left_s = until - loop.time()
            if left_s <= 0:
                break
            await wait_for_event(self._stirred, timeout_s=left_s)
        self.met()
        self._woke_at = loop.time()
