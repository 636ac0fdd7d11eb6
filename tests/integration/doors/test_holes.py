"""What the server cannot see: it checks where a client publishes, not where the answer is to go."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from bus.connection import NatsBus
from bus.transport import Message
from bus.values import Role
from tests.fixtures_cluster import LiveCluster
from tests.integration.doors.test_publish import Errors, connected, drained, rows

AUDITED = "select actor, object, details from corral.audit where action = 'request' and actor = $1"


async def audited(cluster: LiveCluster, actor: str) -> list[dict[str, Any]]:
    found = []

    async def noted() -> bool:
        found[:] = await rows(cluster, AUDITED, actor)
        return bool(found)

    await cluster.until(noted, f"the audit names {actor}")
    return [{"object": row["object"], **json.loads(row["details"])} for row in found]


@pytest.mark.parametrize(
    ("actor", "reply"),
    [("carol", "corral.node.n1.command"), ("dave", "_INBOX_alice.x"), ("erin", "corral.u.alice.publish")],
)
async def test_an_answer_steered_elsewhere_is_dropped_and_audited(
    cluster: LiveCluster, actor: str, reply: str
) -> None:
    """Fifty tries are one row; the sender hears it where only they listen; an operator finds an event."""
    await rows(cluster, "insert into corral.users (username) values ($1) on conflict do nothing", actor)
    coordinator = await NatsBus.connect(
        cluster.nats.url, cluster.nats.authority.mint_coordinator(), name="test"
    )
    landed: list[Message] = []

    async def keep(message: Message) -> None:
        landed.append(message)

    if reply.startswith("corral."):
        await coordinator.subscribe(reply, keep)
    bus = await connected(cluster, actor)
    errors = await Errors(bus, actor).listen()
    for _ in range(50):
        await bus.publish(f"corral.u.{actor}.job.list", b"{}", reply=reply)
    error = await errors.next()
    assert error["code"] == "E_REPLY" and error["request_id"] and reply in error["got"]
    (row,) = await audited(cluster, actor)
    assert (row["object"], row["code"], row["reply"]) == (f"corral.u.{actor}.job.list", "E_REPLY", reply)
    assert row["count"] == 1  # the others are counted into the row of the next minute
    assert not [message for message in landed if b"jobs" in message.data]

    async def told() -> bool:
        query = "select 1 from corral.system_events where event_type = 'request_refused' and message like $1"
        return bool(await rows(cluster, query, f"{actor} on %"))

    await cluster.until(told, "the event is there")
    await bus.close()
    await coordinator.close()


async def test_a_request_that_expects_no_answer_is_told_where_to_go(cluster: LiveCluster) -> None:
    """`nats pub corral.u.alice.job.submit …`: nothing happens, and its sender learns why."""
    bus = await connected(cluster, "alice")
    errors = await Errors(bus, "alice").listen()
    await bus.publish("corral.u.alice.job.submit", b'{"name": "unheard", "command": ["true"]}')
    error = await errors.next()
    assert error["code"] == "E_REPLY" and "corral.u.<user>.publish" in error["hint"]
    assert not await rows(cluster, "select 1 from corral.jobs where name = 'unheard'")
    await bus.close()


async def test_what_jetstream_is_made_to_publish_is_no_job(cluster: LiveCluster) -> None:
    """Its receipts and values can be steered into another user's line; none of them is a job's body."""
    bus = await connected(cluster, "bob")
    alice = await connected(cluster, "alice")
    errors = await Errors(alice, "alice").listen()
    before = await rows(cluster, "select count(*) from corral.jobs")
    value = "$JS.API.DIRECT.GET.KV_corral_cluster.$KV.corral_cluster.state"
    await bus.publish(value, b"", reply="corral.u.alice.publish")
    assert (await errors.next())["code"] == "E_FIELD"
    await bus.publish("corral.u.bob.publish", b"{}", reply="corral.u.alice.publish")
    assert (await errors.next())["code"] == "E_FIELD"
    await drained(cluster)
    assert await rows(cluster, "select count(*) from corral.jobs") == before
    await bus.close()
    await alice.close()


async def test_readonly_users_and_agents_are_kept_out_by_the_server(cluster: LiveCluster) -> None:
    """No message of theirs reaches the line at all."""
    readonly = await connected(cluster, "rita", Role.READONLY)
    agent = await NatsBus.connect(cluster.nats.url, cluster.nats.authority.mint_agent("n9"), name="test")
    for bus, subject in ((readonly, "corral.u.rita.publish"), (agent, "corral.u.alice.publish")):
        with pytest.raises(Exception, match="may not publish"):
            async with asyncio.timeout(20):
                await bus.request(subject, b"{}", timeout_s=20)
        await bus.close()
