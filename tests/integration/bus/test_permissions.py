"""Who may speak where, tried on a real server: a matrix per role, and each hole that was ever found."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest

from bus.api import OPERATIONS
from bus.auth import Authority
from bus.connection import NatsBus
from bus.credentials import Credentials
from bus.errors import BusError, Forbidden
from bus.subjects import is_coordinator_inbox
from bus.transport import Message
from bus.values import Role
from tests.fixtures_nats import NatsServer

Connect = Callable[[Credentials], Awaitable[NatsBus]]
READING = [name for name, operation in OPERATIONS.items() if operation.role is Role.READONLY]
CHANGING = [name for name, operation in OPERATIONS.items() if operation.role is not Role.READONLY]
BUCKET = "KV_corral_cluster"
GET = "$JS.API.DIRECT.GET"


async def ignore(message: Message) -> None:
    """A handler for subscriptions that matter only for being allowed."""


async def may_publish(bus: NatsBus, subject: str) -> bool:
    """An empty message where nobody minds one."""
    await bus.publish(subject, b"", headers={"Corral-Test": "permissions"})
    try:
        await bus.flush()
    except Forbidden:
        return False
    return True


async def may_subscribe(bus: NatsBus, subject: str) -> bool:
    try:
        await (await bus.subscribe(subject, ignore)).unsubscribe()
    except Forbidden:
        return False
    return True


def minted(authority: Authority, who: str) -> Credentials:
    if who == "agent":
        return authority.mint_agent("n1")
    if who == "coordinator":
        return authority.mint_coordinator()
    return authority.mint_user("alice", Role(who))


ALL = {"readonly", "user", "operator", "admin"}
POWER = {"operator", "admin"}
WRITE = ALL - {"readonly"}

PUBLISH: dict[str, set[str]] = {
    **{f"corral.u.alice.{operation}": ALL | {"coordinator"} for operation in READING},
    **{f"corral.u.alice.{operation}": WRITE | {"coordinator"} for operation in CHANGING},
    "corral.u.alice.publish": WRITE | {"coordinator"},
    "corral.u.alice.errors": {"coordinator"},
    "corral.u.bob.job.submit": {"coordinator"},
    "corral.u.bob.publish": {"coordinator"},
    "corral.s.alice.n1.pty-1.up": WRITE | {"coordinator"},
    "corral.s.alice.n1.pty-1.down": {"agent", "coordinator"},
    "corral.s.bob.n1.pty-1.up": {"coordinator"},
    "corral.s.bob.n1.pty-1.down": {"agent", "coordinator"},
    "corral.s.alice.n2.pty-1.down": {"coordinator"},
    "corral.peer.n1.n2.x.up": {"agent", "coordinator"},
    "corral.peer.n1.n2.x.down": {"coordinator"},
    "corral.peer.n2.n1.x.up": {"coordinator"},
    "corral.peer.n2.n1.x.down": {"agent", "coordinator"},
    "corral.peer.n2.n3.x.up": {"coordinator"},
    "corral.peer.n2.n3.x.down": {"coordinator"},
    "corral.node.n1.register": {"agent", "coordinator"},
    "corral.node.n1.report": {"agent", "coordinator"},
    "corral.node.n1.log.alice.1-0": {"agent", "coordinator"},
    "corral.node.n2.register": {"coordinator"},
    "corral.node.n2.command": {"coordinator"},
    "corral.node.n2.log.alice.1-0": {"coordinator"},
    "corral.feed.alice.job.1": {"coordinator"},
    "corral.feed._.node.n1": {"coordinator"},
    "corral.dead.alice": {"coordinator"},
    "_INBOX_bob.x": {"coordinator"},
    "_INBOX_C_coordinator.x": {"coordinator"},
    "$SRV.PING": ALL | {"coordinator"},
    "$SRV.STATS.corral": ALL | {"coordinator"},
    f"$JS.API.STREAM.INFO.{BUCKET}": ALL | {"coordinator"},
    f"{GET}.{BUCKET}.$KV.corral_cluster.state": ALL | {"coordinator"},
    f"{GET}.KV_corral_heartbeats.$KV.corral_heartbeats.n1": ALL | {"coordinator"},
    f"{GET}.KV_corral_metrics.$KV.corral_metrics.a.b": ALL | {"coordinator"},
    f"{GET}.KV_corral_jobs.$KV.corral_jobs.alice.1": ALL | {"coordinator"},
    f"{GET}.KV_corral_jobs.$KV.corral_jobs.bob.1": POWER | {"coordinator"},
    "$JS.API.STREAM.INFO.KV_corral_jobs": POWER | {"coordinator"},
    f"{GET}.KV_corral_queue.$KV.corral_queue.x": POWER | {"coordinator"},
    f"{GET}.KV_corral_locks.$KV.corral_locks.x": POWER | {"coordinator"},
    f"{GET}.KV_corral_sessions.$KV.corral_sessions.x": {"coordinator"},
    f"{GET}.{BUCKET}": {"coordinator"},
    "$KV.corral_cluster.state": {"coordinator"},
    f"$JS.API.CONSUMER.CREATE.{BUCKET}.c.$KV.corral_cluster.>": POWER | {"coordinator"},
    "$JS.API.CONSUMER.CREATE.CORRAL_SUBMISSIONS.c": {"coordinator"},
    "$JS.API.CONSUMER.CREATE.KV_corral_sessions.c": {"coordinator"},
    f"$JS.API.CONSUMER.DURABLE.CREATE.{BUCKET}.c": {"coordinator"},
    f"$JS.API.CONSUMER.CREATE.{BUCKET}": {"coordinator"},
    "$JS.API.CONSUMER.MSG.NEXT.CORRAL_SUBMISSIONS.coordinator": {"coordinator"},
    f"$JS.API.STREAM.MSG.GET.{BUCKET}": {"coordinator"},
    "$JS.API.STREAM.NAMES": {"coordinator"},
    "$JS.API.STREAM.CREATE.MINE": {"coordinator"},
    "$JS.API.STREAM.DELETE.MINE": {"coordinator"},
    "$JS.API.STREAM.PURGE.MINE": {"coordinator"},
    "$JS.API.STREAM.MSG.DELETE.MINE": {"coordinator"},
    "$JS.API.STREAM.MSG.GET.CORRAL_SUBMISSIONS": {"coordinator"},
    "$JS.API.STREAM.MSG.GET.CORRAL_DEAD_LETTERS": {"coordinator"},
    "$JS.API.STREAM.INFO.CORRAL_SUBMISSIONS": {"coordinator"},
    "$JS.API.CONSUMER.DELETE.CORRAL_SUBMISSIONS.mine": {"coordinator"},
    "$JS.API.CONSUMER.NAMES.CORRAL_SUBMISSIONS": {"coordinator"},
    "$JS.API.INFO": {"coordinator"},
    "$JS.ACK.CORRAL_SUBMISSIONS.coordinator.1.1.1.1.0": {"coordinator"},
    "$KV.corral_jobs.alice.1": {"coordinator"},
    "$KV.corral_sessions.alice": {"coordinator"},
    "$SYS.REQ.ACCOUNT.PING.CONNZ": {"coordinator"},
    "$SYS.REQ.ACCOUNT.PING.STATZ": set(),
    "$SYS.REQ.USER.INFO": set(),
    "$SYS.REQ.CLAIMS.UPDATE": set(),
    "$SYS.REQ.ACCOUNT.X.CLAIMS.UPDATE": set(),
    "corral.auth.join": {"coordinator"},
    "$SYS.REQ.SERVER.PING": set(),
}

SUBSCRIBE: dict[str, set[str]] = {
    "_INBOX_alice.x.>": ALL,
    "_INBOX_alice.>": ALL,
    "_INBOX_bob.>": set(),
    "_INBOX_N_n1.>": {"agent"},
    "_INBOX_N_alice.>": set(),
    "_INBOX_C_coordinator.>": {"coordinator"},
    "_INBOX.>": set(),
    "*.>": set(),
    ">": set(),
    "corral.feed.alice.>": ALL | {"coordinator"},
    "corral.feed.alice.job.7": ALL | {"coordinator"},
    "corral.feed._.>": ALL | {"coordinator"},
    "corral.feed.bob.>": POWER | {"coordinator"},
    "corral.feed.>": POWER | {"coordinator"},
    "corral.node.*.log.alice.*": ALL | {"coordinator"},
    "corral.node.n1.log.alice.1-0": ALL | {"agent", "coordinator"},
    "corral.node.*.log.bob.*": {"coordinator"},
    "corral.node.*.log.*.*": {"coordinator"},
    "corral.node.n1.command": {"agent", "coordinator"},
    "corral.node.n2.command": {"coordinator"},
    "corral.peer.n1.*.*.down": {"agent", "coordinator"},
    "corral.peer.n1.*.*.up": {"coordinator"},
    "corral.peer.*.n1.*.up": {"agent", "coordinator"},
    "corral.peer.*.n1.*.down": {"coordinator"},
    "corral.peer.n2.n3.x.down": {"coordinator"},
    "corral.peer.>": {"coordinator"},
    "corral.node.*.heartbeat": {"coordinator"},
    "corral.u.alice.errors": ALL | {"coordinator"},
    "corral.u.bob.errors": {"coordinator"},
    "corral.u.alice.job.submit": {"coordinator"},
    "corral.u.*.*.*": {"coordinator"},
    "corral.s.alice.*.*.down": WRITE | {"coordinator"},
    "corral.s.*.n1.*.up": {"agent", "coordinator"},
    "corral.s.*.n2.*.up": {"coordinator"},
    "$SRV.PING": {"coordinator"},
    "$KV.corral_cluster.>": {"coordinator"},
    "$JS.API.>": set(),
    "$JS.EVENT.>": set(),
    "$JS.ACK.>": set(),
    "$SYS.>": set(),
    "$KV.corral_jobs.alice.>": {"coordinator"},
    "corral.dead.alice": {"coordinator"},
    "corral.auth.>": {"coordinator"},
}


@pytest.mark.parametrize("who", [*sorted(ALL), "agent", "coordinator"])
async def test_matrix(nats_server: NatsServer, nats_connect: Connect, who: str) -> None:
    """Every cell: what the role may is let through, what it may not is denied."""
    bus = await nats_connect(minted(nats_server.authority, who))
    published = {subject: await may_publish(bus, subject) for subject in PUBLISH}
    assert published == {subject: who in allowed for subject, allowed in PUBLISH.items()}
    subscribed = {subject: await may_subscribe(bus, subject) for subject in SUBSCRIBE}
    assert subscribed == {subject: who in allowed for subject, allowed in SUBSCRIBE.items()}


async def test_nobody_without_credentials(nats_server: NatsServer, tmp_path: object) -> None:
    """Neither without any nor with those of another cluster."""
    from nats.aio.client import Client

    refusals: list[str] = []

    async def on_error(error: Exception) -> None:
        refusals.append(str(error).lower())

    client = Client()
    with pytest.raises(Exception, match=r"(?i)authorization violation"):
        await client.connect(
            nats_server.url, allow_reconnect=False, error_cb=on_error, max_reconnect_attempts=1
        )
    await client.close()


async def test_credentials_of_another_cluster_are_refused(
    nats_server: NatsServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = Authority.create_or_load(tmp_path_factory.mktemp("other") / "keys")
    with pytest.raises(Forbidden):
        await NatsBus.connect(nats_server.url, other.mint_user("alice", Role.ADMIN), name="test")


async def test_expired_credentials_are_refused(nats_server: NatsServer) -> None:
    late = nats_server.authority.mint_user("alice", Role.USER, expires_in_s=-10)
    with pytest.raises(Forbidden):
        await NatsBus.connect(nats_server.url, late, name="test")


async def test_expiry_ends_an_open_connection(nats_server: NatsServer) -> None:
    """B19: an expired credential on an open connection."""
    ended = asyncio.Event()
    soon = nats_server.authority.mint_user("alice", Role.USER, expires_in_s=1.5)
    bus = await NatsBus.connect(nats_server.url, soon, name="test", on_state=lambda state: ended.set())
    await asyncio.wait_for(ended.wait(), 10)
    with pytest.raises(BusError):
        await bus.request("corral.u.alice.job.list", b"", timeout_s=1)
    await bus.close()


async def test_a_push_consumer_cannot_speak_for_a_user(
    nats_server: NatsServer, nats_connect: Connect
) -> None:
    """Its deliver subject would publish where its maker may not."""
    alice = await nats_connect(nats_server.authority.mint_user("alice", Role.USER))
    config = {
        "stream_name": BUCKET,
        "config": {"deliver_subject": "corral.node.n1.command", "ack_policy": "none"},
    }
    for subject in (
        f"$JS.API.CONSUMER.CREATE.{BUCKET}",
        f"$JS.API.CONSUMER.CREATE.{BUCKET}.x",
        f"$JS.API.CONSUMER.DURABLE.CREATE.{BUCKET}.x",
    ):
        with pytest.raises(Forbidden):
            await alice.request(subject, json.dumps(config).encode(), timeout_s=20)


async def test_a_reflected_answer_is_told_from_a_command(
    nats_server: NatsServer, nats_connect: Connect
) -> None:
    """The server checks no reply subject: its own answers can be steered onto a command subject.

    They carry no reply subject of a coordinator, so an agent that asks `is_coordinator_inbox` ignores them.
    """
    mint = nats_server.authority
    coordinator, alice = (
        await nats_connect(mint.mint_coordinator()),
        await nats_connect(mint.mint_user("alice", Role.USER)),
    )
    agent = await nats_connect(mint.mint_agent("n1"))
    heard: asyncio.Queue[Message] = asyncio.Queue()

    async def keep(message: Message) -> None:
        await heard.put(message)
        if message.reply:
            await agent.publish(message.reply, b"")

    await agent.subscribe("corral.node.n1.command", keep)
    await coordinator.kv_put("corral_cluster", "state", b"{}")
    await alice.publish(f"{GET}.{BUCKET}.$KV.corral_cluster.state", b"", reply="corral.node.n1.command")
    reflected = await asyncio.wait_for(heard.get(), 5)
    assert reflected.data == b"{}"
    assert not is_coordinator_inbox(reflected.reply)
    await coordinator.request("corral.node.n1.command", b"", timeout_s=20)
    assert is_coordinator_inbox((await asyncio.wait_for(heard.get(), 5)).reply)


async def test_one_user_cannot_swallow_anothers_submission(
    nats_server: NatsServer, nats_connect: Connect
) -> None:
    """Message ids share one window of the stream: it must be too short to be of use."""
    mint = nats_server.authority
    mallory = await nats_connect(mint.mint_user("mallory", Role.USER))
    alice = await nats_connect(mint.mint_user("alice", Role.USER))
    identity = {"Nats-Msg-Id": "sweep-1"}
    await mallory.request("corral.u.mallory.publish", b"{}", timeout_s=20, headers=identity)
    async with asyncio.timeout(20):
        while True:
            answer = await alice.request("corral.u.alice.publish", b"{}", timeout_s=20, headers=identity)
            if not json.loads(answer.data).get("duplicate"):
                return
            await asyncio.sleep(0.02)
