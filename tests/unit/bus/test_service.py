"""Discovery answers as the micro-service protocol says, and answers into inboxes only."""

from __future__ import annotations

import json

from bus.memory import MemoryHub
from bus.service import Endpoint, Service
from bus.transport import Message


async def test_discovery() -> None:
    hub = MemoryHub(lambda: 0.0)
    coordinator, alice = hub.connect_coordinator(), hub.connect_user("alice")
    endpoints = [Endpoint("job.submit", "corral.u.*.job.submit"), Endpoint("job.show", "corral.u.*.job.show")]
    service = Service(coordinator, name="corral", version="0.1.0", description="d", endpoints=endpoints)
    await service.start()
    service.record("job.submit", seconds=0.25)
    service.record("job.submit", seconds=0.75, error="422:no command")

    async def ask(subject: str) -> dict[str, object]:
        said: dict[str, object] = json.loads((await alice.request(subject, b"", timeout_s=5)).data)
        return said

    ping = await ask("$SRV.PING")
    assert ping == await ask("$SRV.PING.corral") == await ask(f"$SRV.PING.corral.{ping['id']}")
    assert ping["type"] == "io.nats.micro.v1.ping_response"
    info = await ask("$SRV.INFO.corral")
    assert info["description"] == "d"
    stats = await ask("$SRV.STATS.corral")
    assert isinstance(stats["endpoints"], list)
    first = stats["endpoints"][0]
    assert (first["num_requests"], first["num_errors"], first["average_processing_time"]) == (
        2,
        1,
        500_000_000,
    )
    assert first["last_error"] == "422:no command"
    await service.stop()
    await service.stop()
    await coordinator.close()
    await alice.close()


async def test_no_answer_outside_an_inbox() -> None:
    """Else a user could have us speak on a subject that is closed to them."""
    hub = MemoryHub(lambda: 0.0)
    coordinator, alice, agent = hub.connect_coordinator(), hub.connect_user("alice"), hub.connect_agent("n1")
    heard: list[Message] = []

    async def keep(message: Message) -> None:
        heard.append(message)

    await agent.subscribe("corral.node.n1.command", keep)
    service = Service(coordinator, name="corral", version="0.1.0", description="", endpoints=[])
    await service.start()
    await alice.publish("$SRV.PING", b"", reply="corral.node.n1.command")
    await alice.request("$SRV.PING", b"", timeout_s=5)
    assert heard == []
    for bus in (coordinator, alice, agent):
        await bus.close()
