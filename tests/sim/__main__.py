"""`python -m tests.sim`: many seeds, or one with its trace. See --help."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed

from tests.sim.history import History, store
from tests.sim.plan import Plan, draw
from tests.sim.shrink import report, shrink, violation_of
from tests.sim.timeline import Violation
from tests.sim.world import Outcome, World

CHUNK = 20


def main(arguments: list[str]) -> int:
    """Exit code 0 if every promise was kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("--seed", type=int, help="play this one, and shrink it if it fails")
    parser.add_argument("--seeds", type=int, default=200, help="how many (default %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--gangs", action="store_true", help="with gangs, struck where they gather")
    parser.add_argument("--jobs", type=int, default=1, help="operating-system processes")
    parser.add_argument(
        "--for", type=float, dest="seconds", default=float("inf"), help="begin no more after this"
    )
    parser.add_argument("--store", metavar="NAME", help="keep what --seed breaks as a history")
    parser.add_argument("--found", default="", help="what it was, for --store")
    chosen = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)
    if chosen.store is not None:
        return keep(draw(chosen.seed, gangs=chosen.gangs), chosen.store, chosen.found)
    if chosen.seed is not None:
        return play_one(draw(chosen.seed, gangs=chosen.gangs))
    return play_many(chosen.first, chosen.seeds, chosen.jobs, chosen.seconds, gangs=chosen.gangs)


def play_one(plan: Plan) -> int:
    """With everything that there is to see."""
    world = World(plan)
    try:
        outcome = world.play()
    except Violation:
        print(report(plan))
        return 1
    print("\n".join(world.trace))
    print(f"seed {plan.seed}: every promise was kept; {summary([outcome])}; checksum {outcome.checksum:08x}")
    return 0


def keep(plan: Plan, name: str, words: str) -> int:
    """Store the least of a failing history; fails where there is nothing to keep."""
    broken = violation_of(plan)
    if broken is None:
        print(f"seed {plan.seed}: every promise was kept")
        return 1
    invariant = broken[0].invariant
    least = shrink(plan, invariant)
    print(store(name, History(found=words or str(broken[0]), invariant=invariant, mutation="", plan=least)))
    return 0


def play_chunk(seeds: range, gangs: bool) -> tuple[list[Outcome], list[tuple[int, str, str]]]:
    """What each was worth, and what failed: seed, invariant, words."""
    logging.disable(logging.CRITICAL)
    outcomes, failures = [], []
    for seed in seeds:
        try:
            outcomes.append(World(draw(seed, gangs=gangs)).play())
        except Violation as violation:
            failures.append((seed, violation.invariant, str(violation)))
    return outcomes, failures


def play_many(first: int, seeds: int, jobs: int, seconds: float, *, gangs: bool) -> int:
    """A report on stdout, a line for each failure as it comes."""
    began_s = time.monotonic()
    outcomes: list[Outcome] = []
    failures: list[tuple[int, str, str]] = []
    chunks = (range(start, min(start + CHUNK, first + seeds)) for start in range(first, first + seeds, CHUNK))
    with ProcessPoolExecutor(jobs) as pool:
        for good, bad in _played(pool, chunks, jobs, until_s=began_s + seconds, gangs=gangs):
            outcomes += good
            failures += bad
            for seed, _, words in bad:
                print(f"seed {seed}: {words[:200]}", flush=True)
    by_invariant = Counter(invariant for _, invariant, _ in failures)
    print(f"{len(outcomes) + len(failures)} seeds in {time.monotonic() - began_s:.0f} s: {summary(outcomes)}")
    faults: Counter[str] = Counter()
    for outcome in outcomes:
        faults.update(outcome.faults)
    print("faults: " + ", ".join(f"{count} {kind}" for kind, count in faults.most_common()))
    print(f"violations: {dict(by_invariant) or 'none'}")
    return 1 if failures else 0


def _played(
    pool: ProcessPoolExecutor, chunks: Iterator[range], jobs: int, *, until_s: float, gangs: bool
) -> Iterator[tuple[list[Outcome], list[tuple[int, str, str]]]]:
    """Results as they come; never more than a few chunks under way, so that it can end early."""
    running = {
        pool.submit(play_chunk, chunk, gangs) for _, chunk in zip(range(2 * jobs), chunks, strict=False)
    }
    while running:
        done = next(as_completed(running))
        running.remove(done)
        yield done.result()
        chunk = next(chunks, None) if time.monotonic() < until_s else None
        if chunk is not None:
            running.add(pool.submit(play_chunk, chunk, gangs))


def summary(outcomes: list[Outcome]) -> str:
    """The figures of many histories."""
    hours = sum(outcome.hours for outcome in outcomes)
    figures = (
        f"{hours:,.0f} cluster-hours",
        f"{sum(outcome.events for outcome in outcomes):,} events",
        f"{sum(outcome.messages for outcome in outcomes):,} messages",
        f"{sum(outcome.commits for outcome in outcomes):,} commits",
        f"{sum(outcome.jobs for outcome in outcomes):,} jobs",
        f"{sum(outcome.starts for outcome in outcomes):,} tasks started",
        f"{sum(outcome.comparisons for outcome in outcomes):,} comparisons of memory and database",
    )
    return ", ".join(figures)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
