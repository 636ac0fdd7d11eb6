"""A picture of the cluster that keeps itself up to date, through any outage.

The feed says that something changed; the picture is then asked for anew, at most four times a second and
at least every two. So a lost change costs two seconds, and a flood of changes costs four requests a second.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

from msgspec import Struct

from bus.api import Cluster, Jobs, Nodes
from bus.client import Client, wait_for_event
from bus.errors import BusError, CorralError, Disconnected

REFRESH_MIN_S = 0.25
REFRESH_MAX_S = 2.0
RETRY_S = 2.0
JOBS_MAX = 100


class Snapshot(Struct, frozen=True):
    """The cluster as it was at `at_s` (Unix epoch); `latency_ms` is how long one answer took."""

    cluster: Cluster
    nodes: Nodes
    jobs: Jobs
    at_s: float
    latency_ms: float


class Offline(Struct, frozen=True):
    """No picture can be had since `since_s`; the next try follows in `retry_s`."""

    reason: str
    since_s: float
    retry_s: float


Update = Snapshot | Offline


class Session:
    """One console's connection: made again for as long as `updates` is read."""

    def __init__(self, *, url: str | None, credentials: Path | None, data: Path | None) -> None:
        self._url = url
        self._credentials = credentials
        self._data = data
        self._client: Client | None = None
        self._stirred = asyncio.Event()

    @property
    def client(self) -> Client:
        """The connection as it is now. Raises Disconnected while there is none."""
        if self._client is None:
            raise Disconnected("no connection to the cluster")
        return self._client

    def refresh(self) -> None:
        """Have a new picture made soon: somebody just did something."""
        self._stirred.set()

    async def updates(self) -> AsyncGenerator[Update, None]:
        """Pictures, and words about their absence, for ever."""
        offline_since_s: float | None = None
        while True:
            try:
                async with Client.connect(
                    url=self._url, credentials=self._credentials, data=self._data, name="corral console"
                ) as client:
                    self._client = client
                    async with aclosing(self._pictures(client)) as pictures:
                        async for picture in pictures:
                            offline_since_s = None
                            yield picture
            except CorralError as error:
                offline_since_s = offline_since_s or time.time()
                yield Offline(str(error) or type(error).__name__, offline_since_s, RETRY_S)
            finally:
                self._client = None
            await asyncio.sleep(RETRY_S)

    async def _pictures(self, client: Client) -> AsyncGenerator[Snapshot, None]:
        """Until the connection fails: raises BusError."""
        listening = asyncio.create_task(self._listen(client), name="console feed")
        try:
            while True:
                asked_at = time.monotonic()
                cluster = await client.cluster()
                latency_ms = (time.monotonic() - asked_at) * 1000
                nodes = await client.nodes()
                jobs = await client.jobs(limit=JOBS_MAX)
                yield Snapshot(cluster, nodes, jobs, time.time(), latency_ms)
                await asyncio.sleep(REFRESH_MIN_S)
                await wait_for_event(self._stirred, timeout_s=REFRESH_MAX_S - REFRESH_MIN_S)
        finally:
            listening.cancel()

    async def _listen(self, client: Client) -> None:
        try:
            async with aclosing(client.watch()) as changes:
                async for _ in changes:
                    self._stirred.set()
        except BusError:
            return  # without the feed, the picture is two seconds old at most
