"""The bus within one process: the same contract as NATS, with the same permissions, for tests and simulation.

A hub joins connections. Each subscription has its own queue and worker, so handlers run one message at a
time and in order; TTLs run on the clock that the hub is given.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress

from bus.errors import Disconnected, Forbidden, NoResponders, RequestTimeout, TooLarge
from bus.permissions import (
    Permissions,
    agent_permissions,
    coordinator_permissions,
    user_permissions,
)
from bus.storage import BUCKETS, Bucket, key_subject, stream_of
from bus.subjects import Peer, inbox_prefix, matches
from bus.transport import Handler, Message, Subscription
from bus.values import Role

log = logging.getLogger(__name__)

MAX_PAYLOAD_BYTES = 8 * 1024 * 1024
_BUCKET_NAMES = frozenset(map(str, BUCKETS))


class MemoryHub:
    """Where connections meet. `clock` gives seconds; only their differences matter."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._subscriptions: list[_MemorySubscription] = []
        self._kept: dict[str, tuple[float, bytes]] = {}

    def connect(self, identity: str, permissions: Permissions, inbox: str) -> MemoryBus:
        """A connection with these rights; `inbox` is the prefix of its inbox."""
        return MemoryBus(self, identity, permissions, inbox)

    def connect_user(self, name: str, role: Role = Role.USER) -> MemoryBus:
        return self.connect(name, user_permissions(name, role), inbox_prefix(Peer.USER, name))

    def connect_agent(self, node: str) -> MemoryBus:
        return self.connect(node, agent_permissions(node), inbox_prefix(Peer.NODE, node))

    def connect_coordinator(self, name: str = "coordinator") -> MemoryBus:
        return self.connect(name, coordinator_permissions(name), inbox_prefix(Peer.COORDINATOR, name))

    def _deliver(self, message: Message) -> int:
        receivers = [one for one in self._subscriptions if matches(one.pattern, message.subject)]
        for one in receivers:
            one.take(message)
        return len(receivers)

    def _put(self, bucket: str, key: str, value: bytes | None) -> None:
        _require_bucket(bucket)
        if value is None:
            self._kept.pop(key_subject(bucket, key), None)
        else:
            self._kept[key_subject(bucket, key)] = (self._clock(), value)

    def _get(self, bucket: str, key: str) -> bytes | None:
        _require_bucket(bucket)
        put_at, value = self._kept.get(key_subject(bucket, key), (0.0, None))
        ttl_s = BUCKETS[Bucket(bucket)].ttl_s
        if value is None or (ttl_s is not None and self._clock() - put_at >= ttl_s):
            return None
        return value


class MemoryBus:
    """`bus.transport.Bus` on a hub; made by `MemoryHub.connect`."""

    def __init__(self, hub: MemoryHub, identity: str, permissions: Permissions, inbox: str) -> None:
        self._hub = hub
        self._identity = identity
        self._permissions = permissions
        self._inbox_prefix = inbox
        self._connected = True
        self._closed = False
        self._denied: set[str] = set()
        self._answerable: set[str] = set()
        self._subscriptions: set[_MemorySubscription] = set()
        self._waiting: set[asyncio.Future[Message]] = set()

    @property
    def identity(self) -> str:
        return self._identity

    @property
    def connected(self) -> bool:
        return self._connected and not self._closed

    @property
    def tls_version(self) -> str:
        return ""

    def new_inbox(self) -> str:
        """A subject of our own to receive on; subscribe to it or below it."""
        return f"{self._inbox_prefix}.{secrets.token_hex(8)}"

    def set_connected(self, connected: bool) -> None:
        """Cut the connection, or heal it: while cut nothing is sent or received, and requests fail."""
        self._connected = connected
        if not connected:
            for answer in self._waiting:
                if not answer.done():
                    answer.set_exception(Disconnected("the connection was lost before the answer came"))

    async def publish(
        self, subject: str, data: bytes, *, reply: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        self._require_connection(subject)
        if len(data) > MAX_PAYLOAD_BYTES:
            raise TooLarge(f"{subject}: more bytes than the bus takes")
        if not self._may_publish(subject):
            self._denied.add(subject)
            return
        self._hub._deliver(Message(subject, bytes(data), reply, dict(headers or {})))

    async def request(
        self, subject: str, data: bytes, *, timeout_s: float, headers: Mapping[str, str] | None = None
    ) -> Message:
        self._require_connection(subject)
        if not self._may_publish(subject):
            raise Forbidden(f"{self.identity} may not publish to {subject}")
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        inbox = self.new_inbox()
        receiver = _MemorySubscription(self, inbox, None, queue_limit=1)
        receiver.answer = answer
        self._hub._subscriptions.append(receiver)
        self._waiting.add(answer)
        try:
            if not self._hub._deliver(Message(subject, bytes(data), inbox, dict(headers or {}))):
                raise NoResponders(f"nobody listens on {subject}")
            async with asyncio.timeout(timeout_s):
                return await answer
        except TimeoutError:
            raise RequestTimeout(f"no answer on {subject} within {timeout_s:g} s") from None
        finally:
            self._waiting.discard(answer)
            self._hub._subscriptions.remove(receiver)

    async def subscribe(self, subject: str, handler: Handler, *, queue_limit: int = 65_536) -> Subscription:
        self._require_connection(subject)
        if not self._permissions.may_subscribe(subject):
            raise Forbidden(f"{self.identity} may not subscribe to {subject}")
        subscription = _MemorySubscription(self, subject, handler, queue_limit=queue_limit)
        subscription.start()
        self._subscriptions.add(subscription)
        self._hub._subscriptions.append(subscription)
        return subscription

    async def kv_put(self, bucket: str, key: str, value: bytes) -> None:
        self._require(key_subject(bucket, key))
        self._hub._put(bucket, key, bytes(value))

    async def kv_get(self, bucket: str, key: str) -> bytes | None:
        self._require(f"$JS.API.DIRECT.GET.{stream_of(bucket)}.{key_subject(bucket, key)}")
        return self._hub._get(bucket, key)

    async def kv_delete(self, bucket: str, key: str) -> None:
        self._require(key_subject(bucket, key))
        self._hub._put(bucket, key, None)

    async def flush(self) -> None:
        self._require_connection("flush")
        if self._denied:
            subjects = ", ".join(sorted(self._denied))
            self._denied.clear()
            raise Forbidden(f"{self.identity} may not publish to {subjects}")

    async def close(self) -> None:
        if self._closed:
            return
        for subscription in list(self._subscriptions):
            await subscription.unsubscribe()
        self.set_connected(False)
        self._closed = True

    def _may_publish(self, subject: str) -> bool:
        if self._permissions.may_publish(subject):
            return True
        if self._permissions.respond and subject in self._answerable:
            self._answerable.discard(subject)
            return True
        return False

    def _require_connection(self, subject: str) -> None:
        if not self.connected:
            raise Disconnected(f"no connection for {subject}")

    def _require(self, subject: str) -> None:
        self._require_connection(subject)
        if not self._permissions.may_publish(subject):
            raise Forbidden(f"{self.identity} may not publish to {subject}")


def _require_bucket(name: str) -> None:
    if name not in _BUCKET_NAMES:
        raise NoResponders(f"no bucket {name[:80]!r}")


class _MemorySubscription:
    """A queue and its worker; with `answer` set instead, the inbox of one request."""

    def __init__(self, bus: MemoryBus, pattern: str, handler: Handler | None, *, queue_limit: int) -> None:
        self.pattern = pattern
        self.answer: asyncio.Future[Message] | None = None
        self._bus = bus
        self._handler = handler
        self._queue: asyncio.Queue[Message] = asyncio.Queue(queue_limit)
        self._worker: asyncio.Task[None] | None = None
        self._busy = asyncio.Lock()

    def start(self) -> None:
        self._worker = asyncio.create_task(self._work(), name=f"memory bus: {self.pattern}")

    def take(self, message: Message) -> None:
        if not self._bus.connected:
            return
        if self.answer is not None:
            if not self.answer.done():
                self.answer.set_result(message)
            return
        if message.reply and self._bus._permissions.respond:
            self._bus._answerable.add(message.reply)
        with suppress(asyncio.QueueFull):  # a slow consumer loses messages, as on NATS
            self._queue.put_nowait(message)

    async def unsubscribe(self) -> None:
        self._bus._subscriptions.discard(self)
        if self not in self._bus._hub._subscriptions:
            return
        self._bus._hub._subscriptions.remove(self)
        assert self._worker is not None
        if self._worker is asyncio.current_task():
            return  # from within the handler: the worker ends by itself after it
        async with self._busy:
            self._worker.cancel()
        with suppress(asyncio.CancelledError):
            await self._worker

    async def _work(self) -> None:
        assert self._handler is not None
        while self in self._bus._hub._subscriptions:
            message = await self._queue.get()
            async with self._busy:
                try:
                    await self._handler(message)
                except Exception:  # top of the loop: a bad handler must not end the subscription
                    log.exception("handler of %s failed", message.subject)
