"""Traces of GPU clusters as Alibaba publishes them (cluster-trace-gpu-v2023, "openb"): CSV with a header.

Nodes: sn, cpu_milli, memory_mib, gpu, model. Pods: name, cpu_milli, memory_mib, num_gpu, gpu_milli and, in
some, gpu_spec ("A|B": the models that will do).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from coordinator.core.scheduler.gpus import WHOLE, GpuNode, Request
from coordinator.sim.trace_files import NUMBER_MAX, TraceError, lines

GPUS_MAX = 1_000
"""Of one node."""

ARRIVING = 1.3
"""Of the cluster's GPUs: so much is asked for in all."""


def read_nodes(path: Path) -> tuple[GpuNode, ...]:
    """In order of their names. Raises TraceError, OSError."""
    found = [
        GpuNode(
            row["sn"],
            _number(path, line, row, "cpu_milli"),
            _number(path, line, row, "memory_mib"),
            _number(path, line, row, "gpu", most=GPUS_MAX),
            row["model"],
        )
        for line, row in _rows(path, ("sn", "cpu_milli", "memory_mib", "gpu", "model"))
    ]
    if not any(node.gpus for node in found):
        raise TraceError(f"{path}: no node has a GPU")
    return tuple(sorted(found))


def read_pods(path: Path) -> tuple[Request, ...]:
    """In the order of the file. Raises TraceError, OSError."""
    found = tuple(
        _request(path, line, row)
        for line, row in _rows(path, ("name", "cpu_milli", "memory_mib", "num_gpu", "gpu_milli"))
    )
    if not any(request.total_milli for request in found):
        raise TraceError(f"{path}: no pod asks for a GPU")
    return found


def arrivals(requests: Sequence[Request], capacity: int, rng: np.random.Generator) -> Iterator[Request]:
    """The pods, shuffled, and more drawn of them, until 130 % of `capacity` (thousandths) is asked for."""
    total, most = 0, ARRIVING * capacity
    for index in rng.permutation(len(requests)).tolist():
        total += requests[index].total_milli
        if total > most:
            return
        yield requests[index]
    while (total := total + (request := requests[int(rng.integers(len(requests)))]).total_milli) <= most:
        yield request


def _request(path: Path, line: int, row: dict[str, str]) -> Request:
    gpus = _number(path, line, row, "num_gpu", most=GPUS_MAX)
    milli = _number(path, line, row, "gpu_milli", most=WHOLE) if gpus else 0
    if gpus > 1 and milli != WHOLE:
        raise TraceError(
            f"{path}, line {line}: {gpus} GPUs are taken whole: gpu_milli is {milli}, not {WHOLE}"
        )
    return Request(
        cpu_millis=_number(path, line, row, "cpu_milli"),
        mem_mib=_number(path, line, row, "memory_mib"),
        gpus=gpus,
        milli=milli,
        models=frozenset(model for model in (row.get("gpu_spec") or "").split("|") if model),
    )


def _rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        reader = csv.DictReader(lines(path))
        missing = [column for column in columns if column not in (reader.fieldnames or ())]
        if missing:
            raise TraceError(f"{path}, line 1: no column {missing[0]!r}")
        for row in reader:
            if None in row.values() or None in row:
                raise TraceError(f"{path}, line {reader.line_num}: not as many fields as columns")
            yield reader.line_num, row
    except csv.Error as error:
        raise TraceError(f"{path}: no CSV: {error}") from error


def _number(path: Path, line: int, row: dict[str, str], column: str, *, most: int = NUMBER_MAX) -> int:
    word = row[column].strip()
    found = int(word) if word.isascii() and word.isdigit() and len(word) <= len(str(NUMBER_MAX)) else -1
    if not 0 <= found <= most:
        raise TraceError(
            f"{path}, line {line}: {column} is no whole number up to {most:,}: {row[column][:40]!r}"
        )
    return found
