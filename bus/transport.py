"""What carries messages: the contract that NATS and the in-process bus both keep.

`bus.connection` (NATS) and `bus.memory` pass one conformance suite, `tests/unit/bus/test_transport.py`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from msgspec import Struct


class Message(Struct, frozen=True):
    """Bytes on a subject. `reply` is where an answer is expected, if anywhere."""

    subject: str
    data: bytes
    reply: str = ""
    headers: dict[str, str] = {}


Handler = Callable[[Message], Awaitable[None]]


class Subscription(Protocol):
    async def unsubscribe(self) -> None:
        """Stop; messages already handed over are finished. Twice is fine."""


class Bus(Protocol):
    """One authenticated connection. All calls raise `bus.errors.BusError` subclasses only."""

    @property
    def identity(self) -> str:
        """The user or node this connection speaks for."""

    @property
    def connected(self) -> bool: ...

    @property
    def tls_version(self) -> str:
        """Of TLS, as the two sides agreed on it; "" where the talk can be read."""

    async def publish(
        self, subject: str, data: bytes, *, reply: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        """Hand over; raises Disconnected while the connection is down instead of buffering."""

    async def request(
        self, subject: str, data: bytes, *, timeout_s: float, headers: Mapping[str, str] | None = None
    ) -> Message:
        """Ask and wait. Raises NoResponders, RequestTimeout, Disconnected, Forbidden."""

    async def subscribe(self, subject: str, handler: Handler, *, queue_limit: int = 65_536) -> Subscription:
        """Call `handler` for each message in order, one at a time. Raises Forbidden."""

    async def kv_put(self, bucket: str, key: str, value: bytes) -> None: ...

    async def kv_get(self, bucket: str, key: str) -> bytes | None: ...

    async def kv_delete(self, bucket: str, key: str) -> None: ...

    async def flush(self) -> None:
        """Until the server has seen what was published."""

    async def close(self) -> None:
        """Deliver what was published, stop the subscriptions. Twice is fine."""
