"""Buckets on a real server, a cluster in memory: put, given back, and put again after any loss."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from bus import api
from bus.connection import NatsBus
from bus.errors import BusError
from bus.jetstream import empty_bucket, ensure_buckets
from bus.storage import BUCKETS, Bucket
from bus.values import Resources, Usage
from coordinator import caches
from coordinator.cache_values import Session, session_key
from coordinator.caches import Caches
from coordinator.core.events import UsageSeen
from coordinator.store.errors import StoreUnavailable
from coordinator.store.rows import Batch
from tests.fixtures_nats import NatsServer
from tests.unit.coordinator.conftest import World
from tests.unit.coordinator.mirror import Mirror

WAIT_S = 20.0
SESSION = Session(name="alice", kind="user", token="abc", since=1.0)
SUMMARY = api.Cluster(
    total_nodes=2, active_nodes=2, jobs={}, tasks={}, capacity=Resources(), allocated=Resources(), epoch=7,
    started_at=1.0, version="0",
)  # fmt: skip


class Told(Mirror):
    """A mirror that tells the caches what was committed."""

    def __init__(self) -> None:
        super().__init__()
        self.tell: Callable[[Batch], None] = lambda batch: None

    def write(self, batch: Batch) -> None:
        super().write(batch)
        self.tell(batch)


class Stage:
    """A world, its caches, and who reads them."""

    def __init__(self, bus: NatsBus) -> None:
        self.bus = bus
        self.world = World()
        self.world.mirror = told = Told()
        self.sessions: dict[str, Session] | None = {session_key("U1"): SESSION}
        self.caches = Caches(
            bus, self.world.cluster, [], holder="host:1", summary=lambda: SUMMARY, sessions=self.load_sessions
        )
        told.tell = self.caches.changed
        for name in ("n1", "n2"):
            self.world.register(name)
            usage = Usage(cpu_millis=10.0, mem_mib=20.0)
            self.world.happen(UsageSeen(node=self.world.cluster.nodes[name].name, usage=usage, load=0.1))

    async def load_sessions(self) -> dict[str, Session]:
        if self.sessions is None:
            raise StoreUnavailable("away")
        return dict(self.sessions)

    async def value(self, bucket: Bucket, key: str) -> Any:
        kept = await self.bus.kv_get(bucket, key)
        return None if kept is None else json.loads(kept)

    async def shows(self, bucket: Bucket, key: str) -> Any:
        """The value, once it is there."""
        return await self.until(lambda: self.value(bucket, key), f"{bucket} shows {key}")

    async def hides(self, bucket: Bucket, key: str) -> None:
        async def hidden() -> bool:
            return await self.value(bucket, key) is None

        await self.until(hidden, f"{bucket} forgets {key}")

    async def until(self, condition: Callable[[], Awaitable[Any]], what: str) -> Any:
        end = time.monotonic() + WAIT_S
        while time.monotonic() < end:
            try:
                if found := await condition():
                    return found
            except BusError as error:  # the bucket may be away just now
                what = f"{what} ({error})" if "(" not in what else what
            await asyncio.sleep(0.02)
        raise AssertionError(f"not within {WAIT_S:g} s: {what}")


@asynccontextmanager
async def staged(nats_server: NatsServer) -> AsyncIterator[Stage]:
    bus = await NatsBus.connect(nats_server.url, nats_server.authority.mint_coordinator(), name="caches")
    await ensure_buckets(bus)
    for bucket in Bucket:  # nothing of another test
        await empty_bucket(bus, bucket)
    stage = Stage(bus)
    running = asyncio.create_task(stage.caches.run())
    yield stage
    assert not running.done(), "nothing ends it but its end"
    running.cancel()
    await bus.close()


@pytest.fixture
async def stage(nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    monkeypatch.setattr(caches, "ROUND_S", 0.02)
    monkeypatch.setattr(caches, "NODE_S", 0.05)
    async with staged(nats_server) as stage:
        yield stage


KEYS = [
    (Bucket.HEARTBEATS, "n2"),
    (Bucket.METRICS, "n1.cpu"),
    (Bucket.LOCKS, "leader"),
    (Bucket.LOCKS, "resource.n1.cpu"),
    (Bucket.JOBS, "alice.1"),
    (Bucket.QUEUE, "state"),
    (Bucket.QUEUE, "placements"),
    (Bucket.CLUSTER, "state"),
    (Bucket.SESSIONS, session_key("U1")),
]


@pytest.mark.contract("S2.76", "S2.77", "S2.78", "S2.80", "S2.81", "S2.82", "S2.83")
@pytest.mark.parametrize("loss", ["PURGE", "DELETE"])
@pytest.mark.parametrize("lost", [*Bucket, None])
async def test_everything_is_there_and_there_again(stage: Stage, loss: str, lost: Bucket | None) -> None:
    """`None`: all buckets at once."""
    stage.world.submit(command=["true"])
    stage.world.schedule()
    for bucket, key in KEYS:
        assert await stage.shows(bucket, key)
    assert {bucket for bucket, _ in KEYS} == set(BUCKETS)
    for bucket in [lost] if lost else Bucket:
        await stage.bus.request(f"$JS.API.STREAM.{loss}.KV_{bucket}", b"", timeout_s=20)
    for name in ("n1", "n2"):
        stage.world.now_s += 1.0
        stage.world.beat(name)
        usage = Usage(cpu_millis=11.0, mem_mib=20.0)
        stage.world.happen(UsageSeen(node=stage.world.cluster.nodes[name].name, usage=usage, load=0.1))
    for bucket, key in KEYS:
        assert await stage.shows(bucket, key)


@pytest.mark.contract("S2.80")
async def test_a_deleted_lock_gives_nothing_away(stage: Stage) -> None:
    """The key goes while its holder runs: nothing more is placed than fits, and the next change shows it."""
    stage.world.submit(command=["true"], array="0-3")
    first, *_ = placed = stage.world.schedule()
    await stage.shows(Bucket.LOCKS, "resource.n1.cpu")
    await stage.bus.kv_delete(Bucket.LOCKS, "resource.n1.cpu")
    assert stage.world.schedule() == [] and len(placed) == 4
    stage.world.end(first, node=stage.world.cluster.find_task(first.attempt.task).node)
    lock = await stage.shows(Bucket.LOCKS, "resource.n1.cpu")
    assert lock["held"] == 1000 and lock["tasks"] == 1


async def test_what_is_given_back_or_over_is_shown_no_more(stage: Stage) -> None:
    job = stage.world.submit(command=["true"])
    (placement,) = stage.world.schedule()
    await stage.shows(Bucket.JOBS, f"alice.{job}")
    await stage.shows(Bucket.LOCKS, "resource.n1.cpu")
    stage.world.end(placement)
    await stage.hides(Bucket.JOBS, f"alice.{job}")
    await stage.hides(Bucket.LOCKS, "resource.n1.cpu")
    stage.sessions = {}
    await stage.hides(Bucket.SESSIONS, session_key("U1"))


async def test_a_silent_node_has_no_heartbeat_until_it_is_back(stage: Stage) -> None:
    await stage.shows(Bucket.HEARTBEATS, "n1")
    stage.world.wait(11.0)
    await stage.hides(Bucket.HEARTBEATS, "n1")
    stage.world.beat("n1")
    assert (await stage.shows(Bucket.HEARTBEATS, "n1"))["at"] == stage.world.now_s


async def test_the_rest_is_shown_while_the_database_is_away(stage: Stage) -> None:
    await stage.shows(Bucket.SESSIONS, session_key("U1"))
    stage.sessions = None
    job = stage.world.submit(command=["true"])
    await stage.shows(Bucket.JOBS, f"alice.{job}")
    assert await stage.value(Bucket.SESSIONS, session_key("U1")) is not None


async def test_the_newest_placements_are_kept(stage: Stage) -> None:
    stage.world.register("n1", capacity=Resources(500_000, 500_000))
    stage.world.submit(command=["true"], array=f"0-{caches.PLACEMENTS_MAX + 19}")
    stage.world.schedule()

    async def decided() -> Any:
        shown = await stage.value(Bucket.QUEUE, "placements")
        return shown if shown and shown["decided"] == caches.PLACEMENTS_MAX + 20 else None

    shown = await stage.until(decided, "all placements are counted")
    assert len(shown["newest"]) == caches.PLACEMENTS_MAX
    assert shown["newest"][-1]["attempt"] == f"1.{caches.PLACEMENTS_MAX + 19}#1"
