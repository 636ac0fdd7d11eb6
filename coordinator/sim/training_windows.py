"""Windows to choose a policy by: of jobs outside the tested ones, as long as those.

First those that share no job, drawn from the rest of the trace. Where that holds too few, others are put
together from blocks of neighbours, drawn with replacement, each beginning where the last one ended (block
bootstrap: Künsch, Annals of Statistics 1989): bursts and the mix stay, the order of the blocks does not.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from msgspec.structs import replace

from coordinator.sim.swf import TraceJob

BLOCK = 128
"""Neighbours that stay together; fewer where a window has less than eight times as many."""


def training_windows(
    jobs: Sequence[TraceJob],
    tested: Collection[int],
    *,
    length: int,
    count: int,
    rng: np.random.Generator,
) -> list[tuple[TraceJob, ...]]:
    """`tested`: where windows of `length` begin whose jobs are not seen; none if hardly any are left."""
    rest = _outside(len(jobs), tested, length)
    begins = _pieces(rest, length)
    drawn = sorted(rng.choice(begins, size=min(count, len(begins)), replace=False).tolist())
    found = [tuple(jobs[begin : begin + length]) for begin in drawn]
    block = min(BLOCK, max(1, length // 8))
    blocks = [
        jobs[begin : begin + block]
        for low, high in rest
        for begin in range(low, high - block + 1, max(1, block // 4))
    ]
    if blocks:
        rows = rng.integers(len(blocks), size=(count - len(found), -(-length // block)))
        found += (_joined([blocks[each] for each in row])[:length] for row in rows.tolist())
    return found


def _outside(jobs: int, tested: Collection[int], length: int) -> list[tuple[int, int]]:
    """From where to where nothing is tested."""
    found, low = [], 0
    for begin in (*sorted(tested), jobs):
        if begin > low:
            found.append((low, begin))
        low = max(low, begin + length)
    return found


def _pieces(spans: Sequence[tuple[int, int]], length: int) -> list[int]:
    return [begin for low, high in spans for begin in range(low, high - length + 1, length)]


def _joined(blocks: Sequence[Sequence[TraceJob]]) -> tuple[TraceJob, ...]:
    """One after the other; between two lies the mean gap of the first."""
    found: list[TraceJob] = []
    at_s = 0
    for block in blocks:
        first_s = block[0].submitted_s
        found += (replace(job, submitted_s=at_s + job.submitted_s - first_s) for job in block)
        span_s = block[-1].submitted_s - first_s
        at_s += span_s + round(span_s / max(len(block) - 1, 1))
    return tuple(found)
