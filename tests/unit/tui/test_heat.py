"""The map of nodes: every node has one place, a brush becomes a filter that means just what was brushed."""

from __future__ import annotations

import time
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bus.api import Node
from bus.fields import NODE_FIELDS
from bus.filter import matches, parse
from bus.values import NodeAdmin, NodeHealth, Resources, Usage
from tui.client.fake import node_value
from tui.client.fake_world import World
from tui.view.heat import (
    BY_NOTHING,
    LEVELS,
    Measure,
    brush_filter,
    brushed,
    digit,
    ends,
    exact,
    grouped,
    groupings,
    lay_out,
    level,
    moved,
    reading,
    shade,
)

NODES = World(seed=3, now_s=time.time(), nodes=1_000, jobs=0).nodes


def healthy(**other: object) -> Node:
    fields = {"health": NodeHealth.HEALTHY, "admin": NodeAdmin.ACTIVE, "capacity": Resources(4_000, 100, 2)}
    return replace(NODES[0], **(fields | other))


@pytest.mark.parametrize(
    ("measure", "node", "wanted"),
    [
        (Measure.CPU, healthy(allocated=Resources(1_000)), 0.25),
        (Measure.MEMORY, healthy(allocated=Resources(0, 50)), 0.5),
        (Measure.GPU, healthy(allocated=Resources(0, 0, 1, 0, 0, 500)), 0.75),
        (Measure.GPU, healthy(capacity=Resources(4_000, 100)), None),
        (Measure.CPU_USED, healthy(usage=None), None),
        (Measure.CPU_USED, healthy(usage=Usage(cpu_millis=4_400, mem_mib=25)), 1.1),
        (Measure.MEMORY_USED, healthy(usage=Usage(cpu_millis=0, mem_mib=25)), 0.25),
        (Measure.GPU_USED, healthy(usage=Usage(cpu_millis=0, mem_mib=0, gpus=1.0)), 0.5),
        (Measure.TEMPERATURE, healthy(usage=Usage(cpu_millis=0, mem_mib=0, temperature_c=62.5)), 0.5),
        (Measure.TEMPERATURE, healthy(usage=Usage(cpu_millis=0, mem_mib=0)), None),
        (Measure.LOAD, healthy(load=2.0), 0.5),
        (Measure.SUSPICION, healthy(suspicion=0.3), 0.3),
    ],
)
def test_a_reading_is_a_share(measure: Measure, node: Node, wanted: float | None) -> None:
    assert reading(node, measure) == (None if wanted is None else pytest.approx(wanted))


def test_levels_go_up_to_the_last_and_no_further() -> None:
    assert [level(each) for each in (None, 0.0, 0.124, 0.125, 0.999, 1.0, 7.0)] == [
        None, 0, 0, 1, LEVELS - 1, LEVELS - 1, LEVELS - 1
    ]  # fmt: skip


def test_what_is_away_or_steered_is_said_before_any_level() -> None:
    gone, steered = healthy(health=NodeHealth.UNREACHABLE), healthy(admin=NodeAdmin.DRAINING)
    assert [(shade(n, Measure.CPU), digit(n, Measure.CPU)) for n in (gone, steered)] == [
        ("gone", "x"), ("steered", "d")
    ]  # fmt: skip
    unknown = healthy(usage=None)
    assert (shade(unknown, Measure.CPU_USED), digit(unknown, Measure.CPU_USED)) == ("unknown", "-")
    full = healthy(allocated=Resources(4_000))
    assert (shade(full, Measure.CPU), digit(full, Measure.CPU)) == ("level7", "9")


@pytest.mark.parametrize("measure", Measure)
def test_each_measure_is_said_in_words(measure: Measure) -> None:
    full = Usage(cpu_millis=1_000, mem_mib=50, gpus=1.0, temperature_c=40.0)
    assert all(ends(measure))
    assert exact(healthy(usage=full), measure)
    assert exact(healthy(usage=None, capacity=Resources(1_000, 1)), measure)


@st.composite
def maps(draw: st.DrawFn) -> tuple[list[Node], str, int, int, int]:
    nodes = NODES[: draw(st.integers(1, 300))]
    by = draw(st.sampled_from([BY_NOTHING, "kind", "state", "label.rack", "label.zone"]))
    return nodes, by, draw(st.integers(1, 200)), draw(st.integers(1, 40)), draw(st.sampled_from([1, 2]))


def test_a_map_alone_gives_each_node_what_room_there_is() -> None:
    groups = grouped(NODES[:100], BY_NOTHING)
    beside = lay_out(groups, width=100, lines_most=12, halves=2)
    assert (beside.cell, beside.halves) == (2, 2)
    alone = lay_out(groups, width=100, lines_most=12, halves=2, lines_free=8)
    assert (alone.cell, alone.halves, alone.lines) == (7, 1, 8)
    assert lay_out(groups, width=100, lines_most=12, halves=2, lines_free=1) == beside, "no room for more"


@given(maps())
def test_every_node_has_one_place_and_no_two_the_same(drawn: tuple[list[Node], str, int, int, int]) -> None:
    nodes, by, width, lines, halves = drawn
    layout = lay_out(grouped(nodes, by), width=width, lines_most=lines, halves=halves)
    assert len(layout.places) == len(nodes) == len(set(layout.places))
    assert set(layout.at.values()) == set(range(len(nodes)))
    assert len(layout.at) == len(nodes) * layout.cell, "no point belongs to two"
    assert all(0 <= y < layout.lines * halves for _, y in layout.places)
    if width >= 2:
        assert all(x + layout.cell <= width for x, _ in layout.places)
    taken = {(x, y // halves) for x, y in layout.at}
    for title in layout.titles:
        assert all((title.x + offset, title.line) not in taken for offset in range(len(title.text)))


@given(maps(), st.data())
def test_moving_goes_that_way_or_nowhere(
    drawn: tuple[list[Node], str, int, int, int], data: st.DataObject
) -> None:
    nodes, by, width, lines, halves = drawn
    layout = lay_out(grouped(nodes, by), width=width, lines_most=lines, halves=halves)
    start = data.draw(st.integers(0, len(nodes) - 1))
    for right, down in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        end = moved(layout, start, right=right, down=down)
        (x1, y1), (x2, y2) = layout.places[start], layout.places[end]
        assert end == start or (x2 - x1) * right + (y2 - y1) * down > 0
    other = data.draw(st.integers(0, len(nodes) - 1))
    assert {start, other} <= set(brushed(layout, start, other)) == set(brushed(layout, other, start))


@given(st.data())
def test_a_brush_lets_through_just_what_was_brushed(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 400))
    first = data.draw(st.integers(0, count - 1))
    last = data.draw(st.integers(first, count - 1))
    nodes, chosen = NODES[:count], range(first, last + 1)
    condition = brush_filter(nodes, chosen)
    if condition is None:
        assert len(chosen) > 100, "so few have names that are short enough"
        return
    asked = parse(condition, NODE_FIELDS, me="ann", now_s=0.0)
    found = [node.name for node in nodes if matches(asked, partial(node_value, node))]
    assert found == [nodes[position].name for position in chosen]


def test_a_brush_of_whole_racks_names_the_racks() -> None:
    chosen = [
        place for place, node in enumerate(NODES) if node.labels["rack"] in ("r03", "r04", "r05", "r06")
    ]
    assert len(chosen) == 160
    assert brush_filter(NODES, chosen) == 'label.rack="r03","r04","r05","r06"'
    assert brush_filter(NODES, range(len(NODES))) == ""
    assert brush_filter(NODES, []) is None
    assert brush_filter(NODES, range(100, 200)) == brush_filter(NODES, list(range(100, 200)))


def test_names_in_common_stand_for_all_of_them() -> None:
    nodes = [replace(node, labels={}) for node in NODES]
    assert brush_filter(nodes, range(300, 400), field="node") is not None
    assert brush_filter(nodes, range(300, 500), field="node") is None
    others = [
        replace(node, name=f"gpu-{node.name}") if place < 300 else node for place, node in enumerate(nodes)
    ]
    assert brush_filter(others, range(300)) == "name~gpu-n-0"


def test_what_tells_nodes_apart_can_group_them() -> None:
    assert groupings(NODES) == [BY_NOTHING, "kind", "state", "label.rack", "label.zone"]
    assert [group.title for group in grouped(NODES, "label.zone")] == ["a", "b", "c"]
    bare = [replace(NODES[0], labels={})]
    assert [group.title for group in grouped(bare, "label.rack")] == ["–"]
