"""`corral webhook`: what it asks, what it shows, and that a secret is shown once."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from bus.webhooks import Deliveries, Delivery, Webhook, Webhooks
from tui.cli import webhooks
from tui.cli.diagnostics import Exit
from tui.cli.dispatch import run

NOW_S = 1_800_000_000.0
HOOK = Webhook(
    id=3, user="ann", url="https://hooks.example.com/\x1b[2Jin", on=["job.failed", "node.lost"], job=12,
    of_user="bob", tag="team=vision", state="failing", created_at=0.0, failing_since=NOW_S - 120, waiting=1,
    delivered=5, dead=2, reason="because",
)  # fmt: skip
SENT = Delivery(
    id="01890000-0000-7000-8000-000000000001", webhook=3, event="webhook.test", state="waiting", attempts=0,
    created_at=NOW_S - 5, next_at=NOW_S + 15,
)  # fmt: skip
DONE = replace(SENT, state="delivered", attempts=1, status=204, took_ms=12.4, next_at=None)
FAILED = replace(SENT, attempts=1, status=500, took_ms=3.0, last_error="answered 500: no")


class FakeClient:
    """`came`: what the deliveries are, one answer after the other, the last for ever."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.came = [SENT]

    async def add_webhook(self, url: str, on: list[str], **fields: Any) -> Webhook:
        self.asked.append(("add", (url, on, fields)))
        return replace(HOOK, secret="" if fields["secret"] else "whsec_c2VjcmV0")

    async def webhooks(self, *, user: str = "") -> Webhooks:
        self.asked.append(("list", user))
        return Webhooks(webhooks=[HOOK])

    async def deliveries(self, ident: int, *, limit: int) -> Deliveries:
        self.asked.append(("deliveries", (ident, limit)))
        return Deliveries(deliveries=[self.came.pop(0) if len(self.came) > 1 else self.came[0]])

    async def test_webhook(self, ident: int) -> Delivery:
        self.asked.append(("test", ident))
        return SENT

    async def redeliver(self, delivery: str) -> Delivery:
        self.asked.append(("redeliver", delivery))
        return SENT

    def __getattr__(self, name: str) -> Any:
        async def act(ident: int) -> Webhook:
            self.asked.append((name, ident))
            return HOOK

        return act


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeClient:
    made = FakeClient()

    @asynccontextmanager
    async def client(arguments: object) -> Any:
        yield made

    monkeypatch.setattr(webhooks, "client", client)
    monkeypatch.setattr(webhooks, "_LOOK_EVERY_S", 0.001)
    monkeypatch.setattr("time.time", lambda: NOW_S)
    return made


def test_what_is_asked_for_is_asked(
    fake: FakeClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("correct horse battery staple\n")
    secret.chmod(0o600)
    line = ["webhook", "add", "https://x/", "--on", "job.failed,node.lost", "--job", "12", "--user", "bob"]
    assert run([*line, "--tag", "team=vision", "--secret-file", str(secret)]) == Exit.OK
    fields = {"job": 12, "user": "bob", "tag": "team=vision", "secret": "correct horse battery staple"}
    assert fake.asked == [("add", ("https://x/", ["job.failed", "node.lost"], fields))]
    told = capsys.readouterr()
    assert told.out == "webhook 3 added\n" and "secret" not in told.err


def test_a_secret_that_was_made_is_shown_beside_the_answer(
    fake: FakeClient, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["webhook", "add", "https://x/", "--on", "job.failed"]) == Exit.OK
    told = capsys.readouterr()
    assert "whsec_c2VjcmV0" in told.err and "whsec" not in told.out
    assert run(["webhook", "add", "https://x/", "--on", "job.failed", "-o", "json"]) == Exit.OK
    assert json.loads(capsys.readouterr().out)["secret"] == "whsec_c2VjcmV0"


def test_a_secret_that_others_can_read_is_not_taken(
    fake: FakeClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("correct horse battery staple\n")
    secret.chmod(0o644)
    assert run(["webhook", "add", "https://x/", "--on", "job.failed", "--secret-file", str(secret)]) != 0
    assert "E_TOKEN_MODE" in capsys.readouterr().err and not fake.asked


def test_the_list_is_safe_to_look_at(fake: FakeClient, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["webhook", "ls", "--user", "ann"]) == Exit.OK
    told = capsys.readouterr().out
    assert "job 12 user bob team=vision" in told and "failing" in told and "\x1b" not in told
    assert fake.asked == [("list", "ann")]
    assert run(["webhook", "ls", "-o", "name"]) == Exit.OK
    assert capsys.readouterr().out == "3\n"
    assert run(["webhook", "list", "-o", "jsonl"]) == Exit.OK
    assert json.loads(capsys.readouterr().out)["id"] == 3


def test_one_is_shown_in_full(fake: FakeClient, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["webhook", "show", "3"]) == Exit.OK
    told = capsys.readouterr().out
    assert "failing   for 2m" in told and "reason    because" in told
    assert run(["webhook", "show", "4"]) == Exit.NOT_FOUND


@pytest.mark.parametrize(("action", "asked"), [("rm", "remove_webhook"), ("enable", "enable_webhook")])
def test_one_is_steered(
    fake: FakeClient, capsys: pytest.CaptureFixture[str], action: str, asked: str
) -> None:
    assert run(["webhook", action, "3"]) == Exit.OK
    assert fake.asked == [(asked, 3)] and capsys.readouterr().out.startswith("webhook 3 ")


def test_a_test_waits_for_what_comes_of_it(fake: FakeClient, capsys: pytest.CaptureFixture[str]) -> None:
    fake.came = [SENT, SENT, DONE]
    assert run(["webhook", "test", "3"]) == Exit.OK
    assert "webhook.test delivered in 12 ms, answered 204" in capsys.readouterr().out
    fake.came = [FAILED]
    assert run(["webhook", "redeliver", SENT.id]) == Exit.UNAVAILABLE
    assert "webhook.test failed: answered 500: no" in capsys.readouterr().out


def test_a_test_that_nothing_comes_of_says_where_to_look(
    fake: FakeClient, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "TEST_WAIT_S", 0.01)
    assert run(["webhook", "test", "3"]) == Exit.UNAVAILABLE
    assert "corral webhook deliveries 3" in capsys.readouterr().out


def test_deliveries_are_a_table(fake: FakeClient, capsys: pytest.CaptureFixture[str]) -> None:
    fake.came = [FAILED]
    assert run(["webhook", "deliveries", "3", "--limit", "5"]) == Exit.OK
    told = capsys.readouterr().out
    assert "answered 500: no" in told and "in 15s" in told and "500" in told
    assert fake.asked == [("deliveries", (3, 5))]
    fake.came = [replace(FAILED, state="dead", next_at=None)]
    assert run(["webhook", "deliveries", "3"]) == Exit.OK
    assert "given up" in capsys.readouterr().out
    assert run(["webhook", "deliveries", "3", "-o", "name"]) == Exit.OK
    assert capsys.readouterr().out == f"{SENT.id}\n"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (["add"], "E_REQUIRED"),
        (["add", "https://x/"], "E_REQUIRED"),
        (["add", "https://x/", "--on", " , "], "E_REQUIRED"),
        (["add", "https://x/", "--on", "job.failed", "--job", "0"], "E_RANGE"),
        (["rm"], "E_REQUIRED"),
        (["rm", "three"], "E_ID"),
        (["test", "१"], "E_ID"),
        (["deliveries", "3", "--limit", "0"], "E_RANGE"),
        (["banana"], "E_USAGE"),
    ],
)
def test_what_cannot_be_meant_is_said(
    fake: FakeClient, capsys: pytest.CaptureFixture[str], line: list[str], code: str
) -> None:
    assert run(["webhook", *line]) == Exit.USAGE
    assert code in capsys.readouterr().err and not fake.asked
