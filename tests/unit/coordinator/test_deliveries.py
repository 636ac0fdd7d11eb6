"""Sending what waits: signed, bounded, noted after it was sent; with a real server at the other end."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from bus.values import UserName
from bus.webhooks import secret_bytes, secret_text, signature
from coordinator import deliveries
from coordinator.clock import Clock
from coordinator.core.redelivery import Pace, Standing
from coordinator.deliveries import AT_ONCE_EACH, AT_ONCE_MAX, Rules, Sender, purpose
from coordinator.destinations import Destinations, Target
from coordinator.http_post import Answer, NoAnswer
from coordinator.store.errors import StoreUnavailable
from coordinator.store.webhooks import Due
from tests.unit.coordinator.fake_webhooks import FakeWebhooks, SealerInMemory
from tests.unit.coordinator.receiver import Receiver, receiving
from tests.unit.coordinator.shell import until

ANN = UserName("ann")
KEY = b"k" * 32
SEALER = SealerInMemory()
RECEIVER = Path(__file__).parents[3] / "docs" / "guides" / "webhooks" / "receiver.py"
FAST = Rules(pace=Pace(tries_max=3), every_s=0.005, timeout_s=5.0)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


def due(number: int, url: str, *, webhook: int = 1, tries: int = 0, secret: bytes | None = None) -> Due:
    sealed = SEALER.seal(KEY, purpose=purpose(ANN, url)) if secret is None else secret
    return Due(
        id=UUID(int=number),
        webhook=webhook,
        owner=ANN,
        event="job.failed",
        body=f'{{"event": "job.failed", "n": {number}}}',
        tries=tries,
        url=url,
        secret=sealed,
    )


@asynccontextmanager
async def sending(
    store: FakeWebhooks, *, rules: Rules = FAST, hosts: Sequence[str] = ("127.0.0.1",), **options: Any
) -> AsyncIterator[list[Any]]:
    """A sender at work; the records that it makes."""
    records: list[Any] = []
    sender = Sender(
        store,
        SEALER,
        Destinations(hosts),
        Clock(),
        record=records.extend,
        version="1.2.3",
        rules=rules,
        **options,
    )
    running = asyncio.create_task(sender.run())
    try:
        yield records
        assert not running.done()
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def test_a_receiver_can_tell_that_it_is_ours(receiver: Receiver) -> None:
    """With nothing but the secret, the headers and the body: the scheme of Standard Webhooks."""
    store = FakeWebhooks()
    store.waiting = [due(7, receiver.url)]
    async with sending(store) as records:
        await until(lambda: store.noted)
    [call] = receiver.calls
    assert call.body == b'{"event": "job.failed", "n": 7}'
    assert call.headers["content-type"] == "application/json"
    assert call.headers["webhook-id"] == str(UUID(int=7))
    ident, timestamp = (call.headers[name].encode() for name in ("webhook-id", "webhook-timestamp"))
    signed = b".".join((ident, timestamp, call.body))
    digest = hmac.new(KEY, signed, hashlib.sha256).digest()
    assert call.headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"
    assert store.noted[0][2].standing is Standing.DELIVERED and not records
    assert KEY not in str(call.headers).encode()


def test_a_signature_is_that_of_the_published_scheme() -> None:
    """The example of the scheme's own specification."""
    key = secret_bytes("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    said = signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", timestamp_s=1614265330, body=body)
    assert said == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert secret_text(key) == "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


async def test_the_receiver_of_the_guide_takes_what_is_ours_and_nothing_else(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(secret_text(KEY) + "\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(RECEIVER), str(secret), str(port), stdout=asyncio.subprocess.PIPE
    )
    try:
        await until(lambda: listens(port))
        store, url = FakeWebhooks(), f"http://127.0.0.1:{port}/in"
        forged = SEALER.seal(b"x" * 32, purpose=purpose(ANN, url))
        store.waiting = [due(1, url), due(2, url, secret=forged)]
        async with sending(store, rules=Rules(pace=Pace(tries_max=1), every_s=0.005)):
            await until(lambda: len(store.noted) == 2)
        came = {each.id.int: outcome.status for each, outcome, _ in store.noted}
        assert came == {1: 204, 2: 401}
    finally:
        process.terminate()
        said, _ = await process.communicate()
    assert said.decode().split() == ["job.failed"]


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def test_what_fails_is_tried_again_under_the_same_id_and_then_given_up(receiver: Receiver) -> None:
    receiver.answers = [(500, {}, b"we are\n  broken")]
    store = FakeWebhooks()
    store.waiting = [due(1, receiver.url)]
    async with sending(store) as records:
        await until(lambda: len(store.noted) == 3)
    assert len({call.headers["webhook-id"] for call in receiver.calls}) == 1
    assert {call.body for call in receiver.calls} == {b'{"event": "job.failed", "n": 1}'}
    assert [verdict.standing for _, _, verdict in store.noted] == ["waiting", "waiting", "dead"]
    assert store.noted[0][1].error == "answered 500: we are broken"
    kinds = [(record.event_type, record.user) for record in records]
    assert kinds == [("webhook_failed", ANN)] * 2  # when it began, and when it was given up
    assert "is tried again" in records[0].message and "given up" in records[1].message


async def test_a_hanging_receiver_is_left_after_its_time(receiver: Receiver) -> None:
    receiver.hang = True
    store = FakeWebhooks()
    store.waiting = [due(1, receiver.url)]
    async with sending(store, rules=Rules(pace=Pace(tries_max=1), every_s=0.005, timeout_s=0.1)):
        await until(lambda: store.noted)
    assert store.noted[0][1].error == "no whole answer within 0.1 s"


async def test_no_redirect_is_followed(receiver: Receiver) -> None:
    receiver.answers = [(302, {"Location": "http://127.0.0.1:1/"}, b"")]
    store = FakeWebhooks()
    store.waiting = [due(1, receiver.url)]
    async with sending(store, rules=Rules(pace=Pace(tries_max=1), every_s=0.005)):
        await until(lambda: store.noted)
    assert store.noted[0][1].error == "answered 302: redirects are not followed"
    assert len(receiver.calls) == 1


async def test_what_says_that_it_is_gone_is_disabled(receiver: Receiver) -> None:
    receiver.answers = [(410, {}, b"")]
    store = FakeWebhooks()
    store.waiting = [due(1, receiver.url)]
    async with sending(store) as records:
        await until(lambda: records)
    assert len(receiver.calls) == 1
    assert [record.event_type for record in records] == ["webhook_disabled"]


async def test_a_host_that_was_taken_off_the_list_is_not_called(receiver: Receiver) -> None:
    store = FakeWebhooks()
    store.waiting = [due(1, receiver.url)]
    async with sending(store, hosts=(), rules=Rules(pace=Pace(tries_max=1), every_s=0.005)):
        await until(lambda: store.noted)
    assert "that webhooks.hosts names" in store.noted[0][1].error
    assert not receiver.calls


async def test_a_name_that_cannot_be_resolved_fails_like_anything_else() -> None:
    store = FakeWebhooks()
    store.waiting = [due(1, "http://nowhere.invalid/")]
    async with sending(store, hosts=["*.invalid"], rules=Rules(pace=Pace(tries_max=1), every_s=0.005)):
        await until(lambda: store.noted)
    assert "its name is not known" in store.noted[0][1].error or "in time" in store.noted[0][1].error


async def test_a_secret_of_another_webhook_is_not_used(receiver: Receiver) -> None:
    """Somebody who can write to the database moves the secret of one row to another."""
    store = FakeWebhooks()
    store.waiting = [
        due(1, receiver.url, secret=SEALER.seal(KEY, purpose=purpose(UserName("bob"), receiver.url)))
    ]
    async with sending(store, rules=Rules(pace=Pace(tries_max=1), every_s=0.005)):
        await until(lambda: store.noted)
    assert "sealed under another key" in store.noted[0][1].error and not receiver.calls


async def test_so_many_are_under_way_and_one_webhook_leaves_room_for_others(receiver: Receiver) -> None:
    receiver.hang = True
    store = FakeWebhooks()
    store.waiting = [due(n, receiver.url, webhook=1) for n in range(1, 20)]
    store.waiting += [
        due(100 * hook + n, receiver.url, webhook=hook) for hook in range(2, 9) for n in range(4)
    ]
    async with sending(store):
        await until(lambda: receiver.now == AT_ONCE_MAX)
        asked = len(store.asked)
        receiver.released.set()
        await until(lambda: len(store.noted) == 19 + 28)
    assert receiver.most <= AT_ONCE_MAX
    assert asked < 10_000  # a full house does not ask again and again
    of_first = [each.webhook for each, _, _ in store.noted[:AT_ONCE_MAX]]
    assert of_first.count(1) <= AT_ONCE_EACH


async def test_what_was_sent_is_not_sent_again_while_it_cannot_be_noted(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "NOTE_AGAIN_S", 0.001)
    store = FakeWebhooks()
    store.waiting = [due(1, receiver.url)]
    asked: list[Callable[[], None]] = []

    async def failing(self: FakeWebhooks, *arguments: object, **named: object) -> object:
        if len(asked) < 3:
            asked.append(lambda: None)
            raise StoreUnavailable("away")
        return await FakeWebhooks.note(store, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(store, "note", failing.__get__(store))
    async with sending(store):
        await until(lambda: store.noted)
    assert len(receiver.calls) == 1 and len(asked) == 3


async def test_who_ends_between_sending_and_noting_leaves_it_to_the_next(receiver: Receiver) -> None:
    """At least once: the same id and body arrive twice, and only then it is over."""
    store = FakeWebhooks()
    store.waiting = [due(1, receiver.url)]
    store.note = never  # type: ignore[method-assign,assignment]
    async with sending(store):
        await until(lambda: receiver.calls)
    del store.note  # type: ignore[method-assign]
    async with sending(store):
        await until(lambda: store.noted)
    first, second = receiver.calls
    assert first.headers["webhook-id"] == second.headers["webhook-id"] and first.body == second.body


async def never(*arguments: object, **named: object) -> object:
    return await asyncio.Event().wait()


async def test_a_database_that_is_away_is_asked_again(receiver: Receiver) -> None:
    store = FakeWebhooks()
    store.faults = [StoreUnavailable("away")] * 3
    store.waiting = [due(1, receiver.url)]
    async with sending(store):
        await until(lambda: store.noted)
    assert len(receiver.calls) == 1


async def test_what_has_become_full_is_told_and_old_ones_are_forgotten() -> None:
    store = FakeWebhooks()
    store.full = [(3, ANN)]
    async with sending(store) as records:
        await until(lambda: records and store.swept)
    assert [(record.event_type, record.details) for record in records] == [("webhook_full", {"webhook": 3})]


async def test_an_address_is_called_where_it_was_looked_up() -> None:
    """A name whose address changes between the two looks leads nowhere else: there is one look."""
    called: list[str] = []
    looks = iter([["10.0.0.7"], ["169.254.169.254"]])

    async def lookup(host: str, port: int) -> Sequence[str]:
        return next(looks)

    async def poster(
        target: Target,
        address: str,
        *,
        headers: Mapping[str, str],
        body: bytes,
        timeout_s: float,
        trust: ssl.SSLContext,
    ) -> Answer:
        called.append(address)
        raise NoAnswer("nobody")

    store = FakeWebhooks()
    store.waiting = [due(1, "http://rebind.example/")]
    records: list[Any] = []
    sender = Sender(
        store,
        SEALER,
        Destinations(["rebind.example", "10.0.0.0/8"], lookup=lookup),
        Clock(),
        record=records.extend,
        version="1",
        rules=Rules(pace=Pace(tries_max=2), every_s=0.005),
        poster=poster,
    )
    running = asyncio.create_task(sender.run())
    await until(lambda: len(store.noted) == 2)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    assert called == ["10.0.0.7"]
    assert "a public address" in store.noted[1][1].error
