"""How true forecasts of starts come on recorded workloads: the share of starts that lay in the 80 % interval.

On the traces of `--swf`, else on a small one made up here. No cluster is needed: `coordinator.sim` replays.
"""

from __future__ import annotations

import tempfile
from itertools import product
from pathlib import Path

from coordinator.core.scheduler.policies import POLICIES
from coordinator.sim.foresight_bench import judge_forecasts
from coordinator.sim.swf import read_swf
from tests.bench import cluster as real
from tests.bench.figures import Figure, Sizes
from tests.documents.traces import write_traces

CASES = tuple(product(("fcfs", "sjf", "predicted short and narrow"), (True, False)))
"""Order, and whether others are backfilled."""


async def measure(_: real.Cluster, sizes: Sizes) -> list[Figure]:
    """Of each trace and case: coverage, and how far the middle of the forecasts was off."""
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        write_traces(Path(folder))
        for file in sizes.swf or (str(Path(folder, "lublin_256.swf.gz")),):
            trace = read_swf(Path(file))
            jobs = trace.jobs[: sizes.foresight_jobs]
            name = f"foresight.{trace.name}" if sizes.swf else "foresight"
            for order, backfill in CASES:
                found = judge_forecasts(
                    jobs,
                    trace.nodes,
                    policy=POLICIES[order],
                    backfill=backfill,
                    every=sizes.foresight_every,
                )
                case = f"{name}.{order.replace(' ', '_')}{'.backfill' if backfill else ''}"
                note = (
                    f"{found.asked} asked, {found.untold} untold; raw {found.inside_raw:.2f};"
                    f" {found.median_width:.3g}× wide, {found.relative_width:.2g} of the waiting;"
                    f" {found.ms_each:.0f} ms each"
                )
                figures += [
                    Figure(name=f"{case}.inside", value=found.inside, unit="share", note=note),
                    Figure(name=f"{case}.error", value=found.median_error, unit="×", note="median"),
                ]
    return figures
