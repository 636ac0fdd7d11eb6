"""Bytes that were published and that the server has not taken yet: bounded, and never waited for in vain.

nats-py waits without a bound once so much has gathered, and swallows the cancellation of whoever waits: a
request whose time ran out in there would wait for ever. So nobody is let in there. Who comes when LIMIT
bytes wait stands in front until there is room, as long as the server takes anything at all; once it took
nothing for STALL_S he and all that follow are told at once, until bytes move again. What was refused was
never sent: whoever must be heard says it again, as after a lost connection.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from bus.errors import Disconnected, Stalled

LIMIT_BYTES = 2 * 1024 * 1024
STALL_S = 5.0


class Sender(Protocol):
    """What is looked at of nats-py's client. Each flush begins another list of what is pending."""

    _pending: list[bytes]
    _flush_queue: asyncio.Queue[asyncio.Future[None]] | None
    _transport: Any

    @property
    def is_connected(self) -> bool: ...

    @property
    def pending_data_size(self) -> int: ...


class Pressure:
    """In front of `client`; `lost` is to be called when its connection is."""

    def __init__(self, client: Sender) -> None:
        self._client = client
        self._flushed: asyncio.Future[None] | None = None
        self._stalled = False

    async def room(self, subject: str) -> None:
        """Return once a message may be handed over. Raises Stalled, Disconnected."""
        while self._client.pending_data_size >= LIMIT_BYTES:
            if not self._client.is_connected:
                raise Disconnected(f"{subject}: the connection was lost before it could be sent")
            if self._stalled:
                raise self._refusal(subject)
            batch, written = self._client._pending, self._written_bytes()
            flushed, _ = await asyncio.wait((self._flush(),), timeout=STALL_S)
            moved = flushed or self._client._pending is not batch or self._written_bytes() < written
            if not moved and self._client.is_connected:
                self._stalled = True
        self._stalled = False

    def lost(self) -> None:
        """Nobody waits for a connection that is gone."""
        self._stalled = False
        if self._flushed is not None and not self._flushed.done():
            self._flushed.set_result(None)

    def _flush(self) -> asyncio.Future[None]:
        """Done when all that waits now is with the system; one for all who wait."""
        if self._flushed is None or self._flushed.done():
            self._flushed = asyncio.get_running_loop().create_future()
            queue = self._client._flush_queue
            if queue is not None and not queue.full():
                queue.put_nowait(self._flushed)
        return self._flushed

    def _written_bytes(self) -> int:
        """What nats-py has written, and the system has not taken."""
        writer = getattr(self._client._transport, "_io_writer", None)
        return int(writer.transport.get_write_buffer_size()) if writer is not None else 0

    def _refusal(self, subject: str) -> Stalled:
        return Stalled(
            f"{subject}: not sent: the server has taken nothing for {STALL_S:g} s,"
            f" and {self._client.pending_data_size + self._written_bytes():,} bytes wait for it"
        )
