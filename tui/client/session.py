"""The console's connection: made again for as long as somebody looks, and what it hears on the way.

The cluster's summary is asked for every two seconds, which is also how an outage is noticed. Changes from
the feed are gathered, a newer one in the place of an older, and handed on at most four times a second: a
flood of changes costs the console no more than four repaints a second.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

from msgspec import Struct

from bus.errors import (
    ApiError,
    BusError,
    CorralError,
    CredentialsError,
    DecodeError,
    Disconnected,
    Forbidden,
)
from bus.feed import Change, JobChanged, NodeChanged, TaskChanged
from bus.patience import wait_for_event
from bus.trust import LOGIN_HINT
from bus.values import Role, TaskRef
from tui.client.clocks import ahead_of, skew_of
from tui.client.source import Connect, Source
from tui.view.refusals import OTHER_VERSION

if TYPE_CHECKING:
    from bus.api import Cluster, Whoami


GATHER_S = 0.25
POLL_S = 2.0
RETRY_FIRST_S, RETRY_MAX_S = 0.5, 5.0


class Online(Struct, frozen=True):
    """The cluster answered at `at_s` (Unix epoch), after `latency_ms`.

    `skew_s`: how far this machine's clock was ahead of the coordinator's when the connection was made.
    """

    me: Whoami
    cluster: Cluster
    at_s: float
    latency_ms: float
    skew_s: float = 0.0

    @property
    def ahead_s(self) -> float:
        """What the clock here is off by, where that is more than the way of an answer could explain."""
        return ahead_of(self.skew_s)


class Offline(Struct, frozen=True):
    """Nothing can be asked since `since_s`; the next try comes at `retry_at_s` (Unix epoch)."""

    reason: str
    since_s: float
    retry_at_s: float
    refused: bool = False  # waiting will not help: the credentials are not taken, or there are none
    hint: str = ""


class Deltas(Struct, frozen=True):
    """The newest change of each thing that changed since the last ones."""

    jobs: dict[int, JobChanged] = {}
    tasks: dict[TaskRef, TaskChanged] = {}
    nodes: dict[str, NodeChanged] = {}


Update = Online | Offline | Deltas


class Session:
    """One console's connection."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._source: Source | None = None
        self._pending = Deltas(jobs={}, tasks={}, nodes={})
        self._changed = asyncio.Event()
        self._hurry = asyncio.Event()

    @property
    def source(self) -> Source:
        """The connection as it is now. Raises Disconnected while there is none."""
        if self._source is None:
            raise Disconnected("no connection to the cluster")
        return self._source

    @property
    def connect(self) -> Connect:
        """Makes another connection, for what must outlast this one."""
        return self._connect

    def hurry(self) -> None:
        """Try or ask again now instead of at the next turn."""
        self._hurry.set()
        self._changed.set()

    async def updates(self) -> AsyncGenerator[Update, None]:
        """What is known about the cluster, and words about its absence, for ever."""
        since_s: float | None = None
        retry_s = RETRY_FIRST_S
        while True:
            try:
                async with self._connect() as source, aclosing(self._online(source)) as updates:
                    async for update in updates:
                        since_s, retry_s = None, RETRY_FIRST_S
                        yield update
            except CorralError as error:
                now_s = time.time()
                since_s = since_s or now_s
                yield Offline(
                    reason_of(error),
                    since_s,
                    now_s + retry_s,
                    refused=is_refusal(error),
                    hint=hint_of(error),
                )
            finally:
                self._source = None
            await wait_for_event(self._hurry, timeout_s=retry_s)
            retry_s = min(2 * retry_s, RETRY_MAX_S)

    async def _online(self, source: Source) -> AsyncGenerator[Update, None]:
        """Until the connection fails: raises CorralError."""
        before_s = time.time()
        me = await source.whoami()
        skew_s = skew_of(before_s, me.now, time.time())
        listening = asyncio.create_task(self._listen(source, me.role), name="console feed")
        loop = asyncio.get_running_loop()
        try:
            while True:
                asked_at = loop.time()
                cluster = await source.cluster()
                self._source = source
                yield Online(me, cluster, time.time(), (loop.time() - asked_at) * 1000, skew_s)
                while (left_s := asked_at + POLL_S - loop.time()) > 0 and not self._hurry.is_set():
                    await wait_for_event(self._changed, timeout_s=left_s)
                    if deltas := self._take():
                        yield deltas
                        await asyncio.sleep(GATHER_S)
                self._hurry.clear()
        finally:
            listening.cancel()

    async def _listen(self, source: Source, role: Role) -> None:
        try:
            async with aclosing(source.watch(everyone=role.rank >= Role.OPERATOR.rank)) as changes:
                async for change in changes:
                    self._gather(change)
        except BusError:
            return  # without the feed, screens still ask every few seconds

    def _gather(self, change: Change) -> None:
        match change:
            case JobChanged(number=number):
                self._pending.jobs[number] = change
            case TaskChanged(job=job, index=index):
                self._pending.tasks[TaskRef(job, index)] = change
            case NodeChanged(node=node):
                self._pending.nodes[node] = change
        self._changed.set()

    def _take(self) -> Deltas | None:
        taken = self._pending
        if not (taken.jobs or taken.tasks or taken.nodes):
            return None
        self._pending = Deltas(jobs={}, tasks={}, nodes={})
        return taken


def reason_of(error: CorralError) -> str:
    """Why there is no connection, for a line of the screen."""
    if isinstance(error, ApiError):
        return f"{error.error.code}: {error.error.message}"
    return str(error) or type(error).__name__


def hint_of(error: CorralError) -> str:
    """What helps against it: what the error itself says, or where to get credentials."""
    match error:
        case CredentialsError():
            said = error.hint
        case ApiError():
            said = error.error.hint
        case DecodeError():
            said = OTHER_VERSION
        case _:
            said = ""
    return said or (LOGIN_HINT if is_refusal(error) else "")


def is_refusal(error: CorralError) -> bool:
    """Whether waiting will not help: the credentials are not taken, or there are none."""
    match error:
        case Forbidden() | CredentialsError():
            return True
        case ApiError():
            return error.error.status in (401, 403)
        case _:
            return False
