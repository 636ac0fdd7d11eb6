"""Suspicion grows with silence and evidence, keeps the promised numbers, and does not flicker."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from coordinator.core.model import Limits
from coordinator.core.suspicion import (
    BEATS_ASKED_MAX,
    DEGRADED_FROM,
    EVIDENCE_MAX,
    PHI_DEGRADED,
    Watch,
    accuse,
    evidence,
    fell,
    heard,
    phi,
    proven,
    silence,
)

LIMITS = Limits()
INTERVAL_S = LIMITS.heartbeat_interval_s
GONE_S = LIMITS.unreachable_after_s


def quiet(watch: Watch, silent_s: float) -> float:
    return silence(watch, silent_s, interval_s=INTERVAL_S, gone_s=GONE_S)


def paced(*pauses_s: float) -> Watch:
    watch = Watch()
    for pause_s in pauses_s:
        heard(watch, pause_s, interval_s=INTERVAL_S)
    return watch


pauses = st.lists(st.floats(0.0, 30.0), max_size=40)


@given(pauses, st.floats(0.0, 60.0), st.floats(0.0, 60.0))
def test_longer_silence_is_never_less_suspect(pauses_s, one_s, other_s) -> None:
    watch = paced(*pauses_s)
    shorter, longer = sorted((one_s, other_s))
    assert 0.0 <= quiet(watch, shorter) <= quiet(watch, longer)


@given(pauses)
def test_whatever_was_learned_a_node_is_gone_at_the_promised_time_and_not_before(pauses_s) -> None:
    watch = paced(*pauses_s)
    assert quiet(watch, GONE_S) >= 1.0 > quiet(watch, GONE_S - 0.01)


@given(pauses)
def test_within_an_interval_nothing_is_suspect_and_after_three_every_node_is_degraded(pauses_s) -> None:
    watch = paced(*pauses_s)
    assert quiet(watch, INTERVAL_S) == 0.0
    assert quiet(watch, 3 * INTERVAL_S) >= DEGRADED_FROM


@pytest.mark.parametrize("watch", [Watch(), paced(*[INTERVAL_S] * 50)], ids=["new", "steady"])
def test_a_steady_node_that_dies_is_degraded_within_three_seconds(watch) -> None:
    """Between two ticks a quarter of a second may pass."""
    assert quiet(watch, 3.0 - 0.25) >= DEGRADED_FROM
    assert quiet(watch, 1.2 * INTERVAL_S) < DEGRADED_FROM


def test_a_node_whose_beats_come_irregularly_is_given_more_time() -> None:
    steady, irregular = paced(*[2.0] * 40), paced(*[1.4, 2.6] * 20)
    assert quiet(irregular, 3.0) < DEGRADED_FROM < quiet(steady, 3.0) + 1e-9
    assert phi(irregular, 3.0, interval_s=INTERVAL_S) < PHI_DEGRADED


def test_neither_repetitions_nor_outages_are_a_pace() -> None:
    watch = paced(2.0, 0.0, 0.1, 29.0)
    assert watch.mean_s == 2.0 and watch.variance_s2 == 0.0
    assert watch.in_order == 2


def test_a_very_long_silence_is_beyond_all_probability() -> None:
    assert phi(Watch(), 100.0, interval_s=INTERVAL_S) == float("inf")


def test_evidence_adds_up_and_fades() -> None:
    watch = Watch()
    assert evidence(watch, now_s=100.0) == 0.0
    accuse(watch, 0.25, now_s=100.0)
    accuse(watch, 0.25, now_s=100.0)
    assert evidence(watch, now_s=100.0) == 0.5
    assert evidence(watch, now_s=220.0) == pytest.approx(0.25)
    for _ in range(9):
        accuse(watch, 0.25, now_s=220.0)
    assert evidence(watch, now_s=220.0) == EVIDENCE_MAX < 1.0


def test_who_falls_often_has_to_beat_in_order_for_longer() -> None:
    watch, asked = Watch(), []
    for _ in range(7):
        fell(watch, now_s=100.0)
        while not proven(watch, now_s=100.0):
            heard(watch, INTERVAL_S, interval_s=INTERVAL_S)
        asked.append(watch.in_order)
    assert asked == [1, 3, 5, 7, 9, 9, BEATS_ASKED_MAX]
    fell(watch, now_s=100.0 + 3600)
    heard(watch, INTERVAL_S, interval_s=INTERVAL_S)
    assert proven(watch, now_s=100.0 + 3600), "old falls are forgotten"
