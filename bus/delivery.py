"""A subscription's messages, one at a time; its end waits for the message in hand, nothing comes after."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from bus.transport import Handler, Message

log = logging.getLogger(__name__)


class Delivery:
    """`bus.transport.Subscription` around `handler`; `end` is to stop the messages, and is called once."""

    def __init__(self, handler: Handler, *, end: Callable[[Delivery], Awaitable[None]]) -> None:
        self._handler = handler
        self._end = end
        self._busy = asyncio.Lock()
        self._worker: asyncio.Task[object] | None = None
        self._ended = False

    async def deliver(self, message: Message) -> None:
        """Have it handled, after those that came before."""
        async with self._busy:
            if self._ended:
                return
            self._worker = asyncio.current_task()
            try:
                await self._handler(message)
            except Exception:  # top of the loop: a bad handler must not end the subscription
                log.exception("handler of %s failed", message.subject)
            finally:
                self._worker = None

    async def unsubscribe(self) -> None:
        if self._ended:
            return
        self._ended = True
        if self._worker is not None and self._worker is asyncio.current_task():
            # from within the handler: it must return before its own task can be ended
            self._ending = asyncio.create_task(self._finish(), name="unsubscribe")
            return
        await self._finish()

    async def _finish(self) -> None:
        async with self._busy:
            await self._end(self)
