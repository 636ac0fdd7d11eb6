"""Copies are fetched, told until they are counted, and pinned as long; what is damaged or gone is told."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.blobs import BlobStore
from agent.copies import COPY, Copies
from agent.core.keeping import Limits
from agent.peers import Peers, Wanted
from agent.scrubbing import Scrubber, Scrubs
from agent.taking import CLUSTER
from bus.codec import decode_from_agent, encode
from bus.errors import ApiError
from bus.memory import MemoryHub
from bus.refusal import refusal
from bus.replication import Held, HeldBlob, HeldReply
from bus.transport import Message

WAIT_S = 20.0


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.005)


class FakePeers(Peers):
    """Gives what is put into `there`; refuses with `refuses`."""

    def __init__(self, store: BlobStore) -> None:
        self.here = store
        self.there: dict[str, bytes] = {}
        self.refuses = ""
        self.fetched: list[list[str]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def fetch(self, wanted: Sequence[Wanted], *, pin: str, **options: Any) -> None:
        assert options == {"hurry": False}
        await self.gate.wait()
        self.fetched.append([each.sha256 for each in wanted])
        for each in wanted:
            if each.sha256 in self.there:
                keep(self.here, self.there[each.sha256], pin=pin)
        if self.refuses:
            raise ApiError(refusal(self.refuses, "no"))


def keep(store: BlobStore, data: bytes, *, pin: str) -> str:
    with store.receive(len(data)) as incoming:
        incoming.write(data)
        return incoming.finish(pin=pin).sha256


class World:
    """A node's copies and scrubber, and a coordinator that counts on what is in `counts`."""

    def __init__(self, folder: Path, *, scrubs: Scrubs | None = None) -> None:
        hub = MemoryHub(clock=lambda: 0.0)
        self.bus = hub.connect_agent("n1")
        self.coordinator = hub.connect_coordinator()
        self.store = BlobStore(folder, limits=Limits(keep_free=0))
        self.peers = FakePeers(self.store)
        self.copies = Copies(self.bus, "n1", self.store, self.peers)
        self.scrubber = Scrubber(self.store, self.copies, scrubs or Scrubs(every_s=0, bytes_per_s=0))
        self.told: list[HeldBlob] = []
        self.counts: set[str] = set()
        self.mute = False

    async def _on(self, message: Message) -> None:
        held = decode_from_agent(message.data)
        assert isinstance(held, Held)
        self.told += held.blobs
        if not self.mute:
            counted = tuple([blob.sha256 in self.counts for blob in held.blobs])
            await self.coordinator.publish(message.reply, encode(HeldReply(counted=counted)))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        subscription = await self.coordinator.subscribe("corral.node.*.held", self._on)
        tasks = [asyncio.create_task(work) for work in (self.copies.run(), self.scrubber.run())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await subscription.unsubscribe()
            for task in tasks:
                assert task.cancelled(), task.exception()

    def offer(self, *contents: bytes) -> list[tuple[str, int]]:
        self.peers.there |= {sha(data): data for data in contents}
        self.counts |= {sha(data) for data in contents}
        return [(sha(data), len(data)) for data in contents]


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.copies._RETRY_S", 0.01)
    monkeypatch.setattr("agent.copies._TIMEOUT_S", 0.1)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "blobs")


async def test_what_is_ordered_is_fetched_told_and_pinned(world: World) -> None:
    orders = world.offer(b"one", b"two")
    async with world.running():
        world.copies.order(orders)
        await until(lambda: all(world.store.pins(h) == {CLUSTER} for h, _ in orders))
    assert set(world.told) == {HeldBlob(h, 3) for h, _ in orders}
    assert world.peers.fetched == [[h for h, _ in orders]]  # small ones go together


async def test_an_order_that_is_repeated_is_one(world: World) -> None:
    orders = world.offer(b"one")
    world.peers.gate.clear()
    async with world.running():
        for _ in range(3):
            world.copies.order(orders)
            await asyncio.sleep(0.01)
        world.peers.gate.set()
        await until(lambda: world.store.pins(orders[0][0]) == {CLUSTER})
    assert len(world.peers.fetched) == 1


async def test_large_ones_go_by_themselves_and_two_at_a_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.copies._TOGETHER_BYTES", 10)
    orders = world.offer(*(bytes([n]) * 11 for n in range(5)))
    async with world.running():
        world.copies.order(orders)
        await until(lambda: len(world.told) == 5)
    assert [len(batch) for batch in world.peers.fetched] == [1] * 5


async def test_a_copy_is_told_until_it_is_answered_and_again_by_the_next_agent(
    world: World, tmp_path: Path
) -> None:
    orders = world.offer(b"one")
    world.mute = True
    async with world.running():
        world.copies.order(orders)
        await until(lambda: len(world.told) >= 2)
        assert world.store.pins(orders[0][0]) == {COPY}
    world.store.close()
    again = World(tmp_path / "blobs")
    again.counts = world.counts
    async with again.running():
        await until(lambda: again.store.pins(orders[0][0]) == {CLUSTER})
    assert again.peers.fetched == []


async def test_what_the_cluster_does_not_count_on_is_a_cache(world: World) -> None:
    orders = world.offer(b"one")
    world.counts.clear()
    async with world.running():
        world.copies.order(orders)
        await until(lambda: world.told and not world.store.pins(orders[0][0]))
    assert world.store.has(orders[0][0])


@pytest.mark.parametrize(
    ("code", "is_told"), [("E_SPACE", True), ("E_NOT_FOUND", False), ("E_FENCED", False)]
)
async def test_a_copy_that_cannot_be_made(world: World, code: str, is_told: bool) -> None:
    """What another node may do better is told; the rest the coordinator knows."""
    orders = world.offer(b"here", b"not")
    missing = orders[1][0]
    del world.peers.there[missing]
    world.peers.refuses = code
    async with world.running():
        world.copies.order(orders)
        await until(lambda: world.store.pins(orders[0][0]) == {CLUSTER})
        assert (HeldBlob(missing, 3, code) in world.told) is is_told
        world.peers.refuses = ""
        world.offer(b"not")

        def is_there_once_ordered_again() -> bool:
            world.copies.order(orders)  # not heard while the first attempt is under way
            return world.store.pins(missing) == {CLUSTER}

        await until(is_there_once_ordered_again)


def spoil(folder: Path, sha256: str) -> None:
    path = folder / sha256[:2] / sha256
    path.chmod(0o600)
    path.write_bytes(b"?" + path.read_bytes()[1:])


async def test_a_scrub_tells_what_is_right_damaged_and_gone(world: World, tmp_path: Path) -> None:
    fine, spoilt, removed, cache = (
        keep(world.store, data, pin=pin)
        for data, pin in ((b"fine", CLUSTER), (b"spoilt", CLUSTER), (b"removed", CLUSTER), (b"cache", "mine"))
    )
    world.counts = {fine, spoilt}
    spoil(tmp_path / "blobs", spoilt)
    (tmp_path / "blobs" / removed[:2] / removed).unlink()
    async with world.running():
        world.scrubber.ask()
        await until(lambda: world.scrubber.rounds == 1)
        assert set(world.told) == {
            HeldBlob(fine, 4),
            HeldBlob(spoilt, 6, "E_HASH"),
            HeldBlob(removed, 7, "E_HASH"),
        }
        world.told.clear()
        world.scrubber.ask()
        await until(lambda: world.scrubber.rounds == 2)
        # what is wanted is asked for in every round until it is back; what is not is forgotten
        assert {HeldBlob(spoilt, 0, "E_NOT_FOUND"), HeldBlob(removed, 0, "E_NOT_FOUND")} < set(world.told)
        assert world.store.missing() == {spoilt: {CLUSTER}}
    assert world.store.has(cache)


async def test_rounds_come_by_themselves(tmp_path: Path) -> None:
    world = World(tmp_path / "blobs", scrubs=Scrubs(every_s=0.01, bytes_per_s=0))
    one = keep(world.store, b"one", pin=CLUSTER)
    world.counts = {one}
    async with world.running():
        await until(lambda: world.scrubber.rounds >= 3)
    assert HeldBlob(one, 3) in world.told


async def test_what_was_sent_wrongly_is_read_at_once(world: World, tmp_path: Path) -> None:
    one, two = (keep(world.store, data, pin=CLUSTER) for data in (b"one", b"two"))
    spoil(tmp_path / "blobs", one)
    async with world.running():
        world.scrubber.suspect(one)
        world.scrubber.suspect(two)
        world.scrubber.suspect("0" * 64)
        await until(lambda: len(world.told) == 2)
    assert world.told == [HeldBlob(one, 3, "E_HASH"), HeldBlob("0" * 64, 0, "E_NOT_FOUND")]
    assert not world.store.has(one) and world.store.has(two)


async def test_a_scrub_keeps_its_pace(tmp_path: Path) -> None:
    world = World(tmp_path / "blobs", scrubs=Scrubs(every_s=0, bytes_per_s=4096.0))
    world.counts = {keep(world.store, b"x" * 2048, pin=CLUSTER)}
    loop = asyncio.get_running_loop()
    async with world.running():
        began_s = loop.time()
        world.scrubber.ask()
        await until(lambda: world.scrubber.rounds == 1)
    assert loop.time() - began_s >= 0.2  # half a second's worth, less the burst


async def test_caches_nobody_used_go(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.scrubbing._WORKED_S", 0.01)
    monkeypatch.setattr("agent.scrubbing.CACHE_S", -1.0)
    needed, cache = keep(world.store, b"needed", pin=CLUSTER), keep(world.store, b"cache", pin="x")
    world.store.unpin(cache, "x")
    async with world.running():
        await until(lambda: not world.store.has(cache))
    assert world.store.has(needed)


async def test_a_full_disk_costs_a_copy_no_mark(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be marked as counted keeps the mark that it has, and the agent lives."""
    (wanted,) = world.offer(b"copied")
    pin, pinned = world.store.pin, asyncio.Event()

    def full(sha256: str, name: str) -> None:
        if name == CLUSTER:
            loop.call_soon_threadsafe(pinned.set)
            raise OSError(28, "No space left on device")
        pin(sha256, name)

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(world.store, "pin", full)
    async with world.running():
        world.copies.order([wanted])
        await asyncio.wait_for(pinned.wait(), WAIT_S)
        monkeypatch.setattr(world.store, "pin", pin)
        world.copies.order(world.offer(b"next"))
        await until(lambda: world.store.pins(sha(b"next")) == {CLUSTER})
        assert world.store.pins(wanted[0]) == {COPY}
    world.copies = Copies(world.bus, "n1", world.store, world.peers)
    async with world.running():
        await until(lambda: world.store.pins(wanted[0]) == {CLUSTER})
