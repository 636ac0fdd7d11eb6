"""`webhook.*`: who may have what called, what is refused, and that no secret is told twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from bus.webhooks import EVENTS, secret_bytes
from coordinator.api.webhooks import EACH_MAX
from coordinator.deliveries import purpose
from coordinator.store.errors import StoreUnavailable
from tests.unit.coordinator.shell import Shell, running_shell

URL = "https://hooks.example.com/in"


@pytest.fixture
async def shell() -> AsyncIterator[Shell]:
    async with running_shell() as running:
        yield running


async def added(shell: Shell, user: str = "alice", /, **fields: Any) -> dict[str, Any]:
    asked = {"url": URL, "on": ["job.failed"]} | fields
    answer: dict[str, Any] = await shell.ask(user, "webhook.add", **asked)
    return answer


async def code_of(shell: Shell, user: str, operation: str, /, **fields: Any) -> str:
    answer = await shell.ask(user, operation, **fields)
    return str(answer.get("error", {}).get("code", ""))


async def test_a_secret_is_made_and_shown_once(shell: Shell) -> None:
    made = await added(shell)
    assert len(secret_bytes(made["secret"])) == 32
    listed = await shell.ask("alice", "webhook.list")
    assert [(each["id"], each.get("secret", "")) for each in listed["webhooks"]] == [(1, "")]
    assert made["secret"] not in str(listed)
    sealed = shell.webhooks.secrets[1]
    key = secret_bytes(made["secret"])
    assert key not in sealed
    assert shell.sealer.unseal(sealed, purpose=purpose("alice", URL)) == key


async def test_a_secret_that_was_brought_is_not_told_at_all(shell: Shell) -> None:
    made = await added(shell, secret="correct horse battery staple")
    assert made.get("secret", "") == ""


@pytest.mark.parametrize("secret", ["short", "x" * 257, "whsec_not base64!", "whsec_" + "QUFB"])
async def test_a_secret_that_is_none_is_refused_and_not_repeated(shell: Shell, secret: str) -> None:
    answer = await added(shell, secret=secret)
    assert answer["error"]["code"] == "E_VALUE" and answer["error"]["field"] == "/secret"
    assert secret not in str(answer)


async def test_everything_that_is_wrong_is_said_at_once(shell: Shell) -> None:
    answer = await added(shell, url="file:///etc/passwd", on=["job.lost"], job=0, tag="a", user="bob")
    first = answer["error"]
    assert first["code"] == "E_URL"
    codes = [(each["code"], each["field"]) for each in first["more"]]
    assert codes == [
        ("E_ENUM", "/on/0"),
        ("E_RANGE", "/job"),
        ("E_FORBIDDEN", "/user"),
        ("E_VALUE", "/tag"),
    ]
    assert not shell.webhooks.kept


async def test_it_is_called_on_something(shell: Shell) -> None:
    assert (await added(shell, on=[]))["error"]["code"] == "E_REQUIRED"
    assert (await added(shell, on=["job.failed", "job.failed", *EVENTS]))["on"] == [
        "job.failed",
        *(event for event in EVENTS if event != "job.failed"),
    ]


async def test_operators_may_ask_for_anybodys_jobs(shell: Shell) -> None:
    assert (await added(shell, "olga", user="bob"))["of_user"] == "bob"
    answer = await added(shell, "olga", user="nobody")
    assert answer["error"]["code"] == "E_NOT_FOUND" and answer["error"]["field"] == "/user"


async def test_there_is_room_for_so_many(shell: Shell) -> None:
    for _ in range(EACH_MAX):
        await added(shell)
    assert (await added(shell))["error"]["code"] == "E_TOO_MANY"
    assert (await added(shell, "bob"))["id"] == EACH_MAX + 1


async def test_another_ones_webhook_is_as_if_there_were_none(shell: Shell) -> None:
    await added(shell)
    await shell.ask("alice", "webhook.test", id=1)
    for operation in ("webhook.remove", "webhook.enable", "webhook.test", "webhook.deliveries"):
        assert await code_of(shell, "bob", operation, id=1) == "E_NOT_FOUND"
        assert await code_of(shell, "alice", operation, id=2) == "E_NOT_FOUND"
    delivery = str(next(iter(shell.webhooks.made)))
    assert await code_of(shell, "bob", "webhook.redeliver", delivery=delivery) == "E_NOT_FOUND"
    assert (await shell.ask("bob", "webhook.list", user="alice"))["webhooks"] == []
    assert len((await shell.ask("olga", "webhook.list", user="alice"))["webhooks"]) == 1
    assert await code_of(shell, "olga", "webhook.list", user="A b") == "E_NOT_FOUND"


async def test_a_test_and_a_delivery_again_wake_the_sender(shell: Shell) -> None:
    await added(shell)
    made = await shell.ask("alice", "webhook.test", id=1)
    assert made["event"] == "webhook.test" and shell.woken == 1
    again = await shell.ask("alice", "webhook.redeliver", delivery=made["id"])
    assert again["id"] == made["id"] and shell.woken == 2
    listed = await shell.ask("alice", "webhook.deliveries", id=1)
    assert [each["id"] for each in listed["deliveries"]] == [made["id"]]


async def test_one_that_is_disabled_is_tested_after_it_is_enabled(shell: Shell) -> None:
    await added(shell)
    shell.webhooks.kept[1].state = "disabled"
    assert await code_of(shell, "alice", "webhook.test", id=1) == "E_CONFLICT"
    assert (await shell.ask("alice", "webhook.enable", id=1))["state"] == "active"
    assert await code_of(shell, "alice", "webhook.test", id=1) == ""


async def test_what_is_no_id_or_out_of_range_is_said(shell: Shell) -> None:
    await added(shell)
    assert await code_of(shell, "alice", "webhook.redeliver", delivery="x") == "E_ID"
    unknown = "01890000-0000-7000-8000-000000000001"
    assert await code_of(shell, "alice", "webhook.redeliver", delivery=unknown) == "E_NOT_FOUND"
    for limit in (0, 1001):
        assert await code_of(shell, "alice", "webhook.deliveries", id=1, limit=limit) == "E_RANGE"


async def test_one_that_is_removed_is_gone(shell: Shell) -> None:
    await added(shell)
    assert (await shell.ask("alice", "webhook.remove", id=1))["url"] == URL
    assert (await shell.ask("alice", "webhook.list"))["webhooks"] == []


async def test_a_database_that_is_away_is_said_to_be(shell: Shell) -> None:
    shell.webhooks.faults = [StoreUnavailable("away")]
    assert await code_of(shell, "alice", "webhook.list") == "E_UNAVAILABLE"


async def test_a_coordinator_without_a_folder_for_keys_takes_none(shell: Shell) -> None:
    shell.sealer.aead = None
    assert (await added(shell))["error"]["code"] == "E_CONFLICT"
