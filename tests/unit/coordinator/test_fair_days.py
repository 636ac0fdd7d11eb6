"""Fair share over hours and days: nobody starves behind a long line, and usage converges to the shares."""

from __future__ import annotations

from collections import Counter

import pytest

from bus.spec import ResourceSpec
from bus.values import Resources, Started, UserName
from coordinator.core.events import SharesAsked, Tick
from tests.unit.coordinator.conftest import World

CORE = ResourceSpec(cpu="1")
STEP_S = 600.0
DAY = int(86_400 / STEP_S)


class Days(World):
    """A node whose tasks all run for one step."""

    def __init__(self, cores: int) -> None:
        super().__init__()
        self.register("n1", capacity=Resources(cores * 1000, 65_536))
        self.ran: Counter[str] = Counter()

    def step(self) -> None:
        """Place what can be placed, and let it run to its end."""
        self.happen(Tick(), schedule=True)
        placed = list(self.held.get("n1", {}).values())
        began_s = self.now_s
        self.report("n1", *(Started(attempt=each.attempt, started_at=began_s, pid=1) for each in placed))
        self.now_s += STEP_S
        self.beat("n1")
        self.happen(Tick())
        for each in placed:
            self.end(each, "n1", started_at=began_s)
            self.ran[each.owner] += 1

    def backlog(self, owner: str, tasks: int) -> int:
        return self.submit(command=["true"], array=f"0-{tasks - 1}", resources=CORE, owner=owner)


def test_ten_tasks_do_not_wait_behind_a_hundred_thousand() -> None:
    world = Days(4)
    world.backlog("alice", 100_000)
    for _ in range(DAY):
        world.step()
    assert world.ran == {"alice": 4 * DAY}, "alone one has everything"
    world.backlog("bob", 10)  # a day younger: six steps of age behind
    for _ in range(3):
        world.step()
    assert world.ran["bob"] == 10


def test_a_line_that_has_waited_for_days_goes_first_whatever_its_owner_used() -> None:
    world = Days(1)
    world.cluster.shares.account(UserName("alice")).usage = 1e9
    old = world.backlog("alice", 2)
    for _ in range(
        5 * DAY // 2 + DAY
    ):  # the 60 hours that a level is worth at most, and what is left of a step
        world.now_s += STEP_S
        world.beat("n1")
        world.happen(Tick())
    world.backlog("bob", 10)
    world.step()
    assert world.ran == {"alice": 1} and old in world.cluster.jobs


def test_equal_shares_converge_to_equal_usage_within_a_day() -> None:
    world = Days(8)
    alone = DAY // 6
    world.backlog("alice", 8 * alone)
    for _ in range(alone):
        world.step()
    for owner in ("alice", "bob", "carol"):
        world.backlog(owner, 10_000)
    for _ in range(DAY - alone):
        world.step()
    due = world.ran.total() / 3
    assert all(abs(ran - due) < due / 10 for ran in world.ran.values()), world.ran


@pytest.mark.parametrize("shares", [2, 3])
def test_usage_converges_to_the_shares(shares: int) -> None:
    world = Days(8)
    world.happen(SharesAsked(owner=UserName("alice"), shares=shares, by=UserName("root")))
    for owner in ("bob", "alice"):
        world.backlog(owner, 10_000)
    for _ in range(DAY):
        world.step()
    assert world.ran["alice"] / world.ran["bob"] == pytest.approx(shares, rel=0.1), world.ran
