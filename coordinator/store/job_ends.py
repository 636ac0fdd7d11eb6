"""How a job that is over ended, out of its row and the ranges of its tasks that completed."""

from __future__ import annotations

import re

from asyncpg.protocol import Record

from bus.values import JobState
from coordinator.core.job_ends import JobEnd, bits_of

_RANGE = re.compile(r"\[([0-9]+),([0-9]+)\)")


def job_end(row: Record) -> JobEnd:
    """`done` of the row: a multirange of indices as text, or null."""
    completed, said = row["state"] == JobState.COMPLETED, row["done"]
    if completed or said is None:
        return JobEnd(completed, row["total"])
    ranges = [(int(first), int(end)) for first, end in _RANGE.findall(said)]
    return JobEnd(False, row["total"], bits_of(ranges, row["total"]))
