"""Content goes from agent to agent: resumed after a cut, verified, from whoever has a good copy."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.blobs import BlobStore
from agent.core.keeping import Limits
from agent.core.pacing import Pace
from agent.peers import Peers, Wanted
from agent.streams.blobs import BlobStreams
from agent.streams.server import StreamServer
from bus.codec import decode_from_agent, encode
from bus.errors import ApiError, ErrorReply, Forbidden
from bus.memory import MemoryHub
from bus.messages import OpenStream
from bus.refusal import refusal
from bus.replication import SEND, Fetch, FetchReply
from bus.stream_frames import Reset, decode_frame
from bus.streams import StreamBroken, joined
from bus.transport import Bus, Message
from tests.fixtures_nats import Connections, NatsServer

MIB = 1024 * 1024


def content(size: int, seed: int = 7) -> bytes:
    return hashlib.shake_256(bytes([seed])).digest(size)


class Holder:
    """A node that sends: its store and its end of streams."""

    def __init__(self, name: str, bus: Bus, folder: Path) -> None:
        self.name = name
        self.bus = bus
        self.store = BlobStore(folder, limits=Limits(keep_free=0))
        self.suspects: list[str] = []
        kinds = BlobStreams(self.store, None, suspect=self.suspects.append).kinds  # type: ignore[arg-type]
        self.server = StreamServer(bus, name, kinds)
        self.listening: Any = None

    async def start(self) -> None:
        self.listening = await self.server.start()

    async def stop(self) -> None:
        await self.listening.unsubscribe()
        await self.server.stop()
        self.store.close()

    def put(self, data: bytes) -> Wanted:
        with self.store.receive(len(data)) as incoming:
            incoming.write(data)
            blob = incoming.finish(pin="cluster")
        return Wanted(blob.sha256, blob.size)

    def path(self, sha256: str, folder: Path) -> Path:
        return folder / sha256[:2] / sha256


class World:
    """Two holders, one who fetches, and a coordinator that sends it to the first that it does not avoid."""

    def __init__(self, connect: Callable[[str], Bus], coordinator: Bus, folder: Path) -> None:
        self.folder = folder
        self.holders = [Holder(name, connect(name), folder / name) for name in ("n2", "n3")]
        self.bus = connect("n1")
        self.store = BlobStore(folder / "n1", limits=Limits(keep_free=0))
        self.peers = Peers(self.bus, "n1", self.store)
        self.coordinator = coordinator
        self.asked: list[Fetch] = []
        self.refuse: list[ApiError] = []
        self.only: int | None = None
        self._names = itertools.count()

    async def start(self) -> None:
        for holder in self.holders:
            await holder.start()
        await self.coordinator.subscribe("corral.node.*.fetch", self._on)

    async def stop(self) -> None:
        for holder in self.holders:
            await holder.stop()
        self.store.close()

    async def _on(self, message: Message) -> None:
        asked = decode_from_agent(message.data)
        assert isinstance(asked, Fetch)
        self.asked.append(asked)
        if self.refuse:
            await self.coordinator.publish(message.reply, encode(ErrorReply(error=self.refuse.pop(0).error)))
            return
        holder = next((holder for holder in self.holders if holder.name not in asked.avoid), self.holders[0])
        blobs = asked.blobs[: self.only]
        reply = await holder.server.open(opened(f"send_{next(self._names)}", blobs))
        if reply.code:
            await self.coordinator.publish(
                message.reply, encode(ErrorReply(error=refusal("E_UNAVAILABLE", reply.error)))
            )
            return
        stream = f"send_{next(self._names) - 1}"
        answer = FetchReply(holder=holder.name, stream=stream, blobs=tuple(h for h, _ in blobs))
        await self.coordinator.publish(message.reply, encode(answer))


def opened(stream: str, blobs: Any, *, peer: str = "n1") -> OpenStream:
    params = {"blobs": [list(pair) for pair in blobs]}
    return OpenStream(epoch=1, stream=stream, user="", peer=peer, kind=SEND, params=params)


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.peers._RETRY_FIRST_S", 0.01)


@pytest.fixture(params=["memory", "nats"])
def nats(request: pytest.FixtureRequest) -> NatsServer | None:
    """None: in-process."""
    return request.getfixturevalue("nats_server") if request.param == "nats" else None


@pytest.fixture
async def world(nats: NatsServer | None, tmp_path: Path) -> AsyncIterator[World]:
    if nats is None:
        hub = MemoryHub(clock=lambda: 0.0)
        made = World(hub.connect_agent, hub.connect_coordinator(), tmp_path)
    else:
        connections = Connections(nats)
        buses = {name: await connections(nats.authority.mint_agent(name)) for name in ("n1", "n2", "n3")}
        coordinator = await connections(nats.authority.mint_coordinator())
        made = World(lambda name: buses[name], coordinator, tmp_path)
    await made.start()
    yield made
    await made.stop()
    if nats is not None:
        for bus in connections.opened:
            await bus.close()


async def test_content_comes_whole_and_pinned(world: World) -> None:
    data = content(3 * MIB + 5)
    wanted = [world.holders[0].put(each) for each in (data, b"", b"small")]
    await world.peers.fetch(wanted, pin="copy")
    with world.store.open(wanted[0].sha256) as file:
        assert file.read() == data
    assert all(world.store.pins(each.sha256) == {"copy"} for each in wanted)
    assert len(world.asked) == 1


async def test_what_is_here_is_only_pinned(world: World) -> None:
    wanted = world.holders[0].put(b"x" * 1000)
    await world.peers.fetch([wanted], pin="one")
    await world.peers.fetch([wanted, wanted], pin="two")
    assert world.store.pins(wanted.sha256) == {"one", "two"}
    assert len(world.asked) == 1


async def test_what_one_holder_does_not_send_is_asked_for_again(world: World) -> None:
    wanted = [world.holders[0].put(content(100, seed)) for seed in range(5)]
    world.only = 2
    await world.peers.fetch(wanted, pin="copy")
    assert [len(asked.blobs) for asked in world.asked] == [5, 3, 1]


async def test_a_cut_at_any_byte_goes_on_from_there(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    data = content(3 * MIB)
    wanted = world.holders[0].put(data)
    cuts: Iterator[int] = iter([1, 700_000, 1, 2 * MIB])
    left = next(cuts)
    received = Peers._receive

    async def cutting(self: Peers, stream: Any, part: Any, **options: Any) -> None:
        nonlocal left
        read = stream.read

        async def read_less(limit: int) -> bytes:
            nonlocal left
            if left <= 0:
                left = next(cuts, 10**9)
                stream.reset("E_STREAM_LOST", "cut")
            piece = await read(min(limit, max(1, left)))
            left -= len(piece)
            return bytes(piece)

        stream.read = read_less
        await received(self, stream, part, **options)

    monkeypatch.setattr(Peers, "_receive", cutting)
    await world.peers.fetch([wanted], pin="copy")
    assert [asked.blobs[0][1] for asked in world.asked] == [0, 1, 700_001, 700_002, 700_002 + 2 * MIB]
    assert world.store.scrub(wanted.sha256)


async def test_a_damaged_source_is_found_out_by_itself_and_another_asked(world: World) -> None:
    data = content(2 * MIB)
    wanted = world.holders[0].put(data)
    world.holders[1].put(data)
    path = world.holders[0].path(wanted.sha256, world.folder / "n2")
    path.chmod(0o600)
    path.write_bytes(b"?" + data[1:])
    await world.peers.fetch([wanted], pin="copy")
    assert world.holders[0].suspects == [wanted.sha256]
    assert [asked.avoid for asked in world.asked] == [(), ("n2",)]
    assert world.store.scrub(wanted.sha256)


async def test_who_lacks_it_is_suspected_and_asked_no_more(world: World) -> None:
    """The coordinator believed the first; what it says then is an outage, until it knows better."""
    wanted = world.holders[1].put(b"only there")
    fetching = asyncio.create_task(world.peers.fetch([wanted], pin="copy"))
    async with asyncio.timeout(10):
        while not world.holders[0].suspects:
            await asyncio.sleep(0.01)
    world.holders.reverse()
    await fetching
    assert world.store.has(wanted.sha256)


async def test_a_refusal_for_good_ends_it_and_an_outage_delays_it(world: World) -> None:
    wanted = world.holders[0].put(b"abc")
    world.refuse = [ApiError(refusal("E_UNAVAILABLE", "later"))]
    await world.peers.fetch([wanted], pin="copy")
    world.refuse = [ApiError(refusal("E_FENCED", "not yours"))]
    with pytest.raises(ApiError, match="not yours"):
        await world.peers.fetch([Wanted("0" * 64, 5)], pin="copy")


async def test_no_room_is_said(world: World) -> None:
    wanted = world.holders[0].put(b"x" * 1000)
    world.store._limits = Limits(store=10, keep_free=0)
    with pytest.raises(ApiError, match="lacking"):
        await world.peers.fetch([wanted], pin="copy")


async def test_two_who_want_the_same_get_it_once(world: World) -> None:
    wanted = world.holders[0].put(content(2 * MIB))
    await asyncio.gather(*(world.peers.fetch([wanted], pin=f"pin-{number}") for number in range(3)))
    assert world.store.pins(wanted.sha256) == {"pin-0", "pin-1", "pin-2"}
    assert sum(asked.blobs[0][1] == 0 for asked in world.asked) < 3, "but for what did not come in time"


async def test_without_hurry_it_keeps_its_pace(world: World) -> None:
    wanted = world.holders[0].put(content(2 * MIB))
    world.peers = Peers(world.bus, "n1", world.store, pace=Pace(4.0 * MIB))
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    await world.peers.fetch([wanted], pin="copy", hurry=False)
    assert loop.time() - began_s >= 0.2  # two MiB at four a second, less the burst


async def test_a_stream_is_for_the_node_that_asked_alone(world: World) -> None:
    """Another agent may neither listen nor speak there; in its own place it is not known."""
    wanted = world.holders[0].put(content(MIB))
    holder = world.holders[0]
    assert (await holder.server.open(opened("send_x", [(wanted.sha256, 0)]))).code == ""
    other = world.holders[1].bus
    heard: list[bytes] = []

    async def hear(message: Message) -> None:
        heard.append(message.data)

    with pytest.raises(Forbidden):
        await (await other.subscribe("corral.peer.n1.n2.send_x.down", hear)).unsubscribe()
    with pytest.raises(StreamBroken) as refused:
        async with joined(other, "n2", "send_x", as_node=True) as stream:
            await stream.read()
    assert refused.value.code == "E_STREAM_GONE"
    async with joined(world.bus, "n2", "send_x", as_node=True) as stream:
        assert len(await stream.read_exactly(MIB)) == MIB


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({}, "E_TYPE"),
        ({"blobs": []}, "E_TYPE"),
        ({"blobs": [["x"]]}, "E_TYPE"),
        ({"blobs": [[1, 2]]}, "E_TYPE"),
        ({"blobs": [["0" * 64, 0]] * 65}, "E_TYPE"),
        ({"blobs": [["0" * 64, 0]]}, "E_NOT_FOUND"),
        ({"blobs": [["../../etc/passwd", 0]]}, "E_NOT_FOUND"),
    ],
)
async def test_orders_that_make_no_sense_are_declined(
    world: World, params: dict[str, Any], code: str
) -> None:
    asked = OpenStream(epoch=1, stream="s", user="", peer="n1", kind=SEND, params=params)
    assert (await world.holders[0].server.open(asked)).code == code
    person = OpenStream(epoch=1, stream="s", user="alice", kind=SEND, params=params)
    assert (await world.holders[0].server.open(person)).code == "E_FORBIDDEN"


async def test_a_person_at_a_peers_stream_is_not_heard(nats_server: NatsServer, tmp_path: Path) -> None:
    """The names of people and nodes are apart: alice is not the node alice."""
    hub = MemoryHub(clock=lambda: 0.0)
    holder = Holder("n2", hub.connect_agent("n2"), tmp_path)
    await holder.start()
    wanted = holder.put(b"secret")
    assert not (await holder.server.open(opened("s", [(wanted.sha256, 0)], peer="alice"))).code
    said: list[bytes] = []
    alice = hub.connect_user("alice")

    async def hear(message: Message) -> None:
        said.append(message.data)

    await alice.subscribe("corral.s.alice.*.*.down", hear)
    with pytest.raises(StreamBroken):
        async with joined(alice, "n2", "s") as stream:
            await stream.read()
    assert all(isinstance(decode_frame(data), Reset) for data in said)
    await holder.stop()
