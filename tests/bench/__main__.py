"""`python -m tests.bench [NAME…] [--json FILE] [--quick]`: measure Corral on this machine.

Every bench has a cluster of its own; the pidfd limit is measured between them. The table goes to stderr, the
JSON document to stdout or to FILE.
"""

from __future__ import annotations

import argparse
import asyncio
import faulthandler
import signal
import statistics
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import nullcontext
from pathlib import Path

from msgspec.structs import replace

from tests.bench import (
    backlog,
    console,
    copies,
    footprint,
    foresight,
    history,
    idle,
    ingest,
    latency,
    limit,
    publish,
    recovery,
    rounds,
    sessions,
    throughput,
    webhooks,
)
from tests.bench.cluster import Cluster, running
from tests.bench.figures import FULL, QUICK, Figure, Sizes
from tests.bench.report import Run, as_json, table, this_machine

BENCHES: dict[str, Callable[[Cluster, Sizes], Coroutine[None, None, list[Figure]]]] = {
    "latency": latency.measure,
    "throughput": throughput.measure,
    "idle": idle.measure,
    "backlog": backlog.measure,
    "publish": publish.measure,
    "footprint": footprint.measure,
    "console": console.measure,
    "history": history.measure,
    "copies": copies.measure,
    "webhooks": webhooks.measure,
    "sessions": sessions.measure,
    "recovery": recovery.measure,  # leaves a node that is not trusted for a while
    "rounds": rounds.measure,
    "foresight": foresight.measure,
    "ingest": ingest.measure,  # last: its nodes look alive for a while, and on a shared cluster get tasks
}

HANGS_S = 1_800.0
"""A bench that takes longer hangs: it is ended, with the stacks of its threads."""


def main(argv: list[str] | None = None) -> int:
    """Run the named benches, or all; returns the process's exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description="Measure Corral on this machine."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(BENCHES)}; default: all")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the JSON goes; default: stdout")
    parser.add_argument("--quick", action="store_true", help="small sizes: shows that the benches work")
    parser.add_argument("--swf", nargs="+", default=[], metavar="FILE", help="workloads for `foresight`")
    arguments = parser.parse_args(argv)
    unknown = sorted(set(arguments.names) - set(BENCHES))
    if unknown:
        parser.error(f"no bench {', '.join(unknown)}; there are {', '.join(BENCHES)}")
    # so that SIGTERM unwinds as ctrl-C does, and every process is ended
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sizes = replace(QUICK if arguments.quick else FULL, swf=tuple(arguments.swf))
    run = _run(arguments.names or list(BENCHES), sizes, quick=arguments.quick)
    _say("", *table(run.figures))
    if arguments.json is None:
        sys.stdout.buffer.write(as_json(run))
    else:
        arguments.json.write_bytes(as_json(run))
    return 0


def _run(names: list[str], sizes: Sizes, *, quick: bool) -> Run:
    """All of `names`, each on a cluster of its own; quick ones share one: they prove no figure."""
    machine, started_at = this_machine(), time.time()
    limits = [limit.measure(sizes)]
    figures: list[Figure] = []
    with running() if quick else nullcontext() as shared:
        for name in names:
            begin = time.monotonic()
            faulthandler.dump_traceback_later(HANGS_S, exit=True)
            with running() if shared is None else nullcontext(shared) as cluster:
                found = asyncio.run(BENCHES[name](cluster, sizes))
            assert found and all(figure.value >= 0 for figure in found), found
            figures += found
            limits.append(limit.measure(sizes))
            _say(f"{name}: {time.monotonic() - begin:.1f} s")
    faulthandler.cancel_dump_traceback_later()
    samples = tuple(sample for figure in limits for sample in figure.samples)
    median = replace(limits[0], value=statistics.median(samples), samples=samples)
    return Run(
        started_at=started_at,
        seconds=time.time() - started_at,
        quick=quick,
        machine=machine,
        figures=(median, *figures),
    )


def _say(*lines: str) -> None:
    print(*lines, sep="\n", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
