"""Devices, tools, people and tokens in words: full and down are said, nothing is made up."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from bus.api import Token
from bus.equipment import Device, DeviceKind, Tool, ToolKind
from bus.housekeeping import Connection
from bus.people import Standing, User
from bus.values import Role
from tui.view.equipment import (
    CONNECTIONS,
    DEVICES,
    TOKENS,
    TOOLS,
    USERS,
    bar,
    device_facts,
    device_tone,
    on_nodes,
    part_used,
    seen,
    speed,
    status_word,
    token_state,
    tool_facts,
    user_facts,
)
from tui.view.networks import interface_facts

DISK = Device(node="n1", kind=DeviceKind.DISK, name="/", total_mib=1_000, free_mib=250, about="ext4")
CARD = Device(node="n1", kind=DeviceKind.INTERFACE, name="eth0", status="up", speed_mbps=25_000)


@pytest.mark.parametrize(
    ("part", "text"),
    [(None, "–"), (0.0, "░░░░   0%"), (0.5, "██░░  50%"), (1.0, "████ 100%"), (7.0, "████ 700%")],
)
def test_a_share_is_a_bar_with_its_figure(part: float | None, text: str) -> None:
    assert bar(part, 4) == text


def test_speeds_are_said_or_left_open() -> None:
    assert [speed(each) for each in (0, 100, 2_500, 200_000)] == [
        "–", "100 Mbit/s", "2.5 Gbit/s", "200 Gbit/s"
    ]  # fmt: skip


def test_what_is_down_or_nearly_full_stands_out() -> None:
    full = Device(node="n1", kind=DeviceKind.DISK, name="/", total_mib=1_000, free_mib=50)
    down = Device(node="n1", kind=DeviceKind.INTERFACE, name="ib0", status="down", address="10.0.0.2")
    unused = replace(down, address="")
    every = (DISK, CARD, full, down, unused)
    assert [device_tone(each) for each in every] == ["ok", "ok", "warn", "bad", "idle"]
    assert [status_word(each) for each in (down, unused)] == ["down", "unused"]


def test_a_disk_has_a_size_and_a_card_a_speed() -> None:
    cells = {
        column.title: [column.field.cell(each, 0.0) for each in (DISK, CARD)] for column in DEVICES.columns
    }
    assert cells["SIZE"] == ["1000M", "–"] and cells["SPEED"] == ["–", "25 Gbit/s"]
    assert any("250M free of 1000M" in line.text for line in device_facts(DISK))
    assert any("25 Gbit/s" in line.text for line in interface_facts(CARD))


def test_a_tool_that_is_wanted_and_nowhere_is_bad() -> None:
    wanted = Tool(name="render", kind=ToolKind.TOOL, nodes=0, ready=0, tasks=3)
    idle = Tool(name="podman", kind=ToolKind.RUNTIME, nodes=7, ready=0, examples=["n1", "n2"], versions=["4"])
    assert (TOOLS.tone(wanted), TOOLS.tone(idle)) == ("bad", "warn")
    assert (on_nodes(wanted), on_nodes(idle)) == ("no node", "n1, n2 and 5 more")
    assert any("3 tasks" in line.text and line.tone == "bad" for line in tool_facts(wanted))


def test_who_used_more_than_is_due_stands_out() -> None:
    def user(used: float, *, active: bool = True) -> User:
        return User(
            name="ann", role=Role.USER, active=active, standing=Standing(used=used, due=0.5), running=7
        )

    assert [USERS.tone(each) for each in (user(0.2), user(0.7), user(0.7, active=False))] == [
        "ok",
        "warn",
        "idle",
    ]
    said = [line.text for line in user_facts(user(0.2), now_s=0.0)]
    assert any("7 running" in line for line in said) and any("had they work" in line for line in said)


def test_who_has_no_work_has_no_part_of_what_those_with_work_used() -> None:
    idle = User(name="ann", role=Role.USER, active=True, standing=Standing(used=0.6), seen_at=100.0, failed=1)
    busy = replace(idle, jobs=1, seen_at=None)
    assert (part_used(idle), part_used(busy)) == (None, 0.6)
    assert (seen(idle, now_s=160.0), seen(busy, now_s=160.0)) == ("1m", "–")
    said = [line.text for line in user_facts(idle, now_s=160.0)]
    assert any("1 job in the last day" in line for line in said)
    assert any("(1m ago)" in line for line in said)
    assert any("nothing is on record" in line.text for line in user_facts(busy, now_s=160.0))


def test_a_token_waits_is_used_expired_or_revoked() -> None:
    def token(**other: float) -> Token:
        return Token(id="t", kind="user", name=None, role=None, created_at=1.0, expires_at=100.0, **other)

    assert [token_state(each, 50.0)[1] for each in (token(), token(used_at=2.0), token(revoked_at=3.0))] == [
        "waits", "used", "revoked"
    ]  # fmt: skip
    assert token_state(token(), 200.0)[1] == "expired"
    assert TOKENS.key(token()) == "t"


def test_who_is_slow_to_take_what_is_sent_stands_out() -> None:
    slow = Connection(
        name="n1",
        peer="node",
        program="agent",
        address="10.0.0.1:1",
        since=0.0,
        idle_s=1.0,
        pending_bytes=2**20,
    )
    assert CONNECTIONS.tone(slow) == "warn"
    assert "1M" in [column.field.cell(slow, 10.0) for column in CONNECTIONS.columns]
