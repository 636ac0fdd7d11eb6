"""The pool as arrays says what `feasible` and `rank` say node by node."""

from __future__ import annotations

from collections import Counter
from copy import copy

import hypothesis.strategies as st
import pytest
from hypothesis import given
from msgspec.structs import replace

from bus.values import GpuInfo, NodeAdmin, NodeHealth, NodeKind, Resources
from coordinator.core.model import Node, Shape
from coordinator.core.scheduler import asking
from coordinator.core.scheduler import pool as pool_module
from coordinator.core.scheduler.feasible import find_gpus, fits_now, mismatches, obstacles
from coordinator.core.scheduler.pool import Pool, pool_of
from coordinator.core.scheduler.rank import best_fit, worst_fit
from coordinator.core.scheduler.wishes import Avoided, Wishes
from tests.unit.coordinator.conftest import INVENTORY, World

NAMES = ("n1", "n2", "n3", "n4")
AMOUNT = st.integers(0, 4)
AMOUNTS = st.builds(Resources, AMOUNT, AMOUNT, AMOUNT, AMOUNT, AMOUNT)
SHARED = st.builds(Resources, AMOUNT, AMOUNT, st.just(0), AMOUNT, AMOUNT, st.sampled_from([1, 300, 999]))
GPUS = st.lists(
    st.builds(
        GpuInfo,
        uuid=st.uuids().map(str),
        model=st.sampled_from(["NVIDIA A100-SXM4-80GB", "Tesla T4"]),
        mem_mib=st.sampled_from([16, 80]),
        healthy=st.sampled_from([True, True, False]),
        shareable=st.booleans(),
    ),
    max_size=4,
).map(tuple)
LABELS = st.dictionaries(st.sampled_from(["zone", "disk"]), st.sampled_from(["a", "b"]))


@st.composite
def pools(draw: st.DrawFn) -> list[Node]:
    """Nodes in every condition."""
    world = World()
    for name in draw(st.lists(st.sampled_from(NAMES), unique=True)):
        world.register(
            name,
            capacity=draw(AMOUNTS),
            labels=draw(LABELS),
            kind=draw(st.sampled_from(NodeKind)),
            tools=draw(st.sampled_from([(), ("wordcount",)])),
            inventory=replace(INVENTORY, gpus=draw(GPUS)),
        )
    for node in world.cluster.nodes.values():
        node.allocated = draw(AMOUNTS)
        for gpu in node.inventory.gpus:
            node.give(Resources(gpu_milli=draw(st.integers(1, 1000))), (gpu.uuid,))
        node.health = draw(st.sampled_from(NodeHealth))
        node.admin = draw(st.sampled_from(NodeAdmin))
        node.overdue = draw(st.booleans())
    return list(world.cluster.nodes.values())


SHAPES = st.builds(
    Shape,
    AMOUNTS | SHARED,
    LABELS.map(lambda labels: tuple(sorted(labels.items()))),
    st.lists(st.sampled_from([*NAMES, "elsewhere"]), max_size=3).map(tuple),
    st.sampled_from([None, "wordcount", "other"]),
    st.sampled_from([(), ("a100",), ("T4", "h100")]),
    st.sampled_from([0, 40]),
    without=st.sampled_from([(), ("n1",), ("elsewhere", "n2", "n3")]),
)


@given(pools(), SHAPES)
def test_it_agrees_with_what_is_said_of_each_node(nodes: list[Node], shape: Shape) -> None:
    pool = Pool(nodes)
    found = [obstacles(node, shape) for node in nodes]
    assert pool.fits(shape).tolist() == [not reasons for reasons in found]
    assert all(fits_now(node, shape) for node, reasons in zip(nodes, found, strict=True) if not reasons)
    assert pool.obstacles(shape) == Counter(reason for reasons in found for reason in reasons)
    able = [node.takes_work and not node.overdue and not mismatches(node, shape) for node in nodes]
    assert pool.able(shape).tolist() == able
    assert pool.left_over(shape.resources).tolist() == [best_fit(node, shape.resources) for node in nodes]
    fitting = [node for node, fits in zip(nodes, able, strict=True) if fits]
    roomiest = min(fitting, key=lambda node: (worst_fit(node, shape.resources), node.name), default=None)
    assert pool.roomiest(shape, pool.able(shape)) is roomiest


@given(pools(), SHAPES, AMOUNTS)
def test_a_node_that_got_something_is_looked_at_anew(
    nodes: list[Node], shape: Shape, more: Resources
) -> None:
    pool = Pool(nodes)
    pool.fits(shape)
    for node in nodes:
        node.give(more, find_gpus(node, shape) or ())
        pool.refresh(node)
    assert pool.fits(shape).tolist() == Pool(nodes).fits(shape).tolist()


CHANGES = st.lists(st.tuples(st.integers(0, 5), AMOUNTS, st.booleans()), max_size=6)
"""To which node, what it gets, and whether a task of a job that others avoid comes instead."""


@given(pools(), st.lists(SHAPES, min_size=1, max_size=3), CHANGES)
def test_what_is_remembered_of_shapes_is_what_would_be_found_anew(nodes, shapes, changes) -> None:
    aloof = replace(shapes[0], wishes=Wishes(avoid=(Avoided(7, None),)))
    pool = Pool(nodes)
    for place, more, avoided in [(None, None, False), *changes]:
        if place is not None and place < len(nodes):
            node = nodes[place]
            if avoided:
                node.note_task(7)
            else:
                node.give(more, find_gpus(node, shapes[0]) or ())
                pool.refresh(node)
        anew = Pool(nodes)
        for shape in (*shapes, aloof, *shapes):
            assert pool.fits(shape).tolist() == anew.fits(shape).tolist()
            assert pool.obstacles(shape) == anew.obstacles(shape)


def test_it_is_kept_between_rounds_until_more_than_the_books_has_changed(world: World) -> None:
    world.register("n1", capacity=Resources(2000, 4096))
    world.register("n2", capacity=Resources(2000, 4096))
    shape = Shape(Resources(1500), (), (), None)
    pool = pool_of(world.cluster)
    world.cluster.nodes["n1"].allocated += Resources(1000)
    assert pool_of(world.cluster) is pool
    assert pool.fits(shape).tolist() == [False, True]
    for change in (
        lambda node: setattr(node, "health", NodeHealth.DEGRADED),
        lambda node: setattr(node, "admin", NodeAdmin.DRAINING),
        lambda node: setattr(node, "overdue", True),
        lambda node: setattr(node, "labels", {"zone": "a"}),
        lambda node: setattr(node, "capacity", Resources(3000, 4096)),
    ):
        before = pool_of(world.cluster)
        change(world.cluster.nodes["n2"])
        assert pool_of(world.cluster) is not before
        anew = Pool(world.cluster.nodes.values())
        assert pool_of(world.cluster).fits(shape).tolist() == anew.fits(shape).tolist()
    world.cluster.nodes["n3"] = copy(world.cluster.nodes["n2"])
    before = pool_of(world.cluster)
    assert len(before.nodes) == 3
    world.cluster.nodes = {name: copy(node) for name, node in world.cluster.nodes.items()}
    assert pool_of(world.cluster) is not before


def test_who_is_not_in_it_has_no_row(world: World) -> None:
    world.register("n1")
    pool = Pool(world.cluster.nodes.values())
    assert (pool.row("n1"), pool.row("n2")) == (0, None)


def test_of_more_shapes_than_are_remembered_the_same_is_said(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "MATCHED_MAX", 2)
    monkeypatch.setattr(asking, "SIZES_MAX", 2)
    world.register("n1", capacity=Resources(2_000, 64))
    world.register("n2", capacity=Resources(4_000, 64))
    pool = pool_of(world.cluster)
    shapes = [Shape(Resources(millis), (), (), None) for millis in (1_000, 3_000, 5_000)]
    for _ in range(2):
        assert [pool.fits(shape).tolist() for shape in shapes] == [
            [True, True],
            [False, True],
            [False, False],
        ]
        totals = [asking.size_of(world.cluster, shape).total.cpu_millis for shape in shapes]
        assert totals == [6_000, 4_000, 0]
