"""What a network is told of who could go next: one row of numbers for each candidate.

Candidates are who goes first under some base rule, of all and of those that fit now. A row is the queue (how
many, how long, how wide, how heavy, how patient, how much is free) and the candidate itself. All is relative
to the machine or in logarithms, so that rows mean the same on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from coordinator.core.scheduler.policies import BASE_RULES
from coordinator.core.scheduler.rollout import Item

RULES = tuple(BASE_RULES)
ROWS = 2 * len(RULES)
QUANTILES = (0.1, 0.5, 0.9)
FEATURES = 3 + 4 * len(QUANTILES) + 8


class Candidates(NamedTuple):
    """`places` in the line of who waits, ROWS of them, some more than once; a row for each."""

    places: list[int]
    rows: NDArray[np.float64]


def candidates(waiting: Sequence[Item], *, now_s: float, free: int, nodes: int) -> Candidates:
    """`waiting`: at least one, with their keys under `RULES`; `nodes`: of the machine."""
    table = np.array([(each.at_s, each.run_s, each.weight, each.nodes) for each in waiting])
    keys = np.array([each.keys for each in waiting])
    fits = table[:, 3] <= free
    fitting = np.where(fits[:, None], keys, np.inf)
    first = keys.argmin(axis=0)
    places = np.concatenate([first, np.where(fits.any(), fitting.argmin(axis=0), first)])
    described = np.column_stack(
        [
            np.log(table[:, 1]),
            np.log(table[:, 3] / nodes),
            np.log(table[:, 2]),
            np.log1p(np.maximum(now_s - table[:, 0], 0.0)),
        ]
    )
    queue = np.concatenate(
        [
            [np.log1p(len(waiting)), free / nodes, np.log1p(table[:, 3].sum() / nodes)],
            np.quantile(described, QUANTILES, axis=0).ravel() / 5.0,
        ]
    )
    middle = np.median(described, axis=0)
    own = np.column_stack(
        [
            described[places] / 5.0,
            (described[places, :3] - middle[:3]) / 2.0,
            fits[places],
        ]
    )
    return Candidates(places.tolist(), np.column_stack([np.tile(queue, (ROWS, 1)), own]))
