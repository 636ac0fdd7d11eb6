"""One contract, two buses: every test here runs on the in-process bus and on a real nats-server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest

from bus.errors import Disconnected, Forbidden, NoResponders, RequestTimeout, TooLarge
from bus.memory import MemoryHub
from bus.transport import Bus, Message
from bus.values import Role
from tests.fixtures_nats import Connections, NatsServer


@dataclass
class Cluster:
    """Connections of each kind, whichever bus they are on."""

    user: Callable[[str, Role], Awaitable[Bus]]
    agent: Callable[[str], Awaitable[Bus]]
    coordinator: Callable[[], Awaitable[Bus]]


@pytest.fixture(params=["memory", "nats"])
def server(request: pytest.FixtureRequest) -> NatsServer | None:
    """None: in-process."""
    return request.getfixturevalue("nats_server") if request.param == "nats" else None


@pytest.fixture
async def cluster(server: NatsServer | None) -> AsyncIterator[Cluster]:
    if server is None:
        hub = MemoryHub(clock=lambda: 0.0)
        opened: list[Bus] = []

        async def kept(bus: Bus) -> Bus:
            opened.append(bus)
            return bus

        yield Cluster(
            lambda name, role: kept(hub.connect_user(name, role)),
            lambda node: kept(hub.connect_agent(node)),
            lambda: kept(hub.connect_coordinator()),
        )
        for bus in opened:
            await bus.close()
        return
    connections = Connections(server)
    mint = server.authority
    yield Cluster(
        lambda name, role: connections(mint.mint_user(name, role)),
        lambda node: connections(mint.mint_agent(node)),
        lambda: connections(mint.mint_coordinator()),
    )
    for nats_bus in connections.opened:
        await nats_bus.close()


class Heard:
    """A handler that keeps what it is given."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._arrived = asyncio.Condition()

    async def __call__(self, message: Message) -> None:
        async with self._arrived:
            self.messages.append(message)
            self._arrived.notify_all()

    async def wait(self, count: int) -> list[Message]:
        async with asyncio.timeout(5), self._arrived:
            await self._arrived.wait_for(lambda: len(self.messages) >= count)
        return self.messages


async def answering(bus: Bus, subject: str, text: bytes = b"yes ") -> None:
    async def answer(message: Message) -> None:
        await bus.publish(message.reply, text + message.data, headers={"Seen": message.subject})

    await bus.subscribe(subject, answer)


async def test_request_and_answer(cluster: Cluster) -> None:
    coordinator = await cluster.coordinator()
    alice = await cluster.user("alice", Role.USER)
    await answering(coordinator, "corral.u.*.*.*")
    reply = await alice.request("corral.u.alice.job.list", b"?", timeout_s=5, headers={"A": "b"})
    assert (reply.data, reply.headers["Seen"]) == (b"yes ?", "corral.u.alice.job.list")


async def test_nobody_listens(cluster: Cluster) -> None:
    alice = await cluster.user("alice", Role.USER)
    with pytest.raises(NoResponders):
        await alice.request("corral.u.alice.job.list", b"", timeout_s=5)


async def test_no_answer_in_time(cluster: Cluster) -> None:
    coordinator = await cluster.coordinator()
    alice = await cluster.user("alice", Role.USER)
    await coordinator.subscribe("corral.u.*.*.*", Heard())
    with pytest.raises(RequestTimeout):
        await alice.request("corral.u.alice.job.list", b"", timeout_s=0.05)


async def test_messages_come_in_order_one_at_a_time(cluster: Cluster) -> None:
    coordinator = await cluster.coordinator()
    agent = await cluster.agent("n1")
    heard = Heard()
    busy = 0

    async def slow(message: Message) -> None:
        nonlocal busy
        busy += 1
        assert busy == 1
        await asyncio.sleep(0)
        busy -= 1
        await heard(message)

    await coordinator.subscribe("corral.node.*.usage", slow)
    for number in range(200):
        await agent.publish("corral.node.n1.usage", b"%d" % number)
    assert [int(message.data) for message in await heard.wait(200)] == list(range(200))


async def test_a_failing_handler_is_not_the_end(cluster: Cluster) -> None:
    coordinator = await cluster.coordinator()
    heard = Heard()

    async def fail_first(message: Message) -> None:
        if message.data == b"1":
            raise RuntimeError("on purpose")
        await heard(message)

    await coordinator.subscribe("corral.feed.*.>", fail_first)
    await coordinator.publish("corral.feed.alice.job.1", b"1")
    await coordinator.publish("corral.feed.alice.job.1", b"2")
    assert [message.data for message in await heard.wait(1)] == [b"2"]


async def test_every_subscriber_gets_a_copy(cluster: Cluster) -> None:
    coordinator = await cluster.coordinator()
    alice, again = await cluster.user("alice", Role.USER), await cluster.user("alice", Role.READONLY)
    heard = [Heard(), Heard(), Heard()]
    await alice.subscribe("corral.feed.alice.>", heard[0])
    await alice.subscribe("corral.feed.alice.job.*", heard[1])
    await again.subscribe("corral.feed.alice.job.7", heard[2])
    await coordinator.publish("corral.feed.alice.job.7", b"x")
    for one in heard:
        assert [message.subject for message in await one.wait(1)] == ["corral.feed.alice.job.7"]


async def test_who_has_the_longest_name_and_most_subjects_gets_in(cluster: Cluster) -> None:
    """Their JWT comes on one line of the protocol."""
    name = "r" * 63
    reader, coordinator = await cluster.user(name, Role.READONLY), await cluster.coordinator()
    heard = Heard()
    await coordinator.subscribe(f"corral.u.{name}.>", heard)
    await reader.publish(f"corral.u.{name}.train.status", b"")
    assert [message.subject for message in await heard.wait(1)] == [f"corral.u.{name}.train.status"]


async def test_unsubscribe_finishes_what_is_in_hand(cluster: Cluster) -> None:
    coordinator = await cluster.coordinator()
    entered, release, finished = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def handle(message: Message) -> None:
        entered.set()
        await release.wait()
        finished.set()

    subscription = await coordinator.subscribe("corral.feed.>", handle)
    await coordinator.publish("corral.feed.alice.job.1", b"")
    await asyncio.wait_for(entered.wait(), 5)
    ending = asyncio.create_task(subscription.unsubscribe())
    await asyncio.sleep(0)
    assert not ending.done()
    release.set()
    await asyncio.wait_for(ending, 5)
    assert finished.is_set()
    await subscription.unsubscribe()


async def test_a_handler_may_end_its_own_subscription(cluster: Cluster) -> None:
    coordinator = await cluster.coordinator()
    heard = Heard()

    async def once(message: Message) -> None:
        await subscription.unsubscribe()
        await heard(message)

    subscription = await coordinator.subscribe("corral.feed.alice.>", once)
    other = Heard()
    await coordinator.subscribe("corral.feed.bob.>", other)
    for _ in range(3):
        await coordinator.publish("corral.feed.alice.job.1", b"")
    await coordinator.publish("corral.feed.bob.job.1", b"")
    await heard.wait(1)
    await other.wait(1)
    assert len(heard.messages) == 1


async def test_what_is_denied_is_said(cluster: Cluster) -> None:
    alice = await cluster.user("alice", Role.USER)
    with pytest.raises(Forbidden):
        await alice.subscribe("corral.feed.bob.>", Heard())
    with pytest.raises(Forbidden):
        await alice.request("corral.u.bob.job.list", b"", timeout_s=5)
    await alice.publish("corral.feed.alice.job.1", b"forged")
    with pytest.raises(Forbidden):
        await alice.flush()
    await alice.flush()


async def test_a_denied_message_reaches_nobody(cluster: Cluster) -> None:
    coordinator = await cluster.coordinator()
    alice = await cluster.user("alice", Role.USER)
    heard = Heard()
    await coordinator.subscribe("corral.>", heard)
    await alice.publish("corral.u.bob.job.submit", b"forged")
    await alice.publish("corral.u.alice.job.submit", b"own")
    assert [message.data for message in await heard.wait(1)] == [b"own"]


async def test_agents_answer_whom_they_were_asked_by_and_only_once(cluster: Cluster) -> None:
    coordinator = await cluster.coordinator()
    agent = await cluster.agent("n1")

    async def twice(message: Message) -> None:
        await agent.publish(message.reply, b"first")
        await agent.publish(message.reply, b"second")

    await agent.subscribe("corral.node.n1.command", twice)
    reply = await coordinator.request("corral.node.n1.command", b"", timeout_s=5)
    assert reply.data == b"first"
    with pytest.raises(Forbidden):
        await agent.flush()


async def test_too_large(cluster: Cluster) -> None:
    alice = await cluster.user("alice", Role.USER)
    with pytest.raises(TooLarge):
        await alice.publish("corral.u.alice.job.submit", bytes(8 * 1024 * 1024 + 1))


async def test_keys(cluster: Cluster) -> None:
    coordinator = await cluster.coordinator()
    alice = await cluster.user("alice", Role.USER)
    await coordinator.kv_put("corral_cluster", "state", b"1")
    await coordinator.kv_put("corral_cluster", "state", b"2")
    assert await alice.kv_get("corral_cluster", "state") == b"2"
    await coordinator.kv_delete("corral_cluster", "state")
    assert await alice.kv_get("corral_cluster", "state") is None
    assert await alice.kv_get("corral_cluster", "never") is None
    with pytest.raises(Forbidden):
        await alice.kv_put("corral_cluster", "state", b"3")
    await coordinator.kv_put("corral_jobs", "bob.1", b"secret")
    with pytest.raises(Forbidden):
        await alice.kv_get("corral_jobs", "bob.1")
    assert await alice.kv_get("corral_jobs", "alice.1") is None
    with pytest.raises(NoResponders):
        await coordinator.kv_get("corral_none", "x")
    with pytest.raises(NoResponders):
        await coordinator.kv_put("corral_none", "x", b"")


async def test_after_the_end(cluster: Cluster) -> None:
    alice = await cluster.user("alice", Role.USER)
    assert alice.connected
    await alice.close()
    await alice.close()
    assert not alice.connected
    with pytest.raises(Disconnected):
        await alice.publish("corral.u.alice.job.list", b"")
    with pytest.raises(Disconnected):
        await alice.request("corral.u.alice.job.list", b"", timeout_s=5)
    with pytest.raises(Disconnected):
        await alice.subscribe("corral.feed.alice.>", Heard())
    with pytest.raises(Disconnected):
        await alice.flush()


async def test_closing_delivers_what_was_published(cluster: Cluster) -> None:
    coordinator = await cluster.coordinator()
    agent = await cluster.agent("n1")
    heard = Heard()
    await coordinator.subscribe("corral.node.n1.usage", heard)
    for _ in range(50):
        await agent.publish("corral.node.n1.usage", b"")
    await agent.close()
    await heard.wait(50)
