"""The cluster played forward: when what waits will start, on a model of what runs and of who goes first.

    start(e) = the first time at which `e` fits, if what is before it in the order was given its places first

One future is one draw of how long everything runs: predicted · run/predicted of jobs that are over (the
empirical distribution; of what runs already, of those ratios that it has not outlived). Ends that lie close
together happen at once, and tasks that are alike start together, so a future of 100,000 tasks takes some
hundreds of steps. Who comes later takes its place in the order then (`coming`). Who does not fit blocks
others as the `Discipline` says; with EASY it has a reservation made from the walltimes asked for (Lifka,
JSSPP'95; Mu'alem & Feitelson, TPDS'01).
"""

from __future__ import annotations

import heapq
import math
import operator
from bisect import bisect_left
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from coordinator.core.scheduler.gang_room import Wish, reserve

Amounts = NDArray[np.int64]
Times = NDArray[np.float64]

NOBODY = -1
_NO_ROWS: NDArray[np.intp] = np.zeros(0, dtype=np.intp)


class Discipline(StrEnum):
    """Who may start while the first in the order does not fit."""

    STRICT = "strict"  # nobody
    EASY = "easy"  # who cannot delay it
    FREE = "free"  # whoever fits


class Entry(NamedTuple):
    """`tasks` that are alike. `limit_s`: the walltime asked for, infinite without one.

    `ranks`: of a gang, which start at once or not at all, at most `most` on a node.
    """

    line: int
    tasks: int
    run_s: float  # as predicted
    limit_s: float
    at_s: float = -math.inf  # when it comes; before then it is not there
    ranks: int = 1
    most: int = 1


class Scene(Struct, frozen=True):
    """What is there now. Rows are nodes, columns resources.

    `ends`, `limits`: when what runs is over, as predicted and by its walltime; `begun`: since when it runs.
    `entries` are in the order in which they would start if all of them fitted; `requests` and `allowed`
    (where they may run) have a row for each line.
    """

    now_s: float
    free: Amounts
    rows: NDArray[np.intp]
    held: Amounts
    begun: Times
    ends: Times
    limits: Times
    requests: Amounts
    allowed: NDArray[np.bool_]
    entries: tuple[Entry, ...]
    discipline: Discipline = Discipline.EASY
    beside: bool = True  # EASY lets pass also what runs longer but leaves enough for the reservation


class Start(NamedTuple):
    """Of an entry; infinite where the future ended before."""

    first_s: float
    last_s: float
    mean_s: float


class Future(NamedTuple):
    """Of each entry when it starts and when the last of it ends; and how many steps that took.

    `rows`: of each entry the node on which the first of it starts, or NOBODY.
    """

    starts: tuple[Start, ...]
    ends_s: tuple[float, ...]
    steps: int
    rows: tuple[int, ...]


def play(
    scene: Scene,
    ratios: Times,
    rng: np.random.Generator,
    *,
    until: Sequence[int] = (),
    steps: int = 100_000,
    resolution: float = 0.0,
) -> Future:
    """One future, up to where the entries `until` have started, or all have.

    `ratios`: of run to predicted times, not empty. Ends within `resolution` of the time that has passed until
    then count as one. After `steps` placements and ends what has not started is left open.
    """
    run = _Run(scene, ratios, rng)
    left = steps
    while True:
        left -= run.start_what_fits(left)
        if left <= 0 or run.is_settled(until) or not run.advance(resolution):
            return run.future(steps - max(left, 0))
        left -= 1


class _Run:
    """The books of one future."""

    def __init__(self, scene: Scene, ratios: Times, rng: np.random.Generator) -> None:
        self._scene = scene
        self._ratios = np.sort(ratios)
        self._rng = rng
        self._now_s = scene.now_s
        self._free = scene.free.copy()
        self._rows, self._held, self._limits = scene.rows, scene.held, scene.limits
        self._ends = self._rests(scene)
        self._wanted = scene.requests > 0
        self._left = [entry.tasks for entry in scene.entries]
        self._first = [math.inf] * len(scene.entries)
        self._last = [math.inf] * len(scene.entries)
        self._total = [0.0] * len(scene.entries)
        self._row = [NOBODY] * len(scene.entries)
        self._over = [math.inf] * len(scene.entries)
        self._fresh: list[
            tuple[NDArray[np.intp], Amounts, Times, Times]
        ] = []  # started, not in the books yet
        self._lines: list[list[int]] = [[] for _ in scene.requests]
        self._coming: list[tuple[float, int]] = []
        for place in range(len(scene.entries) - 1, -1, -1):
            entry = scene.entries[place]
            if entry.at_s > scene.now_s:
                self._coming.append((entry.at_s, place))
            else:
                self._lines[entry.line].append(place)  # the first one last, to be popped
        self._coming.sort(reverse=True)
        self._ready = [line[-1] for line in self._lines if line]
        heapq.heapify(self._ready)
        self._blocked = np.zeros(len(self._lines), dtype=np.bool_)
        self._waiting = sum(count > 0 for count in self._left)
        self._head = NOBODY
        self._reserved = _NO_ROWS
        self._reserved_s = math.inf
        self._spare = np.zeros((0, scene.free.shape[1]), dtype=np.int64)

    def _rests(self, scene: Scene) -> Times:
        """When what runs is over: a ratio that it has not outlived, or by chance as long again."""
        predicted = np.maximum(scene.ends - scene.begun, 1.0)
        passed = np.maximum(scene.now_s - scene.begun, 0.0)
        first = np.searchsorted(self._ratios, passed / predicted, side="right")
        known = len(self._ratios)
        drawn = first + np.floor(self._rng.random(len(first)) * (known - first)).astype(np.intp)
        longer = passed * (1.0 + self._rng.exponential(1.0, len(first)))
        run = np.where(first < known, predicted * self._ratios[np.minimum(drawn, known - 1)], longer)
        found: Times = np.maximum(np.minimum(scene.begun + run, scene.limits), scene.now_s + 1.0)
        return found

    def is_settled(self, until: Sequence[int]) -> bool:
        return not any(self._left[place] for place in until) if until else not self._waiting

    def advance(self, resolution: float) -> bool:
        """To the next ends or arrival; False if nothing runs and nobody comes."""
        self._take_in()
        next_s = float(self._ends.min(initial=math.inf))
        if self._coming and self._coming[-1][0] <= next_s:
            at_s, place = self._coming.pop()
            self._now_s = max(self._now_s, at_s)
            self._line_up(place)
            return True
        if next_s == math.inf:
            return False
        over = self._ends <= next_s + (next_s - self._scene.now_s) * resolution
        self._now_s = float(self._ends[over].mean())  # the last one instead would put off all that follows
        rows = self._rows[over]
        np.add.at(self._free, rows, self._held[over])
        going_on = ~over
        self._rows, self._held = self._rows[going_on], self._held[going_on]
        self._ends, self._limits = self._ends[going_on], self._limits[going_on]
        self._unblock(np.unique(rows))
        return True

    def _line_up(self, place: int) -> None:
        """One more waits. For whom places are reserved stays the first of its line."""
        number = self._scene.entries[place].line
        line = self._lines[number]
        behind_head = bool(line) and line[-1] == self._head
        at = bisect_left(line, -place, hi=len(line) - behind_head, key=operator.neg)
        line.insert(at, place)
        if at < len(line) - 1:
            return
        if at and not self._blocked[number]:
            self._ready.remove(line[-2])
            heapq.heapify(self._ready)
        self._blocked[number] = False
        heapq.heappush(self._ready, place)

    def _take_in(self) -> None:
        """Add what has started to what runs: at once for many, as each time all of it is copied."""
        if self._fresh:
            rows, held, ends, limits = zip(*self._fresh, strict=True)
            self._rows = np.concatenate((self._rows, *rows))
            self._held = np.concatenate((self._held, *held))
            self._ends = np.concatenate((self._ends, *ends))
            self._limits = np.concatenate((self._limits, *limits))
            self._fresh.clear()

    def _unblock(self, rows: NDArray[np.intp]) -> None:
        """Lines that were blocked and whose tasks fit on one of these nodes now."""
        lines = np.flatnonzero(self._blocked)
        fits = (self._scene.requests[lines, None, :] <= self._free[rows]).all(axis=2)
        able = lines[(fits & self._scene.allowed[np.ix_(lines, rows)]).any(axis=1)]
        self._blocked[able] = False
        for line in able.tolist():
            heapq.heappush(self._ready, self._lines[line][-1])

    def start_what_fits(self, most: int) -> int:
        """In the order; returns how many placements were tried, at most `most`."""
        strict = self._scene.discipline is Discipline.STRICT
        tried = 0
        while self._ready and tried < most:
            if strict and self._head != NOBODY:
                if self._blocked[self._scene.entries[self._head].line]:
                    break
                place = self._head  # also before those who came since, and would go before it
                self._ready.remove(place)
                heapq.heapify(self._ready)
            else:
                place = heapq.heappop(self._ready)
            line = self._scene.entries[place].line
            tried += 1
            self._place(place)
            if self._left[place]:
                self._blocked[line] = True
                self._note_blocked(place)
                continue
            if place == self._head:
                self._head, self._reserved = NOBODY, _NO_ROWS
                self._free_all_lines()
            self._lines[line].pop()
            self._waiting -= 1
            if self._lines[line]:
                heapq.heappush(self._ready, self._lines[line][-1])
        return tried

    def _free_all_lines(self) -> None:
        """Who was kept off by the reservation may go, and who is first among the blocked reserves next."""
        for line in np.flatnonzero(self._blocked).tolist():
            heapq.heappush(self._ready, self._lines[line][-1])
        self._blocked[:] = False

    def _note_blocked(self, place: int) -> None:
        if self._head != NOBODY or self._scene.discipline is Discipline.FREE:
            return
        line = self._scene.entries[place].line
        if self._scene.discipline is Discipline.EASY:
            if not self._scene.allowed[line].any():
                return  # what can start nowhere keeps nobody waiting
            if self._scene.entries[place].ranks == 1:
                self._reserve(line)
            elif not self._reserve_gang(place):
                return
        self._head = place

    def _reserve(self, line: int) -> None:
        """The node and the time at which one task of `line` fits at the latest, by what was asked for."""
        self._take_in()
        request = self._scene.requests[line]
        among = self._scene.allowed[line][self._rows] & np.isfinite(self._limits)
        rows, limits, held = self._rows[among], self._limits[among], self._held[among]
        order = np.lexsort((limits, rows))
        rows, limits = rows[order], limits[order]
        freed = held[order].cumsum(axis=0)
        begins = np.searchsorted(rows, rows, side="left")
        before = np.concatenate((np.zeros((1, held.shape[1]), dtype=np.int64), freed))[begins]
        left = self._free[rows] + freed - before - request
        enough = np.flatnonzero((left >= 0).all(axis=1))
        if len(enough):
            first = enough[np.argmin(limits[enough])]
            self._reserved, self._reserved_s = rows[first : first + 1], float(limits[first])
            self._spare = left[first : first + 1].copy()
        else:  # nothing promises to end: the nearest node is kept
            short = np.maximum(request - self._free, 0) / np.maximum(request, 1)
            distance = np.where(self._scene.allowed[line], short.sum(axis=1), math.inf)
            self._reserved, self._reserved_s = np.array([distance.argmin()], dtype=np.intp), math.inf
            self._spare = np.zeros((1, len(request)), dtype=np.int64)

    def _reserve_gang(self, place: int) -> bool:
        """The same for all ranks of a gang at once. False: they could start nowhere."""
        self._take_in()
        kept = reserve(
            self._wish(self._scene.entries[place]), self._free, self._rows, self._held, self._limits
        )
        if kept is None:
            return False
        self._reserved, self._reserved_s, self._spare = kept
        return True

    def _wish(self, entry: Entry) -> Wish:
        line = entry.line
        return Wish(entry.ranks, entry.most, self._scene.requests[line], self._scene.allowed[line])

    def _place(self, place: int) -> None:
        """As many of the entry as there is room for, the fullest nodes first."""
        entry = self._scene.entries[place]
        if entry.ranks > 1:
            self._place_gangs(place, entry)
            return
        room = self._room(place, entry)
        able = np.flatnonzero(room > 0)
        if not len(able):
            return
        if len(able) > 1:
            able = able[np.argsort(self._free[able].sum(axis=1), kind="stable")]
        self._start(place, able, room[able], self._left[place])

    def _place_gangs(self, place: int, entry: Entry) -> None:
        """Those of which all ranks fit at once, each on few nodes."""
        while self._left[place]:
            room = np.minimum(self._room(place, entry), entry.most)
            if room.sum() < entry.ranks:
                return
            able = np.argsort(-room, kind="stable")[: int((room > 0).sum())]
            self._start(place, able, room[able], entry.ranks)

    def _start(self, place: int, able: NDArray[np.intp], room: Amounts, number: int) -> None:
        """At most so many tasks, or the ranks of one, on the nodes in this order."""
        entry = self._scene.entries[place]
        counts = np.diff(np.minimum(room.cumsum(), number), prepend=0)
        rows = able[counts > 0]
        counts = counts[counts > 0]
        amounts = counts[:, None] * self._scene.requests[entry.line]
        self._free[rows] -= amounts
        draws = len(rows) if entry.ranks == 1 else 1  # ranks end together
        drawn = self._ratios[self._rng.integers(len(self._ratios), size=draws)]
        run_s = np.minimum(np.maximum(entry.run_s * drawn, 1.0), entry.limit_s)
        limit_s = self._now_s + entry.limit_s
        if place != self._head:
            self._charge_spare(rows, amounts, limit_s)
        ends = np.broadcast_to(self._now_s + run_s, len(rows))
        self._fresh.append((rows, amounts, ends, np.full(len(rows), limit_s)))
        if self._row[place] == NOBODY:
            self._row[place] = int(rows[0])
        started = int(counts.sum()) // entry.ranks
        self._note_started(place, started, self._now_s + float(run_s.max()))

    def _room(self, place: int, entry: Entry) -> Amounts:
        """How many tasks of the entry each node takes now."""
        request, wanted = self._scene.requests[entry.line], self._wanted[entry.line]
        if not wanted.any():
            return np.where(self._scene.allowed[entry.line], self._left[place] * entry.ranks, 0)
        room: Amounts = (self._free[:, wanted] // request[wanted]).min(axis=1)
        room[~self._scene.allowed[entry.line]] = 0
        rows = self._reserved
        if len(rows) and place != self._head and self._now_s + entry.limit_s >= self._reserved_s:
            beside = (self._spare[:, wanted] // request[wanted]).min(axis=1) if self._scene.beside else 0
            room[rows] = np.minimum(room[rows], beside)
        return np.maximum(room, 0)

    def _charge_spare(self, rows: NDArray[np.intp], amounts: Amounts, limit_s: float) -> None:
        """What still runs when the reservation begins takes from what it leaves."""
        if len(self._reserved) and limit_s >= self._reserved_s:
            at = np.minimum(np.searchsorted(self._reserved, rows), len(self._reserved) - 1)
            kept = self._reserved[at] == rows
            self._spare[at[kept]] -= amounts[kept]

    def _note_started(self, place: int, count: int, ends_s: float) -> None:
        if self._first[place] == math.inf:
            self._first[place] = self._now_s
            self._over[place] = 0.0
        self._left[place] -= count
        self._total[place] += count * self._now_s
        self._over[place] = max(self._over[place], ends_s)
        if not self._left[place]:
            self._last[place] = self._now_s

    def future(self, steps: int) -> Future:
        entries = self._scene.entries
        starts = tuple(
            Start(first, last, total / entry.tasks if last < math.inf else math.inf)
            for first, last, total, entry in zip(self._first, self._last, self._total, entries, strict=True)
        )
        ends = tuple(
            over if last < math.inf else math.inf for over, last in zip(self._over, self._last, strict=True)
        )
        return Future(starts, ends, steps, tuple(self._row))
