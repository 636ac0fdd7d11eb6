"""The typed client: `async with Client.connect() as corral: job = await corral.submit(command=["true"])`.

The operations are `bus.calls`; here are the connection, and three that watch: `wait`, `follow`, `watch`. They
live off the feed and the live output; what those may lose is asked for again, so nothing is missed.
Every method raises ApiError where the coordinator refuses, and the BusErrors of the connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from bus import subjects
from bus.api import (
    Job,
    JobChanged,
    NodeChanged,
    Plan,
    Submitted,
    TaskChanged,
)
from bus.calls import Calls
from bus.codec import decode_answer, encode, from_fields
from bus.errors import DecodeError, NoResponders, TooLarge
from bus.feed import Change as Change
from bus.follow import Follower, Piece, Place
from bus.layout import find_client_settings, read_secret
from bus.limits import BYTES_MAX
from bus.outlook import Outlook
from bus.patience import outlast
from bus.patience import wait_for_event as wait_for_event
from bus.requests import WhatIf
from bus.spec import JobSpec
from bus.subjects import FeedSubject, Noun, SubjectError
from bus.transport import Bus, Message
from bus.values import Stream

S = TypeVar("S", bound=Struct)

REQUEST_TIMEOUT_S = 5.0
TAKEOVER_S = 5.0
"""So long a request is asked again to which nobody listens: a standby, or a coordinator that starts, will."""

TAKEOVER_RETRY_S = 0.25
RECHECK_S = 5.0
"""How long `wait` trusts the feed before it asks; the feed is not kept for those who are away."""

FEED_QUEUE_MAX = 65_536


class Client(Calls):
    """Asks a coordinator in the name of one user. Made by `connect`, or over any bus."""

    def __init__(self, bus: Bus, *, timeout_s: float = REQUEST_TIMEOUT_S) -> None:
        self._bus = bus
        self._timeout_s = timeout_s

    @classmethod
    @asynccontextmanager
    async def connect(
        cls,
        url: str | None = None,
        credentials: Path | str | None = None,
        data: Path | None = None,
        *,
        ca: str | None = None,
        name: str = "corral client",
    ) -> AsyncIterator[Client]:
        """A client for the time of the block.

        What is not given comes from `client.json` of the data folder (CORRAL_DATA, or the default one).
        `ca` takes the place of the authority that the credentials carry: a PEM file, or "system".
        Raises CredentialsError, Disconnected, Forbidden.
        """
        # nats-py takes longer to import than a request to be answered: only those who connect pay for it
        from bus.connection import NatsBus
        from bus.credentials import parse_credentials, with_ca
        from bus.renewal import is_due, renew
        from bus.trust import read_authority

        if url is None or credentials is None:
            settings = find_client_settings(data)
            url = url or settings.url
            credentials = credentials or settings.credentials
        identity = parse_credentials(read_secret(Path(credentials)))
        shown = identity if ca is None else with_ca(identity, read_authority(ca))
        bus = await NatsBus.connect(url, shown, name=name)
        try:
            client = cls(bus)
            if is_due(identity):
                await renew(client.renew, identity, Path(credentials))
            yield client
        finally:
            await bus.close()

    @property
    def user(self) -> str:
        return self._bus.identity

    @property
    def tls_version(self) -> str:
        """Of the connection below; "" where there is no TLS."""
        return self._bus.tls_version

    @property
    def bus(self) -> Bus:
        """The connection below."""
        return self._bus

    async def submit(self, spec: JobSpec | None = None, **fields: object) -> Submitted:
        """Hand over a job: a JobSpec, or its fields (`command=["echo", "hi"], array="0-9"`).

        Lists of items may be as long as a job may have tasks: what no message holds goes ahead as content.
        Raises DecodeError where the fields are none of a job, ApiError where the coordinator refuses it.
        Where no answer comes, the job may or may not be accepted; a `dedupe_key` makes repeating safe.
        """
        from bus.long_lists import shortened

        async with shortened(self, spec or from_fields(fields, JobSpec)) as short:
            return await super().submit(short)

    async def plan(self, spec: JobSpec) -> Plan:
        """What the job would become if it were submitted now; nothing is kept."""
        from bus.long_lists import shortened

        async with shortened(self, spec) as short:
            return await super().plan(short)

    async def what_if(self, change: WhatIf) -> Outlook:
        """What would become of what waits; nothing is changed."""
        from bus.long_lists import shortened

        if change.job is None:
            return await super().what_if(change)
        async with shortened(self, change.job) as short:
            return await super().what_if(replace(change, job=short))

    async def follow(
        self, task: str | int, *, stream: Stream = Stream.STDOUT, place: Place | None = None
    ) -> AsyncGenerator[bytes, None]:
        """The task's output from its first byte to its last, each byte once, as it comes.

        A retried task starts over with its new attempt. Ends when the task is over. `place` moves along:
        another client goes on from it where this one lost its connection for good.
        """
        async with aclosing(self.pieces(task, stream=stream, place=place)) as pieces:
            async for piece in pieces:
                yield piece.data

    def pieces(
        self, task: str | int, *, stream: Stream = Stream.STDOUT, place: Place | None = None
    ) -> AsyncGenerator[Piece, None]:
        """Like `follow`, with where each piece stands and when it came."""
        return Follower(self, str(task), stream, place or Place()).pieces()

    async def wait(self, job: str | int, *, until: Callable[[Job], bool] | None = None) -> Job:
        """Until the job is over, through restarts of the coordinator or the bus (see `bus.patience`).

        `until`: or until this holds of it, whichever comes first.
        """

        def reached(shown: Job) -> bool:
            return shown.state.is_terminal or (until is not None and until(shown))

        shown = await outlast(lambda: self.job(job))
        if reached(shown):
            return shown
        number, changed = shown.number, asyncio.Event()

        async def on_change(message: Message) -> None:
            told = decode_answer(message.data, JobChanged, subject=message.subject)
            if until is not None or told.state.is_terminal:
                changed.set()

        subscription = await self._bus.subscribe(subjects.feed_job(shown.user, number), on_change)
        try:
            while True:
                # asked after the subscription stands: a change in between is seen here
                changed.clear()
                shown = await outlast(lambda: self.job(number))
                if reached(shown):
                    return shown
                await wait_for_event(changed, timeout_s=RECHECK_S)
        finally:
            await subscription.unsubscribe()

    async def watch(self, *, everyone: bool = False) -> AsyncGenerator[Change, None]:
        """Committed changes from now on: ours and the nodes'; `everyone`: all, for operators and admins.

        Of what nobody takes for long only the newest FEED_QUEUE_MAX are kept.
        """
        changes: asyncio.Queue[Change] = asyncio.Queue(FEED_QUEUE_MAX)

        async def on_message(message: Message) -> None:
            try:
                change = parse_change(message)
            except (DecodeError, SubjectError):
                return  # a newer coordinator tells more than we understand
            if changes.full():  # waiting for room here would keep us from ever unsubscribing
                changes.get_nowait()
            changes.put_nowait(change)

        patterns = (
            (subjects.feed_of(self.user), subjects.feed_of(None)) if not everyone else ("corral.feed.>",)
        )
        async with AsyncExitStack() as stack:
            for pattern in patterns:
                subscription = await self._bus.subscribe(pattern, on_message)
                stack.push_async_callback(subscription.unsubscribe)
            while True:
                yield await changes.get()

    async def _call(
        self, operation: str, request: Struct, kind: type[S], *, timeout_s: float | None = None
    ) -> S:
        subject = subjects.api(self.user, operation)
        data = encode(request)
        if len(data) > BYTES_MAX:
            raise TooLarge(f"{len(data)} bytes > {BYTES_MAX}")
        reply = await self._request(subject, data, timeout_s=timeout_s or self._timeout_s)
        return decode_answer(reply.data, kind, subject=subject)

    async def _request(self, subject: str, data: bytes, *, timeout_s: float) -> Message:
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + min(TAKEOVER_S, timeout_s)
        while True:
            try:
                return await self._bus.request(subject, data, timeout_s=timeout_s)
            except NoResponders:  # nobody has it: asking again repeats nothing
                if loop.time() >= give_up_at:
                    raise
            await asyncio.sleep(TAKEOVER_RETRY_S)


def parse_change(message: Message) -> Change:
    """A message of the feed. Raises DecodeError, SubjectError."""
    parsed = subjects.parse(message.subject)
    if not isinstance(parsed, FeedSubject):
        raise SubjectError(f"not on the feed: {message.subject[:80]!r}")
    match parsed.noun:
        case Noun.JOB:
            return decode_answer(message.data, JobChanged, subject=message.subject)
        case Noun.TASK:
            return decode_answer(message.data, TaskChanged, subject=message.subject)
        case Noun.NODE:
            return decode_answer(message.data, NodeChanged, subject=message.subject)
