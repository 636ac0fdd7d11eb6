"""What follows from a try: the waits, their bounds, and that the same question has the same answer."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from coordinator.core.redelivery import Outcome, Pace, Standing, Verdict, judge

PACE = Pace()
FAILED = Outcome(error="no answer")


def waits(seed: str, pace: Pace = PACE) -> list[float]:
    return [judge(FAILED, tries=n, seed=seed, pace=pace).wait_s for n in range(1, pace.tries_max)]


def test_every_2xx_is_delivered() -> None:
    for status in (200, 202, 204, 299):
        assert judge(Outcome(status=status), tries=1, seed="a", pace=PACE) == Verdict(Standing.DELIVERED)


def test_what_says_that_it_is_gone_is_believed_at_once() -> None:
    assert judge(Outcome(status=410), tries=1, seed="a", pace=PACE) == Verdict(Standing.DEAD, gone=True)


def test_the_last_try_is_the_last() -> None:
    assert judge(FAILED, tries=7, seed="a", pace=PACE).standing is Standing.WAITING
    assert judge(FAILED, tries=8, seed="a", pace=PACE) == Verdict(Standing.DEAD)
    assert judge(Outcome(status=500), tries=8, seed="a", pace=PACE) == Verdict(Standing.DEAD)


def test_redirects_and_faults_are_tried_again() -> None:
    for status in (199, 300, 307, 400, 404, 429, 500):
        assert judge(Outcome(status=status), tries=1, seed="a", pace=PACE).standing is Standing.WAITING


def test_waits_grow_up_to_the_limit() -> None:
    exact = Pace(spread=0.0)
    assert waits("a", exact) == [5.0, 20.0, 80.0, 320.0, 1280.0, 3600.0, 3600.0]


def test_what_the_address_asks_for_is_kept_within_the_limit() -> None:
    def wait_s(asked_s: float) -> float:
        outcome = Outcome(status=429, retry_after_s=asked_s)
        return judge(outcome, tries=1, seed="a", pace=Pace(spread=0.0)).wait_s

    assert wait_s(60.0) == 60.0
    assert wait_s(1.0) == 5.0
    assert wait_s(1e9) == 3600.0
    assert wait_s(-1.0) == 5.0


@given(st.text(max_size=40), st.integers(1, 7))
def test_each_wait_is_drawn_within_its_spread(seed: str, tries: int) -> None:
    exact = judge(FAILED, tries=tries, seed=seed, pace=Pace(spread=0.0)).wait_s
    drawn = judge(FAILED, tries=tries, seed=seed, pace=PACE)
    assert exact * 0.8 <= drawn.wait_s <= exact * 1.2
    assert drawn == judge(FAILED, tries=tries, seed=seed, pace=PACE)


def test_deliveries_that_failed_together_come_back_apart() -> None:
    assert len({tuple(waits(str(number))) for number in range(100)}) == 100
