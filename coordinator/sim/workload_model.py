"""Jobs as clusters get them, for a cluster that has no history yet.

After Lublin & Feitelson (JPDC 2003): widths are powers of two for the most part, and one for many; run times
are hyper-gamma in their logarithm, longer ones with larger widths; arrivals come in bursts, their gaps being
gamma in their logarithm. Gaps are stretched so that the machine is asked for `LOAD` of what it has. Users ask
for more than they need, each by a habit of their own. Where some jobs of the cluster were seen, each job is
one of those with the chance that `seen` make up of `SEEN_FULL`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from coordinator.sim.swf import TraceJob

LOAD = 0.9
SERIAL, POWERS = 0.24, 0.75
SHORT = (4.2, 0.94)
LONG = (312.0, 0.03)
"""Shape and scale of both gammas of the logarithm of run times, seconds to the base e."""

GAP = (10.2303, 0.4871)
WIDEST = 2**7
USERS = 24
SEEN_FULL = 256
RUN_MAX_S = 36 * 3600


def model_jobs(count: int, nodes: int, *, seen: Sequence[TraceJob], seed: int) -> tuple[TraceJob, ...]:
    """`count` jobs for a machine of `nodes`, in order of submission."""
    rng = np.random.default_rng(seed)
    known = rng.random(count) < (len(seen) / SEEN_FULL if seen else 0.0)
    gaps_s = np.exp(rng.gamma(*GAP, size=count) / np.log2(np.e))
    habits = rng.uniform(1.0, 6.0, USERS)
    drawn = [seen[int(rng.integers(len(seen)))] if of_own else _drawn(nodes, habits, rng) for of_own in known]
    work = sum(job.run_s * job.nodes for job in drawn)
    at_s = (gaps_s * (work / (nodes * LOAD) / gaps_s.sum())).cumsum()
    return tuple(
        TraceJob(
            id=place,
            submitted_s=round(float(at_s[place])),
            run_s=job.run_s,
            requested_s=job.requested_s,
            processors=job.processors,
            nodes=job.nodes,
            user=job.user,
        )
        for place, job in enumerate(drawn)
    )


def _drawn(nodes: int, habits: np.ndarray, rng: np.random.Generator) -> TraceJob:
    width = 1
    if rng.random() >= SERIAL:
        log_width = rng.uniform(0.8, np.log2(WIDEST) - 1.0)
        width = round(2 ** (round(log_width) if rng.random() < POWERS else log_width))
    shorter = min(max(-0.0054 * np.log2(width) + 0.78, 0.0), 1.0)
    log_run = rng.gamma(*SHORT) if rng.random() < shorter else rng.gamma(*LONG)
    run_s = int(min(max(np.exp(log_run), 1.0), RUN_MAX_S))
    user = int(rng.integers(len(habits)))
    asked_s = max(60, round(run_s * habits[user] / 60) * 60)
    return TraceJob(
        id=0,
        submitted_s=0,
        run_s=run_s,
        requested_s=asked_s,
        processors=width,
        nodes=min(max(1, round(nodes * width / (2 * WIDEST))), nodes),
        user=user,
    )
