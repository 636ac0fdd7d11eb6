"""The bus over NATS: one authenticated connection that never buffers silently and never hangs.

On top of nats-py: requests fail at once where the server denies them, where the connection is
lost, and where nobody listens (`bus.waiting`); publishing without a connection raises instead of waiting in
a buffer; the waits between reconnects grow; handlers run one message at a time and finish what they began
(`bus.delivery`).
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import re
import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from enum import StrEnum
from typing import Any

import nkeys
from nats import errors as nats_errors
from nats.aio.client import Client as NatsClient
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription as NatsSubscription

from bus.address import SECURE
from bus.credentials import Credentials
from bus.delivery import Delivery
from bus.errors import (
    BusError,
    Disconnected,
    Forbidden,
    NoResponders,
    RequestTimeout,
    TooLarge,
)
from bus.pressure import Pressure
from bus.storage import DELETED, key_subject, stream_of
from bus.transport import Handler, Message, Subscription
from bus.trust import NoTls, Refused, begins_with_tls, client_context, expired, is_greeting, verdict_of
from bus.waiting import Waiting

log = logging.getLogger(__name__)


def _is_news(record: logging.LogRecord) -> bool:
    return "eof_received" not in record.getMessage()


# asyncio warns at the end of each connection that nats-py raised to TLS; nothing is wrong with it
logging.getLogger("asyncio").addFilter(_is_news)

CONNECT_TIMEOUT_S = 5.0
FLUSH_TIMEOUT_S = 5.0
CLOSE_TIMEOUT_S = 1.0
KV_TIMEOUT_S = 5.0
RECONNECT_FIRST_S, RECONNECT_MAX_S = 0.05, 1.0
PING_INTERVAL_S, PINGS_LOST_MAX = 5, 2
"""A dead peer is noticed after 15 s; a closed one at once."""

PENDING_BYTES_MAX = 32 * 1024 * 1024
"""More than the pressure lets in, with the largest message on top: nats-py itself never waits."""

QUEUE_BYTES_MAX = 64 * 1024 * 1024
_DROP_REPORT_S = 10.0

_DENIED = re.compile(r'permissions violation for (publish|subscription) to "([^"]+)"', re.IGNORECASE)
_REFUSALS_MAX = 3
"""Refused so often in a row while reconnecting, a credential is taken for revoked: nobody knocks for ever."""


class ConnectionState(StrEnum):
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"  # trying to reconnect
    CLOSED = "closed"  # for good: closed by us, or the credentials were refused


StateCallback = Callable[[ConnectionState], None]


class _Greeted(Exception):
    """The server spoke first: not the one that Corral brings along, or we began too late for it."""


class NatsBus:
    """`bus.transport.Bus` over one NATS connection; made by `connect`."""

    def __init__(self, credentials: Credentials, on_state: StateCallback | None) -> None:
        self._credentials = credentials
        self._on_state = on_state
        self._client = NatsClient()
        self._pressure = Pressure(self._client)
        self._inbox = self.new_inbox() + "."
        self._waiting = Waiting()
        self._denied_publishes: set[str] = set()
        self._denied_subscriptions: set[str] = set()
        self._subscriptions: dict[Delivery, NatsSubscription] = {}
        self._flushing: set[asyncio.Future[None]] = set()
        self._opening: asyncio.Future[str] | None = None
        self._refusals = 0
        self._refusal: Refused | None = None
        self._url = ""
        self._tls_wanted = False
        self._dropped = 0
        self._drops_told_at = -_DROP_REPORT_S

    @classmethod
    async def connect(
        cls,
        url: str,
        credentials: Credentials,
        *,
        name: str,
        on_state: StateCallback | None = None,
        timeout_s: float = CONNECT_TIMEOUT_S,
    ) -> NatsBus:
        """A connection that is up. `name` is shown by the server's monitoring.

        To a `tls://` address nothing is said before the server has proved its name, by the authority
        that the credentials carry or else by the system's. Raises Refused where the credentials are expired
        (without asking) or the server refuses them, Untrusted where it proves nothing, Disconnected
        where none answers in time.
        """
        if credentials.expires_at is not None and credentials.expires_at <= time.time():
            raise expired(credentials.name)
        try:
            bus = cls(credentials, on_state)
            await bus._open(url, name, timeout_s, begin=True)
        except _Greeted:
            bus = cls(credentials, on_state)
            await bus._open(url, name, timeout_s, begin=False)
        return bus

    @property
    def identity(self) -> str:
        return self._credentials.name

    @property
    def connected(self) -> bool:
        return self._client.is_connected

    @property
    def tls_version(self) -> str:
        secured = self._writer and self._writer.get_extra_info("ssl_object")
        return str(secured.version()) if secured else ""

    @property
    def _writer(self) -> asyncio.StreamWriter | None:
        return getattr(self._client._transport, "_io_writer", None)

    @property
    def refusal(self) -> Refused | None:
        """Why the server takes our credentials no longer; the connection is closed for good."""
        return self._refusal

    @property
    def dropped(self) -> int:
        """Messages lost so far because a handler was too slow for its queue."""
        return self._dropped

    def new_inbox(self) -> str:
        """A subject of our own to receive on; subscribe to it or below it."""
        return f"{self._credentials.inbox_prefix}.{secrets.token_hex(8)}"

    async def publish(
        self, subject: str, data: bytes, *, reply: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        if self._refusal is not None:
            raise self._refusal
        if not self._client.is_connected:
            raise Disconnected(f"no connection to publish {subject}")
        if len(data) + _bytes_of(headers or {}) > self._client.max_payload:
            # nats-py counts no headers, and the server closes the connection of whoever sends too much
            raise TooLarge(f"{subject}: more bytes than the server takes")
        await self._pressure.room(subject)
        try:
            await self._client.publish(subject, data, reply, dict(headers) if headers else None)
        except (nats_errors.Error, OSError) as error:
            raise _translated(error, subject) from error

    async def request(
        self, subject: str, data: bytes, *, timeout_s: float, headers: Mapping[str, str] | None = None
    ) -> Message:
        token, answer = self._waiting.ask(subject)
        try:
            async with asyncio.timeout(timeout_s):
                await self.publish(subject, data, reply=self._inbox + token, headers=headers)
                message = await answer
        except TimeoutError:
            raise RequestTimeout(f"no answer on {subject} within {timeout_s:g} s") from None
        finally:
            self._waiting.forget(token)
        if message.headers.get("Status") == "503":
            raise NoResponders(f"nobody listens on {subject}")
        return message

    async def subscribe(self, subject: str, handler: Handler, *, queue_limit: int = 65_536) -> Subscription:
        subscription = Delivery(handler, end=self._end)

        async def deliver(message: Msg) -> None:
            await subscription.deliver(_own(message))

        try:
            self._subscriptions[subscription] = await self._client.subscribe(
                subject,
                cb=deliver,
                pending_msgs_limit=queue_limit,
                pending_bytes_limit=QUEUE_BYTES_MAX,
            )
        except (nats_errors.Error, OSError) as error:
            raise _translated(error, subject) from error
        # the server tells of a denial before it answers our ping
        await self._round_trip()
        if subject.lower() in self._denied_subscriptions:
            self._denied_subscriptions.discard(subject.lower())
            await subscription.unsubscribe()
            raise Forbidden(f"{self.identity} may not subscribe to {subject}")
        return subscription

    async def kv_put(self, bucket: str, key: str, value: bytes) -> None:
        await self._stored(key_subject(bucket, key), value, {})

    async def kv_get(self, bucket: str, key: str) -> bytes | None:
        subject = key_subject(bucket, key)
        entry = await self.request(
            f"$JS.API.DIRECT.GET.{stream_of(bucket)}.{subject}", b"", timeout_s=KV_TIMEOUT_S
        )
        if "Nats-Subject" not in entry.headers or "KV-Operation" in entry.headers:
            return None  # never put, or a marker of its deletion
        return entry.data

    async def kv_delete(self, bucket: str, key: str) -> None:
        await self._stored(key_subject(bucket, key), b"", DELETED)

    async def flush(self) -> None:
        """Until the server has seen what was published. Raises Forbidden where it denied any of it."""
        await self._round_trip()
        if self._denied_publishes:
            subjects = ", ".join(sorted(self._denied_publishes))
            self._denied_publishes.clear()
            raise Forbidden(f"{self.identity} may not publish to {subjects}")

    async def close(self) -> None:
        if self._client.is_closed:
            return
        if self._client.is_connected:
            with suppress(BusError):
                await self._round_trip()
        for subscription in list(self._subscriptions):
            await subscription.unsubscribe()
        try:
            await self._client.close()
        except OSError:
            # nats-py says what is left to say also to a connection that was just lost, and then stops halfway
            self._client._pending.clear()
            self._client._pending_data_size = 0
            self._client._status = NatsClient.DISCONNECTED
            await self._client.close()
        self._fail_waiting(Disconnected("the connection was closed"))

    async def _end(self, subscription: Delivery) -> None:
        inner = self._subscriptions.pop(subscription, None)
        if inner is not None:
            with suppress(nats_errors.Error, OSError):
                await inner.unsubscribe()

    async def _open(self, url: str, name: str, timeout_s: float, *, begin: bool) -> None:
        """`begin`: with TLS at once, where the server may wait for it. Raises _Greeted if it did not."""
        self._opening = asyncio.get_running_loop().create_future()
        self._url = url
        self._tls_wanted = url.startswith(f"{SECURE}://")
        context = client_context(self._credentials.ca) if self._tls_wanted else None
        opening = asyncio.create_task(
            self._client.connect(
                url,
                name=name,
                error_cb=self._on_error,
                disconnected_cb=self._on_disconnected,
                reconnected_cb=self._on_reconnected,
                closed_cb=self._on_closed,
                user_jwt_cb=lambda: bytearray(self._credentials.jwt.encode()),
                signature_cb=self._sign,
                inbox_prefix=self._credentials.inbox_prefix,
                max_reconnect_attempts=-1,
                reconnect_time_wait=RECONNECT_FIRST_S,  # type: ignore[arg-type]  # sleeps any number
                ping_interval=PING_INTERVAL_S,
                max_outstanding_pings=PINGS_LOST_MAX,
                connect_timeout=2,
                pending_size=PENDING_BYTES_MAX,
                tls_handshake_first=begin and context is not None and begins_with_tls(context),
                tls=context,
            ),
            name="nats connect",
        )
        try:
            first: set[asyncio.Future[Any]] = {opening, self._opening}
            await asyncio.wait(first, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if self._opening.done():
                self._opening.result()
            if not opening.done():
                raise Disconnected(f"no NATS server answers at {url} within {timeout_s:g} s")
            try:
                opening.result()
            except (nats_errors.Error, OSError) as error:
                raise _translated(error, url) from error
        except BaseException:
            opening.cancel()
            with suppress(asyncio.CancelledError, nats_errors.Error, OSError):
                await opening
            await self._abandon()
            raise
        self._opening = None
        self._client.options["reconnect_time_wait"] = RECONNECT_FIRST_S
        await self._client.subscribe(self._inbox + "*", cb=self._on_answer)

    async def _abandon(self) -> None:
        """Hang up: what a broken off attempt of nats-py leaves open is neither closed nor used by anybody."""
        if self._writer is not None:
            # at once: a polite end of TLS waits for the other side, 30 s long where that one says nothing
            self._writer.transport.abort()
        # nats-py waits for ever for the end of a connection whose TLS handshake was broken off
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._client.close()

    def _sign(self, nonce: str) -> bytes:
        # whoever sits between could strip the server's offer of TLS: then we say nothing at all
        if self._tls_wanted and not self._client._server_info.get("tls_required"):
            raise NoTls("no TLS")
        if not self._credentials.seed:
            return b""
        pair = nkeys.from_seed(bytearray(self._credentials.seed))
        try:
            return base64.b64encode(pair.sign(nonce.encode()))
        finally:
            pair.wipe()

    async def _round_trip(self) -> None:
        if self._refusal is not None:
            raise self._refusal
        if not self._client.is_connected:
            raise Disconnected("no connection")
        loop = asyncio.get_running_loop()
        lost: asyncio.Future[None] = loop.create_future()
        self._flushing.add(lost)
        flushing = loop.create_task(self._ping(), name="nats flush")
        try:
            # nats-py would wait its whole time for the pong of a connection that is gone
            await asyncio.wait((flushing, lost), return_when=asyncio.FIRST_COMPLETED)
            if not flushing.done():
                raise Disconnected("the connection was lost before the server had seen everything")
            flushing.result()
        except nats_errors.FlushTimeoutError:
            raise Disconnected(f"the server does not answer a ping within {FLUSH_TIMEOUT_S:g} s") from None
        except (nats_errors.Error, OSError) as error:
            raise _translated(error, "flush") from error
        finally:
            flushing.cancel()
            self._flushing.discard(lost)

    async def _ping(self) -> None:
        # nats-py writes a ping at once, but what was published before it goes through a task of its own:
        # without this wait the ping overtakes it, and the server's denial comes after the answer
        pause_s = 0.0
        while self._client.pending_data_size and self._client.is_connected:
            flusher = self._client._flusher_task
            if flusher is None or flusher.done():
                # nobody writes this any more: a loop that is shut down cancels all tasks at once
                raise nats_errors.ConnectionClosedError
            await asyncio.sleep(pause_s)
            pause_s = 0.001
        if self._client.is_closed:
            raise nats_errors.ConnectionClosedError
        # not its flush, which cancels what a late pong would set: its reading would end without a word, the
        # connection stay deaf until it counts as stale (measured: 12 s, once a server had stood still for 4)
        await self._client._send_ping(answered := asyncio.get_running_loop().create_future())
        await asyncio.wait((answered,), timeout=FLUSH_TIMEOUT_S)
        if not answered.done():
            raise nats_errors.FlushTimeoutError

    async def _stored(self, subject: str, data: bytes, headers: Mapping[str, str]) -> None:
        answer = await self.request(subject, data, timeout_s=KV_TIMEOUT_S, headers=headers)
        said: dict[str, Any] = json.loads(answer.data)
        if "error" in said:
            raise BusError(f"{subject}: {said['error'].get('description')}")

    async def _on_answer(self, message: Msg) -> None:
        self._waiting.answer(message.subject[len(self._inbox) :], _own(message))

    async def _on_error(self, error: Exception) -> None:
        denied = _DENIED.search(str(error))
        if denied:
            self._deny(denied[1].lower(), denied[2])
        elif isinstance(error, nats_errors.SlowConsumerError):
            self._dropped += 1
            if time.monotonic() - self._drops_told_at > _DROP_REPORT_S:
                self._drops_told_at = time.monotonic()
                log.warning("slow consumer of %s: %d messages dropped so far", error.subject, self._dropped)
        else:
            self._on_failed_attempt(error)
            # wait longer before the next
            wait_s = self._client.options.get("reconnect_time_wait", RECONNECT_FIRST_S)
            self._client.options["reconnect_time_wait"] = min(wait_s * 2, RECONNECT_MAX_S)
            log.debug("bus: %s", error)

    def _on_failed_attempt(self, error: Exception) -> None:
        """Some failures are not worth another attempt: while opening at once, later only refusals."""
        greeted = is_greeting(error)
        # a greeting that was read before TLS began leaves both sides waiting for the other
        if self._client.options["tls_handshake_first"] and (greeted or isinstance(error, TimeoutError)):
            self._client.options["tls_handshake_first"] = False
            if greeted and self._opening is not None and not self._opening.done():
                self._opening.set_exception(_Greeted())
            return
        verdict = verdict_of(error, url=self._url, name=self.identity)
        if verdict is None:
            return
        if self._opening is not None:
            if not self._opening.done():
                self._opening.set_exception(verdict)
        elif isinstance(verdict, Refused):
            self._refusals += 1
            if self._refusals >= _REFUSALS_MAX and self._refusal is None:
                log.error("%s", verdict)
                self._refusal = verdict
                # not from here: we run inside the very task that closing cancels
                self._ending = asyncio.create_task(self._client.close(), name="nats close")

    def _deny(self, what: str, subject: str) -> None:
        log.warning("%s may not use %s (%s)", self.identity, subject, what)
        if what == "subscription":
            self._denied_subscriptions.add(subject.lower())
            return
        denial = Forbidden(f"{self.identity} may not publish to {subject}")
        if not self._waiting.deny(subject, denial):
            self._denied_publishes.add(subject)

    async def _on_disconnected(self) -> None:
        if self._refusal is None and self._client.is_closed:
            verdict = verdict_of(self._client.last_error, url=self._url, name=self.identity)
            self._refusal = verdict if isinstance(verdict, Refused) else None
        lost = Disconnected("the connection was lost before the answer came")
        self._fail_waiting(self._refusal or lost)
        if not self._client.is_closed:
            self._tell(ConnectionState.DISCONNECTED)

    async def _on_reconnected(self) -> None:
        self._client.options["reconnect_time_wait"] = RECONNECT_FIRST_S
        self._refusals = 0
        self._tell(ConnectionState.CONNECTED)

    async def _on_closed(self) -> None:
        self._tell(ConnectionState.CLOSED)

    def _tell(self, state: ConnectionState) -> None:
        if self._on_state is not None:
            self._on_state(state)

    def _fail_waiting(self, error: BusError) -> None:
        self._waiting.fail(error)
        self._pressure.lost()
        for lost in self._flushing:
            if not lost.done():
                lost.set_result(None)


def _own(message: Msg) -> Message:
    return Message(message.subject, message.data, message.reply, message.headers or {})


def _bytes_of(headers: Mapping[str, str]) -> int:
    """What they add to a message, its first line included."""
    lines = sum(len(key) + len(value.encode()) + 4 for key, value in headers.items())
    return lines + len("NATS/1.0\r\n\r\n") if headers else 0


def _translated(error: Exception, subject: str) -> BusError:
    match error:
        case nats_errors.MaxPayloadError():
            return TooLarge(f"{subject}: more bytes than the server takes")
        case nats_errors.BadSubjectError():
            return BusError(f"not a subject: {subject[:80]!r}")
        case _:
            return Disconnected(f"{subject}: {str(error) or type(error).__name__}")
