"""Streams between a client and an agent: over the in-process bus and over a real server, with its faults."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from agent.streams.server import CHANNELS_MAX, Declined, Serve, Session, StreamServer, attempt_of, param
from bus import subjects
from bus.memory import MemoryBus, MemoryHub
from bus.messages import OpenStream
from bus.stream_frames import Piece, Reset, decode_frame, encode_frame
from bus.streams import ByteStream, StreamBroken, channel, joined
from bus.subjects import Direction
from bus.transport import Bus, Message
from bus.values import AttemptRef, Role
from tests.fixtures_nats import Connections, NatsServer

MIB = 1024 * 1024


def opened(stream: str = "echo_1", *, kind: str = "echo", user: str = "alice") -> OpenStream:
    return OpenStream(epoch=1, stream=stream, user=user, kind=kind)


async def echo(stream: ByteStream) -> None:
    while data := await stream.read():
        await stream.write(data)
    stream.end()


async def accept_echo(asked: OpenStream) -> Serve:
    """Everything comes back, on the stream and on its channels."""
    if asked.params.get("refuse"):
        raise Declined("E_NOT_RUNNING", "not now")

    async def serve(session: Session) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(echo(session.stream))
            while True:
                group.create_task(echo(await session.channel()))

    return serve


async def accept_fault(asked: OpenStream) -> Serve:
    async def serve(session: Session) -> None:
        raise RuntimeError("a fault of ours")

    return serve


KINDS = {"echo": accept_echo, "fault": accept_fault}


class World:
    """A client and an agent that serves KINDS."""

    def __init__(self, client: Bus, agent: Bus) -> None:
        self.client = client
        self.agent = agent
        self.server = StreamServer(agent, "n1", KINDS)


@pytest.fixture(params=["memory", "nats"])
def nats(request: pytest.FixtureRequest) -> NatsServer | None:
    """None: in-process."""
    return request.getfixturevalue("nats_server") if request.param == "nats" else None


@pytest.fixture
async def world(nats: NatsServer | None) -> AsyncIterator[World]:
    if nats is None:
        hub = MemoryHub(clock=lambda: 0.0)
        made = World(hub.connect_user("alice"), hub.connect_agent("n1"))
    else:
        connections = Connections(nats)
        made = World(
            await connections(nats.authority.mint_user("alice", Role.USER)),
            await connections(nats.authority.mint_agent("n1")),
        )
    listening = await made.server.start()
    async with asyncio.timeout(60):
        yield made
    await listening.unsubscribe()
    await made.server.stop()
    await made.client.close()
    await made.agent.close()


async def test_bytes_come_back_and_both_ends_end(world: World) -> None:
    assert (await world.server.open(opened())).code == ""
    data = bytes(range(256)) * 20_000
    async with joined(world.client, "n1", "echo_1") as stream:
        writing = asyncio.create_task(stream.write(data))
        assert await stream.read_exactly(len(data)) == data
        await writing
        stream.end()
        assert await stream.read() == b""
        await stream.drain()
        assert stream.is_over and stream.failure is None
        with pytest.raises(StreamBroken):
            await stream.write(b"after the end")
        with pytest.raises(StreamBroken):
            await stream.read_exactly(1)


async def test_channels_need_nobodys_leave(world: World) -> None:
    await world.server.open(opened())
    async with (
        joined(world.client, "n1", "echo_1"),
        joined(world.client, "n1", channel("echo_1", 1)) as one,
        joined(world.client, "n1", channel("echo_1", 2)) as two,
    ):
        await one.write(b"one")
        await two.write(b"two")
        assert (await one.read(), await two.read()) == (b"one", b"two")
        one.end()
        assert await one.read() == b"", "its end says nothing of the other"
        await two.write(b"more")
        assert await two.read() == b"more"


async def test_a_client_that_leaves_ends_its_channels_there(world: World) -> None:
    await world.server.open(opened())
    async with joined(world.client, "n1", channel("echo_1", 1)) as one:
        async with joined(world.client, "n1", "echo_1"):
            await one.write(b"x")
            await one.read()
        with pytest.raises(StreamBroken) as caught:
            while await one.read():
                pass
        assert caught.value.code == "E_STREAM_LEFT"


async def test_a_slow_reader_stops_the_writer(world: World) -> None:
    await world.server.open(opened())
    async with joined(world.client, "n1", "echo_1") as stream:
        writing = asyncio.create_task(stream.write(bytes(64 * MIB)))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.0):
                await asyncio.shield(writing)
        for _ in range(64):
            await stream.read_exactly(MIB)
        await writing


@pytest.mark.parametrize("stream", ["echo_9", "echo_9-1"])
async def test_a_stream_that_was_not_opened_is_refused(world: World, stream: str) -> None:
    async with joined(world.client, "n1", stream) as end:
        with pytest.raises(StreamBroken) as caught:
            await end.read()
    assert caught.value.code == "E_STREAM_GONE"


async def test_a_stream_of_somebody_else_is_refused(world: World) -> None:
    await world.server.open(opened(user="bob"))
    async with joined(world.client, "n1", "echo_1") as end:
        with pytest.raises(StreamBroken) as caught:
            await end.read()
    assert caught.value.code == "E_STREAM_GONE"


async def test_a_fault_of_a_handler_ends_its_session_alone(world: World) -> None:
    await world.server.open(opened())
    await world.server.open(opened("fault_1", kind="fault"))
    async with joined(world.client, "n1", "fault_1") as end:
        with pytest.raises(StreamBroken) as caught:
            await end.read()
    assert caught.value.code == "E_INTERNAL"
    async with joined(world.client, "n1", "echo_1") as other:
        await other.write(b"still here")
        assert await other.read() == b"still here"


async def test_garbage_breaks_its_stream_alone(world: World) -> None:
    await world.server.open(opened())
    async with joined(world.client, "n1", "echo_1") as stream:
        await stream.write(b"x")
        await stream.read()
        up = subjects.stream("alice", "n1", "echo_1", direction=Direction.UP)
        await world.client.publish(up, b"\xc1 no frame")
        with pytest.raises(StreamBroken) as caught:
            await stream.read()
        assert caught.value.code == "E_STREAM"
        nowhere = subjects.stream("alice", "n1", "echo_2", direction=Direction.UP)
        await world.client.publish(nowhere, b"\xc1 no frame")
    assert (await world.server.open(opened("echo_3"))).code == ""


async def test_a_late_frame_makes_no_channel(world: World) -> None:
    await world.server.open(opened())
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def hear(message: Message) -> None:
        heard.put_nowait(message.data)

    async with joined(world.client, "n1", "echo_1"):
        await world.client.subscribe(
            subjects.stream("alice", "n1", "echo_1-5", direction=Direction.DOWN), hear
        )
        up = subjects.stream("alice", "n1", "echo_1-5", direction=Direction.UP)
        await world.client.publish(up, encode_frame(Reset("E_STREAM_LEFT")))  # nobody answers a reset
        await world.client.publish(up, encode_frame(Piece(10, 7, 100)))
        answer = decode_frame(await heard.get())
        assert isinstance(answer, Reset) and answer.code == "E_STREAM_GONE"
        assert heard.empty()


async def test_channels_have_a_bound(world: World) -> None:
    await world.server.open(opened())
    async with joined(world.client, "n1", "echo_1"):
        for number in range(CHANNELS_MAX):
            up = subjects.stream("alice", "n1", channel("echo_1", number), direction=Direction.UP)
            await world.client.publish(up, encode_frame(Piece(0, 0, 100)))
        async with joined(world.client, "n1", channel("echo_1", CHANNELS_MAX)) as one_more:
            with pytest.raises(StreamBroken) as caught:
                await one_more.read()
        assert caught.value.code == "E_TOO_MANY"


async def test_what_is_refused_says_why(world: World) -> None:
    asked = opened()
    asked.params = {"refuse": True}
    assert (await world.server.open(asked)).code == "E_NOT_RUNNING"
    unknown = await world.server.open(opened(kind="telnet"))
    assert unknown.code == "E_ENUM" and "echo" in unknown.error


async def test_asked_twice_a_stream_is_one(world: World) -> None:
    assert (await world.server.open(opened())).code == (await world.server.open(opened())).code == ""
    async with joined(world.client, "n1", "echo_1") as stream:
        await stream.write(b"x")
        assert await stream.read() == b"x"


async def test_an_agent_that_stops_tells_its_clients(world: World) -> None:
    await world.server.open(opened())
    async with joined(world.client, "n1", "echo_1") as stream:
        await stream.write(b"x")
        await stream.read()
        await world.server.stop()
        with pytest.raises(StreamBroken) as caught:
            await stream.read()
    assert caught.value.code == "E_STREAM_GONE"


@pytest.mark.parametrize("cut", ["client", "agent"])
async def test_a_cut_connection_loses_nothing(cut: str) -> None:
    hub = MemoryHub(clock=lambda: 0.0)
    ends: dict[str, MemoryBus] = {"client": hub.connect_user("alice"), "agent": hub.connect_agent("n1")}
    server = StreamServer(ends["agent"], "n1", KINDS)
    await server.start()
    await server.open(opened())
    data = bytes(range(256)) * 40_000

    async def strike() -> None:
        for _ in range(5):
            await asyncio.sleep(0.02)
            ends[cut].set_connected(False)
            await asyncio.sleep(0.1)
            ends[cut].set_connected(True)

    async with asyncio.timeout(60), joined(ends["client"], "n1", "echo_1") as stream:
        striking = asyncio.create_task(strike())
        writing = asyncio.create_task(stream.write(data))
        assert await stream.read_exactly(len(data)) == data
        await writing
        await striking
        await stream.write(b"goes on")
        assert await stream.read_exactly(7) == b"goes on"
    await server.stop()


def test_what_a_kind_needs_is_asked_for() -> None:
    asked = opened()
    with pytest.raises(Declined):
        attempt_of(asked)
    asked.attempt = AttemptRef(1, 0, 1)
    assert attempt_of(asked) == AttemptRef(1, 0, 1)
    asked.params = {"port": "80"}
    with pytest.raises(Declined):
        param(asked, "port", int)
