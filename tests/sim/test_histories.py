"""Random histories keep every promise; the same seed is the same history, whatever the process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.sim.history import History, stored
from tests.sim.mutations import MUTATIONS
from tests.sim.plan import AT_BARRIERS, FaultKind, draw
from tests.sim.shrink import report, shrink, violation_of
from tests.sim.timeline import Violation
from tests.sim.world import World

HOURS = 1_000
SEEDS_MAX = 600
GANG_SEEDS = 40


@pytest.mark.timeout(600)
def test_a_thousand_cluster_hours_keep_every_promise() -> None:
    hours, began_s = 0.0, time.monotonic()
    befallen: set[str] = set()
    for seed in range(SEEDS_MAX):
        plan = draw(seed)
        if violation_of(plan) is not None:
            pytest.fail(report(plan))
        hours += plan.duration_s / 3600
        befallen |= {fault.kind for fault in plan.faults}
        if hours >= HOURS:
            break
    assert hours >= HOURS
    assert befallen == set(FaultKind)
    print(f"{seed + 1} seeds, {hours:.0f} cluster-hours in {time.monotonic() - began_s:.0f} s")


@pytest.mark.timeout(600)
def test_gangs_keep_every_promise() -> None:
    """All ranks or none, none before all are confirmed, none of an older try beside one of a newer."""
    struck: set[str] = set()
    for seed in range(GANG_SEEDS):
        plan = draw(seed, gangs=True)
        world = World(plan)
        try:
            struck |= world.play().faults.keys()
        except Violation:
            pytest.fail(report(plan))
    assert {"gang: job.hold", "gang: job.pause", "gang: job.requeue", "gang: job.cancel"} <= struck
    assert set(AT_BARRIERS) <= struck


@pytest.mark.parametrize("history", stored().values(), ids=stored().keys())
def test_what_was_found_once_stays_mended(history: History) -> None:
    if violation_of(history.plan) is not None:
        pytest.fail(report(history.plan))


def test_the_same_seed_is_the_same_history_in_another_process() -> None:
    seeds = (1, 4, 10)
    here = [World(draw(seed)).play().checksum for seed in seeds]
    program = (
        "from tests.sim.plan import draw\n"
        "from tests.sim.world import World\n"
        f"print([World(draw(seed)).play().checksum for seed in {seeds}])"
    )
    for hash_seed in ("1", "4242"):
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": "."},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == str(here)


def test_other_seeds_are_other_histories() -> None:
    assert World(draw(1)).play().checksum != World(draw(4)).play().checksum


def test_a_failing_history_is_made_smaller_and_told() -> None:
    broken = next(each for each in MUTATIONS if "stored" in each.name)
    plan = draw(0)
    with broken.breaks():
        found = violation_of(plan)
        assert found is not None
        least = shrink(plan, found[0].invariant)
        told = report(plan)
    assert len(least.submissions) == 1 and not least.faults and not least.deeds
    assert "seed 0 breaks I3" in told and "make sim SEED=0" in told
    assert violation_of(least) is None  # it is the bug, not the plan


def test_without_faults_everything_completes_quickly() -> None:
    calm = replace(draw(2), faults=(), deeds=())
    outcome = World(calm).play()
    assert outcome.jobs == len(calm.submissions)
