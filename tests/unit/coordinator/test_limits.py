"""The numbers of a lease keep their order, however they are stretched."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from bus.setting_kinds import SILENCE_MAX_S, SILENCE_MIN_S
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
    assert (limits.start_deadline_s, limits.brake_s) == (30.0, 60.0)


def test_the_default_is_what_was_promised() -> None:
    assert Limits().with_silence(10) == Limits()


@pytest.mark.parametrize(
    "wrong",
    [{"kill_after_s": 16.0}, {"term_after_s": 14.0}, {"heartbeat_interval_s": 5.0}, {"lease_s": 14.0}],
)
def test_numbers_out_of_order_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(AssertionError, match="not in order"):
        Limits(**wrong)


def test_a_cluster_goes_by_its_own_numbers(world: World) -> None:
    world.cluster = Cluster(limits=Limits().with_silence(40))
    world.register("n1")
    events = pass_time(world, 9, silent=("n1",))
    assert events == []
    events = pass_time(world, 30, silent=("n1",))
    assert kinds(events) == ["node_degraded"]
    pass_time(world, 1, silent=("n1",))
    assert str(health(world)) == "unreachable"
