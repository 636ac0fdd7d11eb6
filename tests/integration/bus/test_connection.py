"""Outages: nothing is buffered, nothing hangs, everything is back after the server is."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bus import pressure, server
from bus.auth import Authority
from bus.connection import ConnectionState, NatsBus
from bus.errors import Disconnected, Stalled
from bus.transport import Message
from bus.trust import Refused
from bus.values import Role
from tests.standstill import stand_still


class States:
    """What `on_state` was told, and a way to wait for it."""

    def __init__(self) -> None:
        self.seen: asyncio.Queue[ConnectionState] = asyncio.Queue()

    def __call__(self, state: ConnectionState) -> None:
        self.seen.put_nowait(state)

    async def wait(self, state: ConnectionState) -> None:
        async with asyncio.timeout(20):
            while await self.seen.get() is not state:
                continue


@contextlib.asynccontextmanager
async def placed(folder: Path) -> AsyncIterator[tuple[server.NatsProcess, Authority]]:
    authority = Authority.create_or_load(folder / "keys")
    yield server.prepare(folder / "nats", port=0, authority=authority), authority


async def test_a_restart_of_the_server(tmp_path: Path) -> None:
    async with placed(tmp_path) as (process, authority):
        child = server.start(process)
        await server.wait_ready(process)
        states = States()
        coordinator = await NatsBus.connect(process.url, authority.mint_coordinator(), name="c")
        alice = await NatsBus.connect(
            process.url, authority.mint_user("alice", Role.USER), name="a", on_state=states
        )
        held = asyncio.Event()

        async def answer(message: Message) -> None:
            if message.data == b"hold":
                held.set()
                return
            await coordinator.publish(message.reply, b"yes")

        await coordinator.subscribe("corral.u.*.*.*", answer)
        waiting = asyncio.create_task(alice.request("corral.u.alice.job.list", b"hold", timeout_s=60))
        await asyncio.wait_for(held.wait(), 5)

        child.kill()
        child.wait()
        with pytest.raises(Disconnected):
            await asyncio.wait_for(waiting, 10)  # at once, not after its own 60 s
        await states.wait(ConnectionState.DISCONNECTED)
        assert not alice.connected
        with pytest.raises(Disconnected):
            await alice.publish("corral.u.alice.job.list", b"")

        child = server.start(process)
        await states.wait(ConnectionState.CONNECTED)
        async with asyncio.timeout(20):
            while not coordinator.connected:
                await asyncio.sleep(0.01)
        await coordinator.flush()
        reply = await alice.request("corral.u.alice.job.list", b"", timeout_s=20)
        assert reply.data == b"yes"  # the subscription came back by itself
        await alice.close()
        await states.wait(ConnectionState.CLOSED)
        await coordinator.close()
        server.stop(child)


async def test_closing_right_after_the_server_died_is_no_error_and_leaves_nothing(tmp_path: Path) -> None:
    """What was still to be sent cannot be, and nobody has noticed yet."""
    async with placed(tmp_path) as (process, authority):
        child = server.start(process)
        await server.wait_ready(process)
        before = asyncio.all_tasks()
        bus = await NatsBus.connect(process.url, authority.mint_coordinator(), name="c")
        child.kill()
        child.wait()
        with contextlib.suppress(Disconnected):  # large ones: some still wait when it is closed
            for _ in range(10):
                await bus.publish("corral.nothing", bytes(100_000))
        await bus.close()
        assert not bus.connected
        left = asyncio.all_tasks() - before
        assert not left or not (await asyncio.wait(left, timeout=20))[1]


async def test_a_revoked_credential_is_out_at_once(tmp_path: Path) -> None:
    """B19: its open connection is closed, it gets no new one, and nobody else notices."""
    async with placed(tmp_path) as (process, authority), server.running(process) as child:
        states = States()
        credentials = authority.mint_user("alice", Role.USER)
        alice = await NatsBus.connect(process.url, credentials, name="a", on_state=states)
        bob = await NatsBus.connect(process.url, authority.mint_user("bob", Role.USER), name="b")
        connected_at = int(time.time())
        while int(time.time()) == connected_at:  # the claims of a later second differ
            await asyncio.sleep(0.01)
        authority.revoke(credentials.public_key)
        server.reload(process, authority=authority, pid=child.pid)
        await states.wait(ConnectionState.CLOSED)
        with pytest.raises(Refused, match="revoked") as refused:
            await alice.publish("corral.u.alice.job.list", b"")
        assert refused.value.code == "E_TOKEN_REVOKED"
        with pytest.raises(Refused):
            await NatsBus.connect(process.url, credentials, name="a")
        await bob.flush()
        await bob.close()
        again = await NatsBus.connect(process.url, authority.mint_user("alice", Role.USER), name="a")
        await again.close()
    assert credentials.public_key in Authority.create_or_load(tmp_path / "keys").revoked()


async def test_closing_while_the_server_is_away_ends(tmp_path: Path) -> None:
    async with placed(tmp_path) as (process, authority):
        child = server.start(process)
        await server.wait_ready(process)
        states = States()
        bus = await NatsBus.connect(process.url, authority.mint_coordinator(), name="c", on_state=states)

        async def ignore(message: Message) -> None:
            return

        subscription = await bus.subscribe("corral.feed.>", ignore)
        server.stop(child)
        await states.wait(ConnectionState.DISCONNECTED)
        await asyncio.wait_for(subscription.unsubscribe(), 10)
        await asyncio.wait_for(bus.close(), 10)
        server.stop(child)


async def test_no_server_is_said_in_time(tmp_path: Path) -> None:
    authority = Authority.create_or_load(tmp_path / "keys")
    with pytest.raises(Disconnected):
        await NatsBus.connect(
            f"nats://127.0.0.1:{server.free_port()}", authority.mint_coordinator(), name="c", timeout_s=0.3
        )


async def test_a_slow_handler_loses_messages_and_it_is_counted(tmp_path: Path) -> None:
    async with placed(tmp_path) as (process, authority), server.running(process):
        coordinator = await NatsBus.connect(process.url, authority.mint_coordinator(), name="c")
        agent = await NatsBus.connect(process.url, authority.mint_agent("n1"), name="a")
        release = asyncio.Event()

        async def stuck(message: Message) -> None:
            await release.wait()

        await coordinator.subscribe("corral.node.*.usage", stuck, queue_limit=10)
        for _ in range(50):
            await agent.publish("corral.node.n1.usage", b"")
        await agent.flush()
        async with asyncio.timeout(30):
            while coordinator.dropped < 39:
                await asyncio.sleep(0.01)
        release.set()
        await agent.close()
        await coordinator.close()


async def test_a_server_that_stood_still_is_heard_again(tmp_path: Path) -> None:
    """Whoever waited for its answer to a ping has given up by then; the answer comes all the same."""
    async with placed(tmp_path) as (process, authority), server.running(process) as child:
        coordinator = await NatsBus.connect(process.url, authority.mint_coordinator(), name="c")
        alice = await NatsBus.connect(process.url, authority.mint_user("alice", Role.USER), name="a")

        async def answer(message: Message) -> None:
            await coordinator.publish(message.reply, b"yes")

        await coordinator.subscribe("corral.u.*.*.*", answer)
        stand_still(child.pid)
        try:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(coordinator.flush(), 0.1)
        finally:
            child.send_signal(signal.SIGCONT)
        reply = await alice.request("corral.u.alice.job.list", b"", timeout_s=9)  # stale: after 15 s
        assert reply.data == b"yes"
        await coordinator.flush()
        for bus in (alice, coordinator):
            await bus.close()


async def test_a_server_that_takes_nothing_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it could not take is refused by name; what was taken over before arrives, once, in order."""
    monkeypatch.setattr(pressure, "STALL_S", 1.0)
    async with placed(tmp_path) as (process, authority), server.running(process) as child:
        coordinator = await NatsBus.connect(process.url, authority.mint_coordinator(), name="c")
        alice = await NatsBus.connect(process.url, authority.mint_user("alice", Role.USER), name="a")
        arrived: list[int] = []

        async def keep(message: Message) -> None:
            arrived.append(int(message.data[:8]))

        await alice.subscribe("corral.feed.alice.>", keep)

        async def publish(number: int) -> None:
            await coordinator.publish("corral.feed.alice.job.1", b"%08d" % number + bytes(512 * 1024))

        stand_still(child.pid)
        sent = 0
        try:
            async with asyncio.timeout(12):
                with pytest.raises(Stalled, match="not sent: the server has taken nothing for"):
                    while sent < 1_000:  # until the system's own buffers and ours are full
                        await publish(sent)
                        sent += 1
                with pytest.raises(Stalled):
                    await coordinator.request("corral.node.n1.command", b"", timeout_s=1_000)
        finally:
            child.send_signal(signal.SIGCONT)
        assert 4 < sent < 1_000
        async with asyncio.timeout(30):
            while True:
                try:
                    await publish(sent)
                    break
                except Stalled:
                    await asyncio.sleep(0.01)
            while len(arrived) <= sent:
                await asyncio.sleep(0.01)
        assert arrived == list(range(sent + 1))
        for bus in (alice, coordinator):
            await bus.close()


async def test_who_waits_for_a_server_that_dies_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pressure, "STALL_S", 1_000.0)
    async with placed(tmp_path) as (process, authority):
        child = server.start(process)
        await server.wait_ready(process)
        coordinator = await NatsBus.connect(process.url, authority.mint_coordinator(), name="c")
        stand_still(child.pid)

        async def publish() -> None:
            while True:
                await coordinator.publish("corral.feed.alice.job.1", bytes(512 * 1024))

        publishing = asyncio.create_task(publish())
        async with asyncio.timeout(30):
            try:
                while (waits := coordinator._pressure._flushed) is None or waits.done():
                    await asyncio.sleep(0.01)
            finally:
                child.kill()
                child.wait()
            with pytest.raises(Disconnected) as lost:
                await publishing
        assert not isinstance(lost.value, Stalled)
        await coordinator.close()


async def test_what_is_cancelled_beside_it_holds_no_close_up(tmp_path: Path) -> None:
    """As a loop that is shut down does: all tasks at once, so nobody writes what `close` still says."""
    async with placed(tmp_path) as (process, authority):
        child = server.start(process)
        try:
            await server.wait_ready(process)
            alice = await NatsBus.connect(process.url, authority.mint_user("alice", Role.USER), name="a")
            subscription = await alice.subscribe("corral.feed.alice.>", lambda _: asyncio.sleep(0))
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            async with asyncio.timeout(20):
                await subscription.unsubscribe()
                await alice.close()
        finally:
            child.kill()
            child.wait()
