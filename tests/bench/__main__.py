"""`python -m tests.bench [NAME…] [--json FILE] [--quick]`: measure Corral on this machine.

Every bench has a cluster of its own. The pidfd limit is measured around the benches, and rates of tasks
are given as ratios to its median. The table goes to stderr, the JSON document to stdout or to FILE.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from tests.bench import backlog, footprint, idle, ingest, latency, limit, throughput
from tests.bench.cluster import Cluster, running
from tests.bench.figures import FULL, QUICK, Figure, Sizes
from tests.bench.report import Run, as_json, table, this_machine


class Bench(Struct, frozen=True):
    """`agent`: whether its cluster has the agent with two slots."""

    measure: Callable[[Cluster, Sizes], Awaitable[list[Figure]]]
    agent: bool = True


BENCHES = {
    "latency": Bench(latency.measure),
    "throughput": Bench(throughput.measure),
    "backlog": Bench(backlog.measure),
    "idle": Bench(idle.measure),
    "ingest": Bench(ingest.measure, agent=False),
    "footprint": Bench(footprint.measure),
}


def main(argv: list[str] | None = None) -> int:
    """Run the named benches, or all; returns the process's exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description="Measure Corral on this machine."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(BENCHES)}; default: all")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the JSON goes; default: stdout")
    parser.add_argument("--quick", action="store_true", help="small sizes: shows that the benches work")
    arguments = parser.parse_args(argv)
    unknown = sorted(set(arguments.names) - set(BENCHES))
    if unknown:
        parser.error(f"no bench {', '.join(unknown)}; there are {', '.join(BENCHES)}")
    # so that SIGTERM unwinds as ctrl-C does, and every process is ended
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    run = _run(arguments.names or list(BENCHES), FULL if not arguments.quick else QUICK)
    _say("", *table(run.figures))
    if arguments.json is None:
        sys.stdout.buffer.write(as_json(run))
    else:
        arguments.json.write_bytes(as_json(run))
    return 0


def _run(names: list[str], sizes: Sizes) -> Run:
    machine, started_at = this_machine(), time.time()
    limits = [limit.measure(sizes)]
    figures: list[Figure] = []
    for name in names:
        bench = BENCHES[name]
        begin = time.monotonic()
        with running(agent=bench.agent) as cluster:
            found = asyncio.run(_measured(bench, cluster, sizes))
        _check(found)
        figures += found
        limits.append(limit.measure(sizes))
        _say(f"{name}: {time.monotonic() - begin:.1f} s")
    samples = tuple(sample for figure in limits for sample in figure.samples)
    median = replace(limits[0], value=statistics.median(samples), samples=samples)
    return Run(
        started_at=started_at,
        seconds=time.time() - started_at,
        quick=sizes is QUICK,
        machine=machine,
        figures=(median, *(_with_ratio(figure, median) for figure in figures)),
    )


async def _measured(bench: Bench, cluster: Cluster, sizes: Sizes) -> list[Figure]:
    return await bench.measure(cluster, sizes)


def _check(figures: list[Figure]) -> None:
    """What holds on any machine: something was measured, and no figure is negative."""
    assert figures and all(figure.value >= 0 for figure in figures), figures


def _with_ratio(figure: Figure, limit_figure: Figure) -> Figure:
    if figure.unit != limit_figure.unit:
        return figure
    return replace(figure, of_limit=figure.value / limit_figure.value)


def _say(*lines: str) -> None:
    print(*lines, sep="\n", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
