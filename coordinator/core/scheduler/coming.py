"""Who may come while somebody waits: arrivals drawn from the latest ones, each at its place in the order.

A circular block bootstrap (Politis & Romano, 1992): whole stretches of the latest arrivals follow each other
as they did, gaps included. Drawn one by one they would come evenly, and real ones come in bursts of jobs that
are alike. Whoever of them goes before a task that waits makes it wait longer.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from coordinator.core.scheduler.forward import Entry, Scene

ARRIVALS = 256
"""Drawn for one future; after them nobody comes."""

BLOCK_LEAST, BLOCK_MOST = 8, 32
"""Arrivals that follow each other as they did."""

LEAST = 12
"""Before so many came nobody knows at what pace they do."""

Place = tuple[float, int, float, float]
"""Of an entry in the order: class, priority the other way round, key, and its number."""


class Newcomer(Struct, frozen=True):
    """One of the latest arrivals: how it would stand and what it would be, if it came again.

    `gap_s`: after the one before it. `standing`: its class but for its age. `key`: its place in that.
    """

    gap_s: float
    standing: int
    priority: int
    key: float
    entry: Entry


def gaps(ats_s: Sequence[float], *, now_s: float) -> list[float]:
    """Of each arrival after the one before; of the oldest after the newest, as if all of it began again."""
    if not ats_s:
        return []
    between = [later - earlier for earlier, later in pairwise(ats_s)]
    mean_s = sum(between) / max(len(between), 1)
    return [max(now_s - ats_s[-1], mean_s), *between]


class Coming(Struct, frozen=True):
    """The latest arrivals, and the places of a scene's entries among which they would come."""

    places: tuple[Place, ...] = ()
    latest: tuple[Newcomer, ...] = ()
    ageing_s: float = math.inf

    @property
    def varies(self) -> bool:
        """Whether enough came to tell at what pace."""
        return len(self.latest) >= LEAST

    def join(self, scene: Scene, rng: np.random.Generator) -> tuple[Scene, list[int]]:
        """The scene with one draw of arrivals, and where its own entries are in that."""
        own = list(range(len(scene.entries)))
        if not self.varies:
            return scene, own
        drawn = _blocks(len(self.latest), rng)
        gaps_s = np.array([each.gap_s for each in self.latest])
        ats_s = scene.now_s + gaps_s[drawn].cumsum()
        found = []
        for number, at_s in zip(drawn.tolist(), ats_s.tolist(), strict=True):
            each = self.latest[number]
            aged = math.floor(at_s / self.ageing_s) + each.standing
            place = (aged, -each.priority, each.key, math.inf)
            found.append((place, at_s, each.entry))
        found.sort(key=lambda one: one[:2])
        entries: list[Entry] = []
        taken = 0
        for place, at_s, entry in found:
            upto = bisect_right(self.places, place, lo=taken)
            entries += scene.entries[taken:upto]
            own[taken:upto] = range(len(entries) - upto + taken, len(entries))
            entries.append(entry._replace(at_s=at_s))
            taken = upto
        own[taken:] = range(len(entries), len(entries) + len(scene.entries) - taken)
        entries += scene.entries[taken:]
        return replace(scene, entries=tuple(entries)), own


def _blocks(latest: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Numbers of arrivals, block after block; after the newest comes the oldest again."""
    count = ARRIVALS // BLOCK_LEAST
    lengths = rng.integers(BLOCK_LEAST, BLOCK_MOST + 1, size=count).tolist()
    firsts = rng.integers(latest, size=count).tolist()
    blocks = [np.arange(first, first + length) for first, length in zip(firsts, lengths, strict=True)]
    return np.concatenate(blocks)[:ARRIVALS] % latest


NOBODY_COMES = Coming()
