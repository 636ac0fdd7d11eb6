"""Traces in the Standard Workload Format: 18 numbers a job, header lines after a semicolon.

The format: Chapin et al., "Benchmarks and Standards for the Evaluation of Parallel Job Schedulers", JSSPP'99.
Jobs are read as RLScheduler's evaluation reads them (Zhang et al., SC'20): the larger of allocated and
requested processors; a missing request is the run time; a run time below zero is 10 s, one of zero left out.
Left out as well is a job that no processors are known of.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

from msgspec import Struct

from coordinator.sim.trace_files import NUMBER_MAX, TraceError, lines

FIELDS = 18
RUN_UNKNOWN_S = 10
_HEADER = re.compile(r";\s*(MaxNodes|MaxProcs):\s*(\d+)")


class TraceJob(Struct, frozen=True):
    """`nodes`: as many of the machine as its `processors` need. `user` -1: unknown."""

    id: int
    submitted_s: int
    run_s: int
    requested_s: int
    processors: int
    nodes: int
    user: int


class Trace(Struct, frozen=True):
    """The jobs of one machine of `nodes` equal nodes, in order of their ids."""

    name: str
    nodes: int
    jobs: tuple[TraceJob, ...]


def read_swf(path: Path) -> Trace:
    """`path` may be compressed with gzip. Raises TraceError, OSError."""
    header: dict[str, int] = {}
    rows: list[list[int]] = []
    # headers name people and places in any encoding
    for number, line in enumerate(lines(path, errors="replace"), start=1):
        if line.startswith(";"):
            found = _HEADER.match(line)
            if found is not None:
                header[found[1]] = int(_checked(path, number, line, [float(found[2])])[0])
        elif line.strip():
            rows.append(_numbers(path, number, line))
    processors = header.get("MaxProcs") or header.get("MaxNodes") or 0
    nodes = header.get("MaxNodes") or processors
    if not processors:
        raise TraceError(f"{path}: a header line '; MaxProcs: N' or '; MaxNodes: N' is missing")
    jobs = [job for row in sorted(rows, key=lambda row: row[0]) if (job := _job(row, nodes / processors))]
    if not jobs:
        raise TraceError(f"{path}: no job in it ever ran")
    widest = max(jobs, key=lambda job: job.nodes)
    if widest.nodes > nodes:
        raise TraceError(f"{path}: job {widest.id} needs {widest.nodes} nodes, the machine has {nodes}")
    return Trace(path.name.removesuffix(".gz").removesuffix(".swf"), nodes, tuple(jobs))


def _numbers(path: Path, number: int, line: str) -> list[int]:
    words = line.split()
    if len(words) != FIELDS:
        raise TraceError(f"{path}, line {number}: {len(words)} fields instead of {FIELDS}")
    try:
        found = [float(word) for word in words]
    except ValueError:
        found = [math.nan]
    if not line.isascii() or "_" in line:  # Python takes more for numbers than the format does
        found = [math.nan]
    return [int(value) for value in _checked(path, number, line, found)]


def _checked(path: Path, number: int, line: str, values: list[float]) -> list[float]:
    for value in values:
        if not abs(value) <= NUMBER_MAX:
            wrong = "is no number" if math.isnan(value) else f"is beyond {NUMBER_MAX:,}"
            raise TraceError(f"{path}, line {number}: a field {wrong}: {line.strip()[:80]!r}")
    return values


def _job(row: list[int], nodes_a_processor: float) -> TraceJob | None:
    run_s, processors, requested_s = row[3], max(row[4], row[7]), row[8]
    if run_s == 0 or processors <= 0:
        return None
    return TraceJob(
        id=row[0],
        submitted_s=row[1],
        run_s=RUN_UNKNOWN_S if run_s < 0 else run_s,
        requested_s=run_s if requested_s < 0 else requested_s,
        processors=processors,
        nodes=math.ceil(processors * nodes_a_processor),
        user=row[11],
    )
