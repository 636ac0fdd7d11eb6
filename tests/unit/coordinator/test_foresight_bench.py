"""The bench of forecasts puts a replayed cluster together as it was: what it asks about then comes."""

from __future__ import annotations

import pytest

from coordinator.core.scheduler.policies import POLICIES
from coordinator.sim.foresight_bench import judge_forecasts
from coordinator.sim.swf import TraceJob


def job(number: int, at_s: int, run_s: int, nodes: int = 4, *, asked_s: int | None = None) -> TraceJob:
    return TraceJob(
        id=number,
        submitted_s=at_s,
        run_s=run_s,
        requested_s=run_s if asked_s is None else asked_s,
        processors=nodes,
        nodes=nodes,
        user=1,
    )


@pytest.mark.parametrize("order", ["fcfs", "sjf", "predicted short"])
@pytest.mark.parametrize("backfill", [False, True])
def test_who_has_the_machine_kept_for_it_goes_before_a_shorter_one_that_comes(
    order: str, backfill: bool
) -> None:
    """The second one was chosen when it came, and the third one would go first if anybody were chosen now."""
    jobs = [job(1, 0, 1000), job(2, 10, 500), job(3, 20, 50)]
    found = judge_forecasts(jobs, 4, policy=POLICIES[order], backfill=backfill, every=1)
    assert (found.asked, found.untold, found.inside) == (2, 0, 1.0)
    assert found.median_error == pytest.approx(1.0, abs=1e-6)


def test_who_overtakes_is_foretold_from_those_that_came() -> None:
    """Two of three are short, and a long one waits for those to come."""
    jobs = [job(n, n * 100, 250 if n % 3 == 0 else 20) for n in range(120)]
    found = judge_forecasts(jobs, 4, policy=POLICIES["sjf"], backfill=False, every=1)
    assert found.asked > 40 and found.untold == 0 and found.inside > 0.75
    assert found.median_width >= 1.0 and found.relative_width > 0.0


def test_requests_below_zero_end_no_job_before_it_began() -> None:
    jobs = [job(n, n, 10, asked_s=-1) for n in range(20)]
    found = judge_forecasts(jobs, 4, policy=POLICIES["fcfs"], backfill=True, every=1)
    assert (found.asked, found.untold) == (19, 0)


def test_where_nobody_waits_nothing_is_asked() -> None:
    found = judge_forecasts([job(1, 0, 5)], 4, policy=POLICIES["fcfs"], backfill=False, every=1)
    assert (found.asked, found.inside, found.median_width, found.relative_width) == (0, 0.0, 1.0, 0.0)
