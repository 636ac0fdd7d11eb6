"""Devices, tools, people and tokens in words: full and down are said, nothing is made up."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from bus.api import Token
from bus.equipment import Device, DeviceKind, Tool, ToolKind
from bus.gpus import Gpu
from bus.housekeeping import Connection
from bus.people import Standing, User
from bus.values import Role
from bus.volumes import PoolEntry, PoolNode
from tui.view.equipment import (
    CONNECTIONS,
    DEVICES,
    DISKS,
    GPUS,
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
from tui.view.networks import CARDS, interface_facts
from tui.view.steering import steer, way_back
from tui.view.volumes import POOLS, pool_facts

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
    assert any("250M free of 1000M" in line.text for line in device_facts(DISK, now_s=0.0))
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


def gpu(**fields: object) -> Device:
    """The first GPU of n1."""
    known = {"node": "n1", "index": 0, "uuid": "GPU-1", "model": "T4", "mem_mib": 16_384, "state": "free"}
    state = Gpu(**(known | fields))  # type: ignore[arg-type]
    return Device(node="n1", kind=DeviceKind.GPU, name="0", about="T4", status=state.state, gpu=state)


def test_a_gpu_stands_among_devices_with_its_health() -> None:
    out = gpu(state="quarantined", kind="ecc", reason="2 uncorrected", since=40.0)
    shared = gpu(state="shared", taken_milli=500, tasks=["7.0", "8.0"])
    cells = {
        column.title: [column.field.cell(each, 100.0) for each in (out, shared)] for column in GPUS.columns
    }
    assert cells["S"] == ["✖", "●"] and cells["STATE"] == ["quarantined", "shared"]
    assert cells["WHY"] == ["ecc: 2 uncorrected", "–"] and cells["SINCE"] == ["1m", "–"]
    assert cells["TAKEN"][1].endswith("50%") and cells["TASKS"] == ["–", "7.0 8.0"]
    assert [GPUS.tone(each) for each in (out, shared, gpu(), gpu(state="not offered"))] == [
        "bad", "ok", "ok", "idle",
    ]  # fmt: skip
    told = "\n".join(line.text for line in device_facts(out, now_s=100.0))
    assert "uncorrected errors of its memory" in told and "when somebody releases it" in told
    hot = gpu(state="quarantined", kind="hot", reason="97 °C", since=0.0)
    assert "by itself" in "\n".join(line.text for line in device_facts(hot, now_s=100.0))


def test_columns_of_disks_stand_only_where_disks_are() -> None:
    of_disks = {"SIZE", "FREE", "USED"}
    assert of_disks <= {column.title for column in DISKS.columns}
    for listing in (CARDS, GPUS):
        assert not of_disks & {column.title for column in listing.columns}
    assert len({listing.key(gpu()) for listing in (DEVICES, DISKS, CARDS, GPUS)}) == 1


def test_a_pool_with_a_faulty_part_says_so() -> None:
    parts = [PoolNode(node="n1", free_mib=9), PoolNode(node="n2", fault="no disk")]
    pool = PoolEntry(name="p", type="local", path="/p", total_mib=100, used_mib=95, nodes=parts)
    assert POOLS.tone(pool) == "bad" and POOLS.tone(replace(pool, nodes=parts[:1])) == "warn"
    lines = [line.text for line in pool_facts(pool)]
    assert any("n2" in line and "no disk" in line for line in lines)
    assert "no disk" in lines[5], "what is faulty stands first"


def test_of_devices_only_gpus_are_steered_and_each_has_its_command() -> None:
    out = gpu(state="quarantined", kind="manual", index=1)
    out = replace(out, name="1")
    steering = steer(
        "gpu", "quarantine", [gpu(taken_milli=500, tasks=["7.0"]), replace(gpu(), node="n2"), out, DISK]
    )
    assert steering.command == "corral gpu quarantine n1 0\ncorral gpu quarantine n2 0"
    assert steering.left_out == (("n1 gpu 1", "is quarantined already"), ("n1 disk /", "is no GPU"))
    assert "what runs on 1 of them goes on: 7.0" in steering.effect[0]
    assert [way.verb for step in steering.steps for way in way_back(step)] == ["unquarantine"] * 2
    assert steer("gpu", "unquarantine", [out]).command == "corral gpu release n1 1"
