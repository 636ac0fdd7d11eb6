"""`timeline.attempts`, `node.devices` and `node.tools`: what is asked for, refused, and kept from others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec.structs import replace

from bus.gpus import Quarantine
from bus.timeline import NodeSpan, PlacedAttempt, SpanKind, Timeline
from bus.values import DiskInfo, GpuInfo, InterfaceInfo, NodeKind, NodeName, Resources
from coordinator.core.model import Booking, Shape
from coordinator.store.errors import TooMuchAsked
from coordinator.store.timeline import Window, shapes_of, spans_of
from tests.unit.coordinator.shell import Shell, running_shell

WINDOW = {"since": 100.0, "until": 200.0}


@pytest.fixture
async def shell() -> AsyncIterator[Shell]:
    async with running_shell() as running:
        yield running


@pytest.mark.parametrize(
    ("fields", "code", "where"),
    [
        ({"until": 100.0}, "E_RANGE", "/until"),
        ({"until": 100.0 + 367 * 86_400}, "E_RANGE", "/until"),
        ({"since": -1e12}, "E_TIME", "/since"),
        ({"limit": 0}, "E_RANGE", "/limit"),
        ({"limit": 10_001}, "E_RANGE", "/limit"),
        ({"nodes": ["n"] * 1_001}, "E_RANGE", "/nodes"),
        ({"filter": "nonsense=1"}, "E_FIELD", "/filter"),
        ({"job": "7"}, "E_NOT_FOUND", "/job"),
    ],
)
async def test_what_cannot_be_asked_is_refused(
    shell: Shell, fields: dict[str, Any], code: str, where: str
) -> None:
    answer = await shell.ask("alice", "timeline.attempts", **(WINDOW | fields))
    assert (answer["error"]["code"], answer["error"]["field"]) == (code, where)
    assert not shell.timelines.asked


async def test_a_filter_chooses_nodes_by_what_they_are_now(shell: Shell) -> None:
    for name in ("n1", "n2"):
        await shell.agent(name)
    await shell.ask("olga", "timeline.attempts", **WINDOW, filter="name=n2")
    await shell.ask("olga", "timeline.attempts", **WINDOW, filter="name=n2", nodes=["n1"])
    await shell.ask("alice", "timeline.attempts", **WINDOW, nodes=["n1"], limit=7)
    await shell.ask("alice", "timeline.attempts", **WINDOW)
    asked = [(viewer, window.nodes, window.limit) for viewer, window in shell.timelines.asked]
    assert asked == [
        (None, ("n2",), 2000), (None, (), 2000), ("alice", ("n1",), 7), ("alice", None, 2000)
    ]  # fmt: skip
    assert shell.timelines.asked[0][1] == Window(since=100.0, until=200.0, nodes=("n2",))


async def test_how_much_nodes_can_hold_is_told_of_those_asked_for(shell: Shell) -> None:
    for name in ("n1", "n2"):
        await shell.agent(name)
    answer = await shell.ask("alice", "timeline.attempts", **WINDOW, nodes=["n2"])
    assert list(answer["capacity"]) == ["n2"]


async def test_a_reservation_ends_where_its_task_started_and_names_nobody_elses(shell: Shell) -> None:
    number = await shell.submit("alice")
    await shell.agent("n1")
    own, others = f"{number}.0", "999.0"
    spans = [
        NodeSpan(node="n1", kind=SpanKind.RESERVED, start=110.0, end=180.0, message=own),
        NodeSpan(node="n1", kind=SpanKind.RESERVED, start=110.0, end=180.0, message=others),
        NodeSpan(node="n1", kind=SpanKind.CORDONED, start=110.0, message="by olga"),
    ]
    started = PlacedAttempt(node="n1", start=150.0, task=own, resources=Resources())
    shell.timelines.answer = Timeline(since=100.0, until=200.0, attempts=[started], spans=spans)
    shell.cluster.bookings.append(booking(own, 210.0))
    shell.cluster.bookings.append(booking(others, float("inf")))
    shell.cluster.bookings.append(booking(others, 220.0))
    answer = await shell.ask("alice", "timeline.attempts", **WINDOW, nodes=["n1"])
    assert [(s["end"], s["message"]) for s in answer["spans"]] == [
        (150.0, own), (180.0, ""), (None, "by olga")
    ]  # fmt: skip
    assert [(p["start"], p["task"]) for p in answer["planned"]] == [(210.0, own), (220.0, "")]
    seen = await shell.ask("olga", "timeline.attempts", **WINDOW)
    assert [p["task"] for p in seen["planned"]] == [own, others]


def booking(task: str, start_s: float) -> Booking:
    shape = Shape(resources=Resources(1000), labels=(), nodes=(), tool=None)
    return Booking(shape, task, start_s, ((NodeName("n1"), 1),))


async def test_a_question_that_takes_too_long_says_what_to_ask_instead(shell: Shell) -> None:
    shell.timelines.fault = TooMuchAsked("it takes longer than 5 s")
    error = (await shell.ask("alice", "timeline.attempts", **WINDOW))["error"]
    assert error["code"] == "E_TOO_LARGE" and "shorter" in error["hint"]


def test_a_word_ends_the_span_of_the_word_before() -> None:
    rows = [
        {"node": "n1", "created_at": 0.0, "kind": kind, "at": at, "message": kind}
        for at, kind in (
            (1.0, "node_unreachable"), (4.0, "node_degraded"), (5.0, "node_draining"), (6.0, "node_back")
        )
    ]  # fmt: skip
    assert [(s.kind, s.start, s.end) for s in spans_of(rows, since=3.0)] == [
        (SpanKind.UNREACHABLE, 3.0, 4.0),
        (SpanKind.DEGRADED, 4.0, 6.0),
        (SpanKind.DRAINING, 5.0, None),
    ]
    young = [{"node": "n2", "created_at": 9.0, "kind": None, "at": None, "message": None}]
    assert [(s.kind, s.start, s.end) for s in spans_of(young, since=3.0)] == [(SpanKind.ABSENT, 3.0, 9.0)]


def test_shapes_keep_their_times_apart() -> None:
    amounts = {
        "state": "queued", "cpu_millis": 1, "mem_mib": 2, "gpus": 0, "storage_mib": 0, "net_mbps": 0,
        "gpu_milli": 0,
    }  # fmt: skip
    rows = [
        amounts | {"shape": 1, "from_at": 1.0, "to_at": 2.0},
        amounts | {"shape": 1, "from_at": 4.0, "to_at": 5.0},
        amounts | {"shape": 2, "from_at": 1.0, "to_at": 3.0, "cpu_millis": 9, "state": "pending"},
    ]
    (queued, first), (pending, second) = shapes_of(rows)
    assert (queued, pending) == ("queued", "pending")
    assert [(s.start, s.end) for s in first.stretches] == [(1.0, 2.0), (4.0, 5.0)]
    assert second.resources == Resources(9, 2)


DISKS = (DiskInfo(mount="/", filesystem="ext4", total_mib=100, free_mib=40),)
CARDS = (
    InterfaceInfo(name="eth0", mac="02:00:00:00:00:01", ip="10.0.0.7", speed_mbps=1000, status="up"),
    InterfaceInfo(name="ib0", mac="02:00:00:00:00:02", ip="10.0.1.7", status="down"),
)


async def equipped(shell: Shell) -> None:
    """Two nodes, the second with disks and cards, a GPU and a tool."""
    for name in ("n1", "n2"):
        await shell.agent(name)
    node = shell.cluster.nodes[NodeName("n2")]
    node.inventory = replace(
        node.inventory, disks=DISKS, interfaces=CARDS, runtimes={"podman": "4.9"}, isolation={"cgroup": "2"},
        gpus=(GpuInfo(uuid="g1", model="T4", mem_mib=16_000), GpuInfo(uuid="g2", model="T4", mem_mib=16_000)),
    )  # fmt: skip
    node.tools = ("wordcount",)


async def test_devices_come_by_node_in_pages(shell: Shell) -> None:
    await equipped(shell)
    every = await shell.ask("rita", "node.devices", filter="name=n2")
    assert [each["name"] for each in every["devices"]] == ["/", "eth0", "ib0"]
    assert (every["total"], every["nodes"], every["total_mib"], every["free_mib"], every["down"]) == (
        3, 1, 100, 40, 1
    )  # fmt: skip
    first = await shell.ask("rita", "node.devices", filter="name=n2", limit=2)
    second = await shell.ask("rita", "node.devices", filter="name=n2", limit=2, cursor=first["next"])
    assert [each["name"] for each in first["devices"] + second["devices"]] == ["/", "eth0", "ib0"]
    assert second["next"] == ""
    cards = await shell.ask("rita", "node.devices", filter="name=n2", kind="interface")
    assert [each["name"] for each in cards["devices"]] == ["eth0", "ib0"]
    assert (await shell.ask("rita", "node.devices", limit=0))["error"]["code"] == "E_RANGE"
    assert (await shell.ask("rita", "node.devices", cursor="x"))["error"]["code"] == "E_CURSOR"
    node = shell.cluster.nodes[NodeName("n2")]
    node.inventory = replace(node.inventory, interfaces=tuple(replace(card, ip=None) for card in CARDS))
    assert (await shell.ask("rita", "node.devices"))["down"] == 0, "what has no address is not used"


async def test_gpus_are_told_to_who_asks_for_them(shell: Shell) -> None:
    await equipped(shell)
    node = shell.cluster.nodes[NodeName("n2")]
    many = tuple(GpuInfo(uuid=f"g{number:02}", model="T4", mem_mib=16_000) for number in range(12))
    node.inventory = replace(node.inventory, gpus=many)
    node.quarantines = {"g03": Quarantine(uuid="g03", kind="ecc", reason="bits", at=1.0)}
    before = await shell.ask("rita", "node.devices", filter="name=n2")
    assert {each["kind"] for each in before["devices"]} == {"disk", "interface"}
    every = await shell.ask("rita", "node.devices", filter="name=n2", gpus=True)
    assert (every["total"], every["quarantined"], every["total_mib"]) == (15, 1, 100)
    kinds = [each["kind"] for each in every["devices"]]
    assert kinds == ["disk", *["gpu"] * 12, "interface", "interface"]
    asked = await shell.ask("rita", "node.devices", filter="name=n2", kind="gpu")
    assert [each["name"] for each in asked["devices"]] == [str(number) for number in range(12)]
    third = asked["devices"][3]
    assert (third["status"], third["gpu"]["kind"], third["gpu"]["reason"]) == ("quarantined", "ecc", "bits")
    names: list[str] = []
    cursor = ""
    for _ in range(4):
        page = await shell.ask("rita", "node.devices", filter="name=n2", gpus=True, limit=4, cursor=cursor)
        names += [each["name"] for each in page["devices"]]
        cursor = page["next"]
    assert cursor == "" and names == [each["name"] for each in every["devices"]], "GPU 10 comes behind 9"


async def test_tools_are_counted_with_those_that_nobody_has(shell: Shell) -> None:
    await equipped(shell)
    shell.cluster.nodes[NodeName("n2")].kind = NodeKind.CONTROL
    tools = {each["name"]: each for each in (await shell.ask("rita", "node.tools"))["tools"]}
    assert (tools["T4"]["kind"], tools["T4"]["nodes"], tools["T4"]["ready"]) == ("gpu", 1, 0)
    assert tools["podman"]["versions"] == ["4.9"]
    assert tools["wordcount"]["examples"][-1] == "n2"


async def test_registered_tools_are_told_with_who_can_run_them_and_who_wants_them(shell: Shell) -> None:
    await equipped(shell)
    asked = {"name": "resize", "version": "1.2.0", "command": ["/opt/resize", "{input.file}"]}
    assert "error" not in await shell.ask("olga", "tool.add", **asked)
    shell.cluster.nodes[NodeName("n1")].roles = ()
    shell.cluster.nodes[NodeName("n2")].roles = ("tool_executor",)
    spec = {"tool": "resize@1.2.0", "input": {"file": "/a"}, "array": "0-2"}
    assert "error" not in await shell.ask("alice", "job.submit", **spec)
    tools = {each["name"]: each for each in (await shell.ask("rita", "node.tools"))["tools"]}
    assert "resize@1.2.0" not in tools
    told = tools["resize"]
    assert (told["nodes"], told["ready"], told["tasks"]) == (1, 1, 3)
    assert (told["versions"], told["examples"]) == (["1.2.0"], ["n2"])
