"""The numbers of a lease keep their order, however they are stretched."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given
from msgspec.structs import replace

from bus.containers import Container
from bus.setting_kinds import SILENCE_MAX_S, SILENCE_MIN_S
from bus.values import Resources, TaskSettings
from coordinator.core.effects import EventRecord
from coordinator.core.events import SelfChecked, Tick
from coordinator.core.limits import Limits
from coordinator.core.model import Cluster
from tests.unit.coordinator.conftest import World
from tests.unit.coordinator.test_health import health, kinds, pass_time


@given(st.integers(SILENCE_MIN_S, SILENCE_MAX_S))
def test_all_that_is_measured_in_silence_scales(silence_s: int) -> None:
    limits, scale = Limits().with_silence(silence_s), silence_s / 10
    assert limits.unreachable_after_s == silence_s
    assert limits.heartbeat_interval_s == pytest.approx(2 * scale)
    assert limits.lease_s - limits.kill_after_s == pytest.approx(1.5 * scale)
    assert limits.start_deadline_s == 30.0
    assert limits.brake_s == pytest.approx(60 * max(scale, 1.0))


def test_fetching_an_image_may_take_longer_than_a_start() -> None:
    limits, plain = Limits(), TaskSettings(resources=Resources())
    assert limits.start_within_s(plain) == 30.0
    assert limits.start_within_s(replace(plain, container=Container(image="a"))) == 3600.0


def test_the_default_is_what_was_promised() -> None:
    assert Limits().with_silence(10) == Limits()


@pytest.mark.parametrize(
    "wrong",
    [{"kill_after_s": 16.0}, {"term_after_s": 14.0}, {"heartbeat_interval_s": 5.0}, {"lease_s": 14.0}],
)
def test_numbers_out_of_order_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(AssertionError, match="not in order"):
        Limits(**wrong)


def test_a_brake_shorter_than_its_window_is_refused() -> None:
    with pytest.raises(AssertionError, match="pull it again"):
        Limits(brake_s=30.0)


@pytest.mark.parametrize("silence_s", [SILENCE_MIN_S, 40, SILENCE_MAX_S])
def test_a_brake_that_was_lifted_stays_off(world: World, silence_s: int) -> None:
    """Those that are still away were counted once, however long a silence may last."""
    world.cluster = Cluster(limits=Limits().with_silence(silence_s))
    for name in ("n1", "n2", "n3", "n4"):
        world.register(name)
    seen = []
    for _ in range(200):
        world.now_s += silence_s / 10
        world.happen(SelfChecked(bus=True, database=True, clock=True))
        world.beat("n4")
        world.happen(Tick())
        seen += [e.event_type for e in world.effects if isinstance(e, EventRecord)]
    assert [kind for kind in seen if kind.startswith("brake")] == ["brake_on", "brake_off"]


def test_a_cluster_goes_by_its_own_numbers(world: World) -> None:
    world.cluster = Cluster(limits=Limits().with_silence(40))
    world.register("n1")
    events = pass_time(world, 9, silent=("n1",))
    assert events == []
    events = pass_time(world, 30, silent=("n1",))
    assert kinds(events) == ["node_degraded"]
    pass_time(world, 1, silent=("n1",))
    assert str(health(world)) == "unreachable"
