"""Fire and forget: what is published becomes one job, whenever a coordinator comes and however often."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import datetime
from typing import Any

import asyncpg
import msgspec
import psutil
import pytest

from bus.connection import NatsBus
from bus.spec import JobSpec
from bus.transport import Message
from bus.values import Role
from coordinator.api.jobs import seal
from coordinator.registry import Resolved
from tests.fixtures_cluster import LiveCluster
from tests.fixtures_postgres import GIVEN
from tests.integration.doors.conftest import not_here

TRUE = {"command": ["true"]}


@pytest.fixture
async def alice(cluster: LiveCluster) -> AsyncIterator[NatsBus]:
    bus = await connected(cluster, "alice")
    yield bus
    await bus.close()


async def connected(cluster: LiveCluster, name: str, role: Role = Role.USER) -> NatsBus:
    credentials = cluster.nats.authority.mint_user(name, role)
    return await NatsBus.connect(cluster.nats.url, credentials, name="test")


async def published(bus: NatsBus, body: object, *, message_id: str = "", user: str = "alice") -> None:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Nats-Msg-Id": message_id} if message_id else {}
    async with asyncio.timeout(30):
        while True:
            answer = await bus.request(f"corral.u.{user}.publish", data, timeout_s=20, headers=headers)
            said = json.loads(answer.data)
            assert said["stream"] == "CORRAL_SUBMISSIONS"
            if not said.get("duplicate"):
                return
            await asyncio.sleep(0.02)  # JetStream's own window, a tenth of a second long


async def rows(cluster: LiveCluster, query: str, *arguments: object) -> list[Any]:
    connection = await asyncpg.connect(cluster.owner_dsn)
    try:
        return list(await connection.fetch(query, *arguments))
    finally:
        await connection.close()


async def jobs_named(cluster: LiveCluster, name: str) -> int:
    return len(await rows(cluster, "select 1 from corral.jobs where name = $1", name))


async def left_in_the_line(cluster: LiveCluster) -> int:
    bus = await NatsBus.connect(cluster.nats.url, cluster.nats.authority.mint_coordinator(), name="test")
    try:
        info = await bus.request("$JS.API.STREAM.INFO.CORRAL_SUBMISSIONS", b"", timeout_s=20)
        return int(json.loads(info.data)["state"]["messages"])
    finally:
        await bus.close()


async def drained(cluster: LiveCluster) -> None:
    async def empty() -> bool:
        return await left_in_the_line(cluster) == 0

    await cluster.until(empty, "every submission is acknowledged")


class Errors:
    """What comes on a user's errors subject."""

    def __init__(self, bus: NatsBus, user: str) -> None:
        self._bus, self._user = bus, user
        self._heard: asyncio.Queue[Message] = asyncio.Queue()

    async def listen(self) -> Errors:
        await self._bus.subscribe(f"corral.u.{self._user}.errors", self._heard.put)
        return self

    async def next(self) -> dict[str, Any]:
        message = await asyncio.wait_for(self._heard.get(), 10)
        error: dict[str, Any] = json.loads(message.data)["error"]
        return error


async def test_a_published_job_runs(cluster: LiveCluster, alice: NatsBus) -> None:
    await published(alice, TRUE | {"name": "runs"})
    await drained(cluster)
    async with cluster.client() as client:
        (job,) = [each for each in (await client.jobs()).jobs if each.name == "runs"]
        assert (await client.wait(job.number)).exit_code == 0


async def test_the_same_id_and_body_is_one_job(cluster: LiveCluster, alice: NatsBus) -> None:
    """Also long after JetStream itself forgot the id, and for another user it is another id."""
    bob = await connected(cluster, "bob")
    for _ in range(3):
        await published(alice, TRUE | {"name": "once"}, message_id="id-1")
        await drained(cluster)
        await published(bob, TRUE | {"name": "once"}, message_id="id-1", user="bob")
    await drained(cluster)
    await bob.close()
    found = await rows(
        cluster,
        "select u.username from corral.jobs j join corral.users u on u.id = j.user_id where name = 'once'",
    )
    assert sorted(row["username"] for row in found) == ["alice", "bob"]


async def test_the_same_id_with_another_body_is_rejected(cluster: LiveCluster, alice: NatsBus) -> None:
    errors = await Errors(alice, "alice").listen()
    await published(alice, TRUE | {"name": "first body"}, message_id="id-2")
    await drained(cluster)
    await published(alice, TRUE | {"name": "other body"}, message_id="id-2")
    error = await errors.next()
    assert (error["code"], error["status"], error["field"]) == ("E_IDEM_CONFLICT", 409, "Nats-Msg-Id")
    assert await jobs_named(cluster, "other body") == 0


async def test_without_an_id_two_messages_are_two_jobs(cluster: LiveCluster, alice: NatsBus) -> None:
    await published(alice, TRUE | {"name": "twice"})
    await published(alice, TRUE | {"name": "twice"})
    await drained(cluster)
    assert await jobs_named(cluster, "twice") == 2


@pytest.mark.parametrize(
    ("body", "message_id", "code"),
    [
        (b"hello", "", "E_JSON"),
        (b"", "", "E_EMPTY"),
        (b"[1]", "", "E_TYPE"),
        (b'{"comand": ["true"]}', "", "E_FIELD"),
        (b'{"command": ["true"], "priority": 99}', "", "E_RANGE"),
        (b'{"command": ["true"], "resources": {"cpu": "64"}}', "", "E_UNSATISFIABLE"),
        (b'{"command": ["true"]}', "no blanks", "E_KEY"),
        (b'{"command": ["true"]}', "k" * 129, "E_KEY"),
        (b" " * (1024 * 1024 + 1), "", "E_TOO_LARGE"),
    ],
)
async def test_what_can_never_be_a_job_is_rejected(
    cluster: LiveCluster, alice: NatsBus, body: bytes, message_id: str, code: str
) -> None:
    """Told to its sender, kept among the dead letters, and no longer in the line."""
    errors = await Errors(alice, "alice").listen()
    await published(alice, body, message_id=message_id)
    assert (await errors.next())["code"] == code
    await drained(cluster)
    coordinator = await NatsBus.connect(
        cluster.nats.url, cluster.nats.authority.mint_coordinator(), name="test"
    )
    query = json.dumps({"last_by_subj": "corral.dead.alice"}).encode()
    kept = await coordinator.request("$JS.API.STREAM.MSG.GET.CORRAL_DEAD_LETTERS", query, timeout_s=20)
    assert json.loads(kept.data)["message"].get("data", "") != "" or body == b""
    await coordinator.close()


async def test_rejects_are_audited_and_counted(cluster: LiveCluster, alice: NatsBus) -> None:
    """A row for the first of a kind; the flood after it waits to be counted into one."""
    errors = await Errors(alice, "alice").listen()
    for _ in range(20):
        await alice.publish("corral.u.alice.publish", b"{flood")
    for _ in range(20):
        await errors.next()
    audited = "select details from corral.audit where actor = 'alice' and action = 'publish'"

    async def noted() -> bool:
        return any(json.loads(row["details"])["code"] == "E_JSON" for row in await rows(cluster, audited))

    await cluster.until(noted, "the audit has it")
    kinds = [json.loads(row["details"])["code"] for row in await rows(cluster, audited)]
    assert kinds.count("E_JSON") == 1


@pytest.mark.parametrize(
    ("name", "code"), [("rita", "E_FORBIDDEN"), ("nobody", "E_AUTH"), ("sam", "E_SUSPENDED")]
)
async def test_who_may_not_submit_may_not_publish(cluster: LiveCluster, name: str, code: str) -> None:
    """The server lets a readonly user not even publish; here somebody has credentials that say too much."""
    await rows(
        cluster,
        "insert into corral.users (username, status) values ('sam', 'suspended') on conflict do nothing",
    )
    bus = await connected(cluster, name)
    errors = await Errors(bus, name).listen()
    await published(bus, TRUE | {"name": f"of {name}"}, user=name)
    assert (await errors.next())["code"] == code
    assert await jobs_named(cluster, f"of {name}") == 0
    await bus.close()


async def test_what_is_published_while_nobody_is_there_waits(cluster: LiveCluster, alice: NatsBus) -> None:
    cluster.kill("coordinator", signal.SIGTERM)
    for number in range(50):
        await published(alice, TRUE | {"name": "waited"}, message_id=f"wait-{number}")
        await published(alice, TRUE | {"name": "waited"}, message_id=f"wait-{number}")
    assert await left_in_the_line(cluster) >= 50
    cluster.start_coordinator()
    await drained(cluster)
    assert await jobs_named(cluster, "waited") == 50


@pytest.mark.parametrize("kill", range(3))
async def test_killed_in_the_middle_each_is_accepted_once(
    cluster: LiveCluster, alice: NatsBus, kill: int
) -> None:
    """kill -9 while batches are committed and acknowledged; half the messages have no id of their own."""
    name = f"killed {kill}"

    async def some_accepted() -> bool:
        return await jobs_named(cluster, name) > 100 * kill

    publishing = asyncio.gather(
        *(
            published(alice, TRUE | {"name": name}, message_id=f"{kill}-{number}" if number % 2 else "")
            for number in range(1000)
        )
    )
    await cluster.until(some_accepted, "some are accepted")
    cluster.kill("coordinator")
    await publishing
    cluster.start_coordinator()
    await drained(cluster)
    assert await jobs_named(cluster, name) == 1000


async def standing_still(cluster: LiveCluster) -> list[psutil.Process]:
    """Every process of the database's server."""
    connection = await asyncpg.connect(cluster.owner_dsn)
    try:
        server = psutil.Process(connection.get_server_pid()).parent()
        assert server is not None
        return [server, *server.children(recursive=True)]
    finally:
        connection.terminate()


async def test_published_while_the_database_stands_still_all_become_jobs(
    cluster: LiveCluster, alice: NatsBus
) -> None:
    """Meanwhile whoever asks hears within two seconds to try again; afterwards each message is one job."""
    if GIVEN:
        not_here("a database that stands still", "its processes are not ours to stop")
    stopped = await standing_still(cluster)
    for process in stopped:
        with suppress(psutil.NoSuchProcess):
            process.suspend()
    try:
        for number in range(200):
            await published(alice, TRUE | {"name": "stood still"}, message_id=f"still-{number}")

        async def refused() -> bool:
            answer = await alice.request("corral.u.alice.job.list", b"{}", timeout_s=20)
            said = json.loads(answer.data)
            return bool(said.get("error", {}).get("status") == 503 and said["error"]["retry_after_s"] > 0)

        await cluster.until(refused, "a reader is told to try again")
        submitted = await alice.request("corral.u.alice.job.submit", json.dumps(TRUE).encode(), timeout_s=20)
        error = json.loads(submitted.data)["error"]
        assert (error["code"], error["status"]) == ("E_UNAVAILABLE", 503) and error["retry_after_s"] > 0
    finally:
        for process in stopped:
            with suppress(psutil.NoSuchProcess):
                process.resume()
    await drained(cluster)
    assert await jobs_named(cluster, "stood still") == 200


async def test_a_delivery_repeated_after_its_commit_is_no_second_job(
    cluster: LiveCluster, alice: NatsBus
) -> None:
    """As if the coordinator had died between commit and acknowledgement: the line has the message still."""
    coordinator = await NatsBus.connect(
        cluster.nats.url, cluster.nats.authority.mint_coordinator(), name="test"
    )
    cluster.kill("coordinator", signal.SIGTERM)
    await published(alice, TRUE | {"name": "acknowledged late"})
    query = json.dumps({"next_by_subj": "corral.u.alice.publish", "seq": 1}).encode()
    answer = await coordinator.request("$JS.API.STREAM.MSG.GET.CORRAL_SUBMISSIONS", query, timeout_s=20)
    stored = json.loads(answer.data)["message"]
    await coordinator.close()
    at_ns = instant_ns(stored["time"])
    await rows(
        cluster,
        "with owner as (select id from corral.users where username = 'alice'), made as ("
        "  insert into corral.jobs (number, user_id, name, pending, completed)"
        "  select (select max(number) + 1 from corral.jobs), id, 'committed before', 0, 1 from owner"
        "  returning id, user_id"
        ") insert into corral.message_keys (user_id, key, job_id, digest) "
        "select user_id, $1, id, $2 from made",
        f"@{stored['seq']}-{at_ns}",
        seal(Resolved(msgspec.convert(TRUE | {"name": "acknowledged late"}, JobSpec))).digest,
    )
    cluster.start_coordinator()
    await drained(cluster)
    assert await jobs_named(cluster, "acknowledged late") == 0
    await rows(cluster, "delete from corral.jobs where name = 'committed before'")


def instant_ns(text: str) -> int:
    """RFC 3339 with nanoseconds, which Python's own parser cuts."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    seconds = int(datetime.fromisoformat(f"{whole}+00:00").timestamp())
    return seconds * 10**9 + int(fraction.ljust(9, "0") or 0)
