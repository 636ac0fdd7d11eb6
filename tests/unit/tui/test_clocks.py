"""Ages in tables are counted by the coordinator's clock, where the one here is off; scripts ask for none."""

from __future__ import annotations

import time

import pytest
from msgspec import Struct

from bus.api import Jobs, Whoami
from bus.errors import Disconnected
from bus.requests import JobList
from bus.training import GangPage, GangProgress, GangQuery
from bus.values import TaskState
from tests.unit.tui.command import Corral, a_job
from tui.client.clocks import ahead_of, cluster_now_s, skew_of

AHEAD_S = 7_200.0


def answer(request: Struct) -> Struct | None:
    now_s = time.time() - AHEAD_S
    match request:
        case JobList():
            return Jobs(jobs=[a_job(submitted_at=now_s - 185.0, started_at=now_s - 125.0)])
        case GangQuery():
            gang = GangProgress(
                task="7.0", state=TaskState.RUNNING, attempt=1, ranks=2, nodes=1, live=2, running=2,
                completed=0, step=3, saved_at=now_s - 185.0,
            )  # fmt: skip
            return GangPage(gangs=[gang])
    return None


@pytest.fixture
def behind(corral: Corral) -> Corral:
    """A coordinator whose clock is two hours behind the one here."""
    corral.answer, corral.now_s = answer, time.time() - AHEAD_S
    return corral


def test_a_clock_that_is_off_makes_no_job_older(behind: Corral) -> None:
    _, said, _ = behind("jobs")
    assert " 3m " in said and "2h" not in said
    assert "3m ago" in behind("train", "status", "7")[1]
    behind.now_s = 0.0
    assert "2h03m" in behind("jobs")[1], "an older coordinator tells no time"


def test_a_small_difference_is_the_way_of_the_answer() -> None:
    assert skew_of(10.0, 0.0, 11.0) == 0.0 and skew_of(10.0, 3.5, 11.0) == 7.0
    assert (ahead_of(4.9), ahead_of(-7.0), ahead_of(7.0)) == (0.0, -7.0, 7.0)


async def test_where_nobody_tells_the_time_it_is_the_one_here() -> None:
    class Away:
        async def whoami(self) -> Whoami:
            raise Disconnected("no server answers")

    assert abs(await cluster_now_s(Away()) - time.time()) < 60.0
