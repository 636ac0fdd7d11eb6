"""What only the in-process bus has: a clock of its own, and connections that can be cut."""

from __future__ import annotations

import asyncio

import pytest

from bus.errors import Disconnected
from bus.memory import MemoryHub
from bus.transport import Message


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


async def test_keys_live_as_long_as_their_bucket_says() -> None:
    clock = Clock()
    coordinator = MemoryHub(clock).connect_coordinator()
    await coordinator.kv_put("corral_heartbeats", "n1", b"1")
    await coordinator.kv_put("corral_cluster", "state", b"1")
    clock.now_s = 29.9
    assert await coordinator.kv_get("corral_heartbeats", "n1") == b"1"
    clock.now_s = 30.0
    assert await coordinator.kv_get("corral_heartbeats", "n1") is None
    assert await coordinator.kv_get("corral_cluster", "state") == b"1"


async def test_a_cut_connection_fails_requests_and_hears_nothing() -> None:
    hub = MemoryHub(lambda: 0.0)
    coordinator, agent = hub.connect_coordinator(), hub.connect_agent("n1")
    heard: list[bytes] = []

    async def keep(message: Message) -> None:
        heard.append(message.data)

    await coordinator.subscribe("corral.node.*.report", keep)
    await agent.subscribe("corral.node.n1.command", keep)
    asking = asyncio.create_task(agent.request("corral.node.n1.report", b"lost?", timeout_s=60))
    await asyncio.sleep(0)
    agent.set_connected(False)
    with pytest.raises(Disconnected):
        await asking
    with pytest.raises(Disconnected):
        await agent.publish("corral.node.n1.usage", b"")
    await coordinator.publish("corral.node.n1.command", b"while cut")
    agent.set_connected(True)
    await coordinator.publish("corral.node.n1.command", b"healed")
    for _ in range(5):
        await asyncio.sleep(0)
    assert heard == [b"lost?", b"healed"]
    await coordinator.close()
    await agent.close()
