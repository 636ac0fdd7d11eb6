"""What the coordinator asks of JetStream: make the buckets and streams, take what was submitted meanwhile.

JSON requests to the server's own API over our connection. A submission is acknowledged only after its
commit; where the coordinator dies with it, the next one gets it at once, and the same one after ACK_WAIT_S.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from msgspec import Struct

from bus.codec import Codec, encode
from bus.connection import NatsBus
from bus.errors import BusError, Error, ErrorReply, one_line
from bus.limits import BYTES_MAX
from bus.storage import (
    BUCKETS,
    DEDUPE_WINDOW_S,
    DELETED,
    STREAMS,
    SUBMISSIONS,
    SUBMISSIONS_CONSUMER,
    Bucket,
    BucketSpec,
    StreamSpec,
    key_subject,
    stream_of,
)
from bus.subjects import PublishSubject, dead_letter, errors, parse
from bus.transport import Message, Subscription
from bus.values import UserName

REQUEST_TIMEOUT_S = 5.0
ACK_WAIT_S = 30
PULL_BATCH = 512
PULL_BYTES = 16 * 1024 * 1024
PULL_EXPIRES_S = 5
_NS = 1_000_000_000
_BUCKET_BYTES_MAX = 128 * 1024 * 1024
_ID_KEPT = 128  # no longer one is taken
_NAME_TAKEN = 10058  # the stream exists with another configuration


async def ensure_buckets(bus: NatsBus) -> None:
    """Make the KV buckets that are missing, bring the others up to date. Raises BusError."""
    for bucket, spec in BUCKETS.items():
        await _ensure(bus, stream_of(bucket), _bucket_config(bucket, spec))


async def ensure_streams(bus: NatsBus) -> None:
    """Make the streams that are missing, bring the others up to date. Raises BusError."""
    for spec in STREAMS:
        await _ensure(bus, spec.name, _stream_config(spec))


async def count_values(bus: NatsBus, bucket: Bucket) -> int:
    """How many values the bucket holds, markers of deletions included; 0 where there is no bucket."""
    try:
        info = await _ask(bus, f"STREAM.INFO.{stream_of(bucket)}", {})
    except _JetStreamError:
        return 0
    return int(info["state"]["messages"])


async def empty_bucket(bus: NatsBus, bucket: Bucket) -> None:
    """Forget all its values. Raises BusError."""
    await _ask(bus, f"STREAM.PURGE.{stream_of(bucket)}", {})


async def put_many(bus: NatsBus, bucket: Bucket, values: Sequence[tuple[str, bytes | None]]) -> None:
    """Put values, and delete those that are None, in order; only the last one's storing is waited for.

    Raises BusError; a caller who must know of every value puts all of them again.
    """
    if not values:
        return
    *others, (key, value) = values
    for other, kept in others:
        headers = DELETED if kept is None else None
        await bus.publish(key_subject(bucket, other), kept or b"", headers=headers)
    if value is None:
        await bus.kv_delete(bucket, key)
    else:
        await bus.kv_put(bucket, key, value)


class Submission(Struct, frozen=True):
    """Something published on `corral.u.<user>.publish`.

    `message_id`: the sender's Nats-Msg-Id, or "". `place`: its sequence number and instant in the stream, the
    same at every delivery; also after the stream was lost and numbers begin again no other message has it.
    """

    user: UserName
    data: bytes
    message_id: str
    deliveries: int
    place: str
    token: str  # where its acknowledgement goes
    headers: dict[str, str] = {}


class Submissions:
    """The waiting line of fire-and-forget submissions, oldest first."""

    def __init__(self, bus: NatsBus) -> None:
        self._bus = bus
        self._inbox = bus.new_inbox()
        self._arrived: asyncio.Queue[Submission] = asyncio.Queue()
        self._subscription: Subscription | None = None
        self._expected = 0
        self._pull_ends_at = 0.0
        self._pulls = 0
        self._broken = True

    @property
    def broken(self) -> bool:
        """Whether nothing comes before `open` is called (again)."""
        return self._broken

    async def open(self) -> None:
        """Make the line, and again where JetStream lost it; nothing while it stands. Raises BusError."""
        if self._subscription is None:
            self._subscription = await self._bus.subscribe(f"{self._inbox}.*", self._on_message)
        if self._broken:
            await self._make()

    async def _make(self) -> None:
        await _ensure(self._bus, SUBMISSIONS.name, _stream_config(SUBMISSIONS))
        # anew: what a coordinator that died had taken is given again now, not after ACK_WAIT_S
        with suppress(_JetStreamError):
            await _ask(self._bus, f"CONSUMER.DELETE.{SUBMISSIONS.name}.{SUBMISSIONS_CONSUMER}", {})
        config = {
            "durable_name": SUBMISSIONS_CONSUMER,
            "ack_policy": "explicit",
            "ack_wait": ACK_WAIT_S * _NS,
            "max_ack_pending": 4096,
            "deliver_policy": "all",
        }
        await _ask(
            self._bus,
            f"CONSUMER.CREATE.{SUBMISSIONS.name}.{SUBMISSIONS_CONSUMER}",
            {"stream_name": SUBMISSIONS.name, "config": config},
        )
        self._broken = False
        self._expected = 0

    async def fetch(self, *, wait_s: float) -> list[Submission]:
        """What has arrived, at once; else what arrives within `wait_s`; else nothing. Raises BusError."""
        now = asyncio.get_running_loop().time()
        if self._expected <= 0 or now > self._pull_ends_at:
            await self._pull(now)
        taken: list[Submission] = []
        try:
            async with asyncio.timeout(wait_s):
                taken.append(await self._arrived.get())
        except TimeoutError:
            return []
        while not self._arrived.empty():
            taken.append(self._arrived.get_nowait())
        return taken

    async def done(self, submission: Submission) -> None:
        """It is committed: JetStream may forget it."""
        await self._bus.publish(submission.token, b"+ACK")

    async def retry(self, submission: Submission, *, delay_s: float) -> None:
        """Not now: give it again after `delay_s`."""
        delay = json.dumps({"delay": round(delay_s * _NS)})
        await self._bus.publish(submission.token, b"-NAK " + delay.encode())

    async def reject(self, submission: Submission, error: Error) -> None:
        """It cannot be a job: keep it among the dead letters, tell its user why, forget it.

        Of a body that is longer than any job may be, the letter keeps the beginning.
        """
        # as JSON: a message may quote its sender, and what it quotes must not end a header
        headers = {"Corral-Error-Code": error.code, "Corral-Error": json.dumps(one_line(error)[:1000])}
        if submission.message_id:
            headers["Corral-Message-Id"] = submission.message_id[:_ID_KEPT]
        length = {"Corral-Bytes": str(len(submission.data))}
        kept = submission.data[:BYTES_MAX]
        await _stored(self._bus, dead_letter(submission.user), kept, headers | length)
        reason = encode(ErrorReply(error=error), Codec.JSON)
        await self._bus.publish(errors(submission.user), reason, headers=headers)
        await self.done(submission)

    async def close(self) -> None:
        """Take no more; what is not done is given to the next line that opens. Twice is fine."""
        if self._subscription is not None:
            await self._subscription.unsubscribe()

    async def _pull(self, now: float) -> None:
        # each pull has its own reply subject: a late word about an old one must not end the new one
        self._pulls += 1
        self._expected = PULL_BATCH
        self._pull_ends_at = now + PULL_EXPIRES_S + 1
        asked = {"batch": PULL_BATCH, "max_bytes": PULL_BYTES, "expires": PULL_EXPIRES_S * _NS}
        await self._bus.publish(
            f"$JS.API.CONSUMER.MSG.NEXT.{SUBMISSIONS.name}.{SUBMISSIONS_CONSUMER}",
            json.dumps(asked).encode(),
            reply=f"{self._inbox}.{self._pulls}",
        )

    async def _on_message(self, message: Message) -> None:
        # what JetStream delivers keeps the subject it was published on; its own words come to our inbox
        if message.subject.startswith(self._inbox):
            if message.subject == f"{self._inbox}.{self._pulls}":
                self._expected = 0
                # nobody answers for the consumer, or it was deleted
                gone = message.headers.get("Description", "") == "Consumer Deleted"
                self._broken = gone or message.headers.get("Status") == "503"
            return
        self._expected -= 1
        sender = parse(message.subject)
        assert isinstance(sender, PublishSubject)
        # $JS.ACK.<stream>.<consumer>.<deliveries>.<sequence>.<delivery>.<nanoseconds>.<pending>
        _, _, _, _, deliveries, sequence, _, instant_ns, _ = message.reply.split(".")
        self._arrived.put_nowait(
            Submission(
                sender.user,
                message.data,
                message.headers.get("Nats-Msg-Id", ""),
                int(deliveries),
                f"{sequence}-{instant_ns}",
                message.reply,
                message.headers,
            )
        )


async def _ensure(bus: NatsBus, name: str, config: dict[str, Any]) -> None:
    try:
        await _ask(bus, f"STREAM.CREATE.{name}", config)
    except _JetStreamError as error:
        if error.code != _NAME_TAKEN:
            raise
        await _ask(bus, f"STREAM.UPDATE.{name}", config)


class _JetStreamError(BusError):
    """JetStream's refusal; `code` is its err_code."""

    def __init__(self, code: int, message: str) -> None:
        self.code = code
        super().__init__(message)


async def _ask(bus: NatsBus, what: str, request: dict[str, Any]) -> dict[str, Any]:
    asked = json.dumps(request).encode()
    return _checked(await bus.request(f"$JS.API.{what}", asked, timeout_s=REQUEST_TIMEOUT_S))


async def _stored(bus: NatsBus, subject: str, data: bytes, headers: dict[str, str]) -> None:
    _checked(await bus.request(subject, data, timeout_s=REQUEST_TIMEOUT_S, headers=headers))


def _checked(answer: Message) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(answer.data)
    if "error" in said:
        error = said["error"]
        raise _JetStreamError(error.get("err_code", 0), f"JetStream: {error.get('description')}")
    return said


def _bucket_config(bucket: str, spec: BucketSpec) -> dict[str, Any]:
    return {
        "name": stream_of(bucket),
        "description": spec.holds,
        "subjects": [key_subject(bucket, ">")],
        "retention": "limits",
        "storage": "memory",
        "max_msgs_per_subject": 1,
        "max_age": (spec.ttl_s or 0) * _NS,
        "max_bytes": _BUCKET_BYTES_MAX,
        "duplicate_window": round(DEDUPE_WINDOW_S * _NS),
        "discard": "new",
        "allow_direct": True,
        "allow_rollup_hdrs": True,
        "deny_delete": True,
        "allow_msg_ttl": True,  # the marker that a deletion leaves goes after a while
        "num_replicas": 1,
    }


def _stream_config(spec: StreamSpec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "description": spec.holds,
        "subjects": list(spec.subjects),
        "retention": "workqueue" if spec.work_queue else "limits",
        "storage": "file",
        "max_bytes": spec.limit_bytes,
        "max_age": (spec.max_age_s or 0) * _NS,
        "duplicate_window": round(DEDUPE_WINDOW_S * _NS),
        "discard": "new" if spec.work_queue else "old",
        "num_replicas": 1,
    }
