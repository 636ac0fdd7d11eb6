"""Submissions wait for a coordinator, come again until they are done, and are kept where rejected."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bus import server, storage
from bus.auth import Authority
from bus.codec import decode
from bus.connection import NatsBus
from bus.errors import Error, ErrorReply, TooLarge
from bus.jetstream import Submission, Submissions, ensure_buckets, ensure_streams
from bus.transport import Message
from bus.values import Role


class Place:
    """A server of the test's own: the waiting line is shared by all who are on it."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority.create_or_load(folder / "keys")
        self.process = server.prepare(folder / "nats", port=0, authority=self.authority)

    async def coordinator(self) -> NatsBus:
        return await NatsBus.connect(self.process.url, self.authority.mint_coordinator(), name="test")

    async def alice(self) -> NatsBus:
        return await NatsBus.connect(
            self.process.url, self.authority.mint_user("alice", Role.USER), name="test"
        )


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    made = Place(tmp_path)
    async with server.running(made.process):
        bus = await made.coordinator()
        await ensure_buckets(bus)
        await ensure_streams(bus)
        await bus.close()
        yield made


async def opened(bus: NatsBus) -> Submissions:
    line = Submissions(bus)
    await line.open()
    return line


async def collected(line: Submissions, count: int) -> list[Submission]:
    got: list[Submission] = []
    async with asyncio.timeout(20):
        while len(got) < count:
            got += await line.fetch(wait_s=1)
    return got


@pytest.mark.contract("S2.3")
async def test_making_again_changes_nothing_and_settings_are_as_promised(place: Place) -> None:
    bus = await place.coordinator()
    await ensure_buckets(bus)
    await ensure_streams(bus)
    for bucket, spec in storage.BUCKETS.items():
        said = json.loads((await bus.request(f"$JS.API.STREAM.INFO.KV_{bucket}", b"", timeout_s=20)).data)[
            "config"
        ]
        assert said["storage"] == "memory"
        assert said["max_age"] == (spec.ttl_s or 0) * 10**9
    said = json.loads((await bus.request("$JS.API.STREAM.INFO.CORRAL_SUBMISSIONS", b"", timeout_s=20)).data)[
        "config"
    ]
    assert (said["storage"], said["retention"], said["discard"]) == ("file", "workqueue", "new")
    assert "sync_interval: always" in (place.process.folder / "nats.conf").read_text()
    await bus.close()


async def test_settings_of_an_older_version_are_brought_up_to_date(place: Place) -> None:
    bus = await place.coordinator()
    config = {
        "name": "KV_corral_metrics",
        "subjects": ["$KV.corral_metrics.>"],
        "storage": "memory",
        "max_age": 10**9,
    }
    await bus.request("$JS.API.STREAM.DELETE.KV_corral_metrics", b"", timeout_s=20)
    said = json.loads(
        (
            await bus.request(
                "$JS.API.STREAM.CREATE.KV_corral_metrics", json.dumps(config).encode(), timeout_s=5
            )
        ).data
    )
    assert "error" not in said
    await ensure_buckets(bus)
    said = json.loads((await bus.request("$JS.API.STREAM.INFO.KV_corral_metrics", b"", timeout_s=20)).data)
    assert said["config"]["max_age"] == 300 * 10**9
    await bus.kv_put("corral_metrics", "a", b"1")
    assert await bus.kv_get("corral_metrics", "a") == b"1"
    await bus.close()


async def test_a_line_that_was_lost_is_made_again(place: Place) -> None:
    """JetStream lost its data: the pull is refused, and the next `open` makes stream and consumer anew."""
    bus, alice = await place.coordinator(), await place.alice()
    line = await opened(bus)
    await bus.request("$JS.API.STREAM.DELETE.CORRAL_SUBMISSIONS", b"", timeout_s=20)
    await alice.publish("corral.u.alice.publish", b"nobody keeps this")
    async with asyncio.timeout(30):
        while not line.broken:
            await line.fetch(wait_s=0.1)
    await line.open()
    await alice.request("corral.u.alice.publish", b"kept", timeout_s=20)
    assert [one.data for one in await collected(line, 1)] == [b"kept"]
    await line.close()
    await bus.close()
    await alice.close()


async def test_the_next_coordinator_gets_at_once_what_the_last_one_held(place: Place) -> None:
    """Not only after ACK_WAIT_S; the place of a message is the same at every delivery."""
    alice = await place.alice()
    await alice.request("corral.u.alice.publish", b"x", timeout_s=20)
    died, lives = await place.coordinator(), await place.coordinator()
    (held,) = await collected(await opened(died), 1)
    await died.close()
    line = await opened(lives)
    (again,) = await collected(line, 1)
    assert again.place == held.place
    await line.done(again)
    await line.close()
    await lives.close()
    await alice.close()


async def test_submissions_wait_and_are_forgotten_once_done(place: Place) -> None:
    alice = await place.alice()
    for number in range(300):
        await alice.request(
            "corral.u.alice.publish", b"%d" % number, timeout_s=20, headers={"Nats-Msg-Id": f"m{number}"}
        )
    bus = await place.coordinator()
    line = await opened(bus)
    got = await collected(line, 300)
    assert [int(one.data) for one in got] == list(range(300))
    assert got[7].user == "alice" and got[7].message_id == "m7" and got[7].deliveries == 1
    for one in got:
        await line.done(one)
    await bus.flush()
    await alice.request("corral.u.alice.publish", b"live", timeout_s=20)
    assert [one.data for one in await collected(line, 1)] == [b"live"]
    await line.close()
    await bus.close()
    await alice.close()


async def test_not_now_means_again(place: Place) -> None:
    alice, bus = await place.alice(), await place.coordinator()
    await alice.request("corral.u.alice.publish", b"x", timeout_s=20)
    line = await opened(bus)
    (first,) = await collected(line, 1)
    await line.retry(first, delay_s=0.01)
    (second,) = await collected(line, 1)
    assert (second.data, second.deliveries) == (b"x", 2)
    await bus.close()
    await alice.close()


async def test_a_rejected_submission_is_kept_and_its_user_told(place: Place) -> None:
    alice, bus = await place.alice(), await place.coordinator()
    told: asyncio.Queue[Message] = asyncio.Queue()
    await alice.subscribe("corral.u.alice.errors", told.put)
    await alice.request("corral.u.alice.publish", b"hello", timeout_s=20)
    line = await opened(bus)
    (bad,) = await collected(line, 1)
    await line.reject(bad, Error(code="E_JSON", message="not JSON"))
    message = await asyncio.wait_for(told.get(), 5)
    assert decode(message.data, ErrorReply).error.code == "E_JSON"
    query = json.dumps({"last_by_subj": "corral.dead.alice"}).encode()
    kept = await bus.request("$JS.API.STREAM.MSG.GET.CORRAL_DEAD_LETTERS", query, timeout_s=20)
    assert "message" in json.loads(kept.data)
    await bus.close()
    await alice.close()


async def test_what_was_acknowledged_survives_kill_9(place: Place, tmp_path: Path) -> None:
    """I1: the submission stream is on disk and synced."""
    twin = Place(tmp_path / "twin")
    child = server.start(twin.process)
    await server.wait_ready(twin.process)
    bus, alice = await twin.coordinator(), await twin.alice()
    await ensure_streams(bus)
    for number in range(20):
        await alice.request("corral.u.alice.publish", b"%d" % number, timeout_s=20)
    child.kill()
    child.wait()
    await alice.close()
    await bus.close()
    async with server.running(twin.process):
        bus = await twin.coordinator()
        line = await opened(bus)
        assert [int(one.data) for one in await collected(line, 20)] == list(range(20))
        await bus.close()


@pytest.mark.parametrize("id_bytes", [10, 60_000])  # JetStream takes up to 65,535 of headers
async def test_what_only_just_fitted_is_rejected_like_anything_else(place: Place, id_bytes: int) -> None:
    """The reason goes into headers: with a whole body they would be more than the server carries, which
    closes the connection of whoever sends that. The dead letter keeps the beginning."""
    alice, bus = await place.alice(), await place.coordinator()
    headers = {"Nats-Msg-Id": "k" * id_bytes}
    body = b"x" * (server.MAX_PAYLOAD_BYTES - id_bytes - 100)
    await alice.request("corral.u.alice.publish", body, timeout_s=20, headers=headers)
    line = await opened(bus)
    (submission,) = await collected(line, 1)
    await line.reject(submission, Error(code="E_TOO_LARGE", message="too large"))
    await bus.flush()
    asked = b'{"last_by_subj": "corral.dead.alice"}'
    answer = await bus.request("$JS.API.STREAM.MSG.GET.CORRAL_DEAD_LETTERS", asked, timeout_s=20)
    letter = json.loads(answer.data)["message"]
    said = base64.b64decode(letter["hdrs"]).decode()
    assert f"Corral-Bytes: {len(body)}\r\n" in said
    assert f"Corral-Message-Id: {'k' * min(id_bytes, 128)}\r\n" in said
    assert 0 < len(base64.b64decode(letter["data"])) < len(body)
    await line.close()
    await bus.close()
    await alice.close()


async def test_headers_count_towards_what_the_server_carries(place: Place) -> None:
    """Refused here: the server would close the connection."""
    alice = await place.alice()
    body = b"x" * (server.MAX_PAYLOAD_BYTES - 100)
    with pytest.raises(TooLarge):
        await alice.publish("corral.u.alice.publish", body, headers={"Nats-Msg-Id": "k" * 200})
    await alice.flush()
    await alice.close()
