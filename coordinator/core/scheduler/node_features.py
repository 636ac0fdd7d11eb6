"""What is seen of nodes with GPUs: what their values are linear in (`after_state`).

Amounts of GPU are in GPUs. Sums over a node's GPUs come from a table, by how much of one is free: a placement
changes them by the difference of two of its lines, whatever else is on the node.

    F of a class    Σ p_m · f_n(m) over the typical requests m of that class (`fragmentation`)
    whole, parts    GPUs that are free, and those of which a part is
    squares         Σ (part)²: two halves are worth less than a whole and nothing
    untouched       whether nothing runs there, of nodes with GPUs
    sizes           how many of 2, 4, 8, 16 whole GPUs fit: rare tasks want them, too few to be typical
    lean, rich      g · exp(−r / q): free GPUs that have few processors left, r for each; q: the lower and the
                    upper quartile of what typical requests want for each GPU
    lopsided        g · |c / C − g / G|: free GPUs and processors that run out apart
    largest         the highest of the levels that typical requests want which a part still has
    bare …          of nodes without GPUs: |c / C − m / M|, and how many GPUs' worth of processors are free
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from coordinator.core.scheduler.fragmentation import Typical
from coordinator.core.scheduler.gpus import ABSENT, WHOLE, Floats, Ints, Mask, Request, Whole

CLASSES = ("no GPU", "small part", "middle part", "large part", "lean GPU", "rich GPU", "several GPUs")
"""Of requests. Parts by thirds; one whole GPU by whether it comes with more processors than the median."""

TRAITS = ("whole", "parts", "squares", "untouched", "sizes", "lean", "rich", "lopsided", "largest")
BARE = ("bare lopsided", "bare free")
NAMES = (*(f"F of {name}" for name in CLASSES), *TRAITS, *BARE)

_SHARES = np.arange(ABSENT, WHOLE + 1) / WHOLE
_QUARTILES = (0.25, 0.5, 0.75)
CLASS_REACH = 2.0
_SHARE_MIN = 0.02
_SIZES = np.array([2, 4, 8, 16])


class NodeFeatures:
    """The features under what is typical; rows are nodes."""

    def __init__(self, typical: Typical) -> None:
        self._typical = typical
        self._levels = len(typical.levels)
        self._steps: Floats = np.diff(typical.levels, prepend=0) / WHOLE
        self._table = _table(typical.levels)
        wants = _processors_per_gpu(typical)
        self._lean, self._median, self._rich = (
            _quantile(wants, typical.shares, share) for share in _QUARTILES
        )
        self._class_of = np.zeros((len(typical.requests), len(CLASSES)))
        for place, (request, share) in enumerate(zip(typical.requests, typical.shares, strict=True)):
            self._class_of[place, _class(request, self._median)] = share
        self.reach: Floats = np.concatenate(
            [
                CLASS_REACH / np.maximum(self._class_of.sum(axis=0), _SHARE_MIN),
                np.ones(len(TRAITS)),
                np.zeros(len(BARE)),
            ]
        )
        """What changes of each weight are alike, in what they do: a class that is rare needs a large one."""

    def sums(self, gpus: Ints) -> Floats:
        """Over each node's GPUs, given what each has free; shape (rows, sums)."""
        found: Floats = self._table[gpus - ABSENT].sum(axis=1)
        return found

    def change(self, old: Ints, new: Ints, number: Ints) -> Floats:
        """Of the sums when `number` GPUs of a node go from `old` to `new`."""
        found: Floats = (self._table[new - ABSENT] - self._table[old - ABSENT]) * number[:, None]
        return found

    def of(self, sums: Floats, cpu: Ints, memory: Ints, whole: Whole) -> Floats:
        """Shape (rows, features), in the order of `NAMES`."""
        levels = self._levels
        total, full, parts, squares = sums[:, 2 * levels :].T
        typical = self._typical
        there, low = sums[:, :levels], sums[:, levels : 2 * levels]
        runs = (cpu[:, None] >= typical.cpu) & (there[:, typical.level_of] >= typical.gpus)
        unusable = np.where(runs & typical.wants_gpu, low[:, typical.level_of], total[:, None])
        found = np.empty((len(sums), len(NAMES)))
        found[:, : len(CLASSES)] = unusable @ self._class_of
        cpu_share = cpu / np.maximum(whole.cpu, 1)
        gpu_share = total / np.maximum(whole.gpus, 1)
        per_gpu = cpu / np.maximum(total, 1 / WHOLE)
        bare = whole.gpus == 0
        found[:, len(CLASSES) :] = np.array(
            [
                full,
                parts,
                squares,
                (full == whole.gpus) & ~bare,
                (full[:, None] >= _SIZES).sum(axis=1),
                total * np.exp(-per_gpu / self._lean),
                total * np.exp(-per_gpu / self._rich),
                total * np.abs(cpu_share - gpu_share),
                ((there > full[:, None]) & (typical.levels > 0)) @ self._steps,
                bare * np.abs(cpu_share - memory / np.maximum(whole.memory, 1)),
                bare * cpu / self._median,
            ]
        ).T
        return found


class Moves(NamedTuple):
    """Ways to place requests: `which` of the rows, on which `gpu`, and what becomes of its GPUs."""

    which: Ints
    gpu: Ints
    old: Ints
    new: Ints
    number: Ints


def moves(gpus: Ints, shares: Mask, milli: Ints, number: Ints) -> Moves:
    """All that differ: of GPUs with equally much free, the first. What is asked for is given by row.

    Rows have room. Who shares has a choice of GPUs; others take the first whole ones.
    """
    open_to = np.zeros(gpus.shape, dtype=np.bool_)
    open_to[:, 0] = ~shares
    sharing = gpus[shares]
    earlier = np.tri(gpus.shape[1], k=-1, dtype=np.bool_)
    twin = ((sharing[:, :, None] == sharing[:, None, :]) & earlier).any(axis=2)
    open_to[shares] = (sharing >= milli[shares, None]) & ~twin
    which, gpu = np.nonzero(open_to)
    asked = milli[which]
    old = np.where(shares[which], gpus[which, gpu], np.where(asked > 0, WHOLE, 0))
    return Moves(which, gpu, old, old - asked, number[which])


def _table(levels: Ints) -> Floats:
    """By what is free of a GPU: whether each level fits, what is free where it does not; the traits' sums."""
    free = np.maximum(_SHARES, 0.0)
    fits = _SHARES[:, None] * WHOLE >= levels - 0.5
    partly = (free > 0) & (free < 1)
    traits = np.array([free, free == 1, partly, free**2 * partly]).T
    return np.hstack([fits, np.where(fits, 0.0, free[:, None]), traits])


def _class(request: Request, median: float) -> int:
    if not request.milli:
        return 0
    if request.gpus > 1:
        return 6
    if request.milli < WHOLE:
        return 1 + 3 * request.milli // WHOLE
    return 4 if request.cpu_millis <= median else 5


def _processors_per_gpu(typical: Typical) -> Floats:
    """Thousandths of a processor; infinite where no GPU is wanted."""
    gpu = typical.gpus * typical.levels[typical.level_of] / WHOLE
    found: Floats = np.where(gpu > 0, typical.cpu / np.maximum(gpu, 1 / WHOLE), np.inf)
    return found


def _quantile(values: Floats, shares: Floats, share: float) -> float:
    """Of the finite ones, weighted; 1 where there is none."""
    order = np.argsort(values, kind="stable")
    order = order[np.isfinite(values[order])]
    if not order.size:
        return 1.0
    covered = shares[order].cumsum()
    place = int(np.searchsorted(covered, share * covered[-1]))
    return max(float(values[order[place]]), 1.0)
