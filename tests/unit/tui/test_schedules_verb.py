"""`corral schedule`: what it shows and asks, in every form."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import Any

import pytest

from bus.schedules import Schedule, Schedules
from tui.cli import schedules
from tui.cli.diagnostics import Exit
from tui.cli.dispatch import run

NIGHTLY = Schedule(
    name="nightly", user="ann", cron="0 4 * * *", zone="UTC", overlap="forbid", paused=False, created_at=0.0,
    next_at=1_800_003_600.0, last_at=1_799_999_880.0, last_job=12, fired=3, skipped=1,
    last_error="E_UNSATISFIABLE: no node",
)  # fmt: skip


class FakeClient:
    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str]] = []

    async def schedules(self, *, user: str = "") -> Schedules:
        self.asked.append(("list", "", user))
        return Schedules(schedules=[NIGHTLY])

    def __getattr__(self, name: str) -> Any:
        async def act(schedule: str, *, user: str = "") -> Schedule:
            self.asked.append((name, schedule, user))
            return NIGHTLY

        return act


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeClient:
    made = FakeClient()

    @asynccontextmanager
    async def client(arguments: object) -> Any:
        yield made

    monkeypatch.setattr(schedules, "client", client)
    monkeypatch.setattr("time.time", lambda: 1_800_000_000.0)
    return made


def test_a_table_says_when_and_what_came_of_it(fake: FakeClient, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["schedule"]) == Exit.OK
    line = capsys.readouterr().out.splitlines()[1]
    told = "nightly ann 0 4 * * * UTC failing in 1h00m 2m ago 12 3 1 forbid"
    assert line.split() == told.split()
    assert run(["schedule", "show", "nightly"]) == Exit.OK
    assert "error     E_UNSATISFIABLE: no node" in capsys.readouterr().out
    assert run(["schedule", "ls", "-o", "json"]) == Exit.OK
    assert json.loads(capsys.readouterr().out)[0]["last_job"] == 12


@pytest.mark.parametrize(
    ("action", "asked"),
    [("pause", "pause_schedule"), ("resume", "resume_schedule"), ("rm", "remove_schedule")],
)
def test_each_action_is_asked_for_each_name(fake: FakeClient, action: str, asked: str) -> None:
    assert run(["schedule", action, "nightly", "weekly", "--user", "ann"]) == Exit.OK
    assert fake.asked == [(asked, "nightly", "ann"), (asked, "weekly", "ann")]


def test_what_is_not_there_or_not_said_is_refused(
    fake: FakeClient, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["schedule", "show", "weekly"]) == Exit.NOT_FOUND
    assert run(["schedule", "rm"]) == Exit.USAGE
    assert "which schedule?" in capsys.readouterr().err
