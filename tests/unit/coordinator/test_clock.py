"""Seconds that never jump, and ids that sort by them."""

from __future__ import annotations

import time
from typing import Any
from uuid import RFC_4122

from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.clock import Clock, job_id, uuid7

INSTANTS = st.floats(0, 4e9)


def test_a_stepped_wall_clock_moves_nothing(monkeypatch: Any) -> None:
    boot_s, wall_s = 100.0, 1_000_000.0
    monkeypatch.setattr(time, "clock_gettime", lambda which: boot_s)
    monkeypatch.setattr(time, "time", lambda: wall_s)
    clock = Clock()
    assert clock.now_s() == 1_000_000.0
    wall_s += 3600
    boot_s += 5
    assert clock.now_s() == 1_000_005.0


def test_time_goes_on_where_the_leader_before_left_it(monkeypatch: Any) -> None:
    """Its wall clock was an hour ahead of ours."""
    boot_s = 100.0
    monkeypatch.setattr(time, "clock_gettime", lambda which: boot_s)
    monkeypatch.setattr(time, "time", lambda: 1_000_000.0)
    clock = Clock(not_before_s=1_003_600.0)
    assert clock.now_s() == 1_003_600.0
    boot_s += 5
    assert clock.now_s() == 1_003_605.0
    assert Clock(not_before_s=999_000.0).now_s() == 1_000_000.0, "ours is ahead"


@settings(derandomize=True)
@given(INSTANTS)
def test_ids_are_version_7_and_carry_their_instant(now_s: float) -> None:
    for made in (uuid7(now_s), job_id(now_s)):
        assert made.version == 7 and made.variant == RFC_4122
        assert made.int >> 80 == int(now_s * 1000)


@settings(derandomize=True)
@given(INSTANTS)
def test_a_jobs_id_leaves_room_for_its_tasks(now_s: float) -> None:
    assert job_id(now_s).int & 0xFFFFFFFF == 0


def test_ids_of_one_instant_differ() -> None:
    assert len({uuid7(1.0) for _ in range(1000)} | {job_id(1.0) for _ in range(1000)}) == 2000


@settings(derandomize=True)
@given(st.tuples(INSTANTS, INSTANTS).filter(lambda pair: int(pair[0] * 1000) < int(pair[1] * 1000)))
def test_ids_sort_by_time(pair: tuple[float, float]) -> None:
    assert job_id(pair[0]) < job_id(pair[1])
