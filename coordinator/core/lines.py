"""Waiting lines: one a shape, a heap of what waits in it. Who is first is `scheduler.order`'s to say."""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct, field

from bus.values import UserName

if TYPE_CHECKING:
    from coordinator.core.model import Group, Job, Task


class Waiting(NamedTuple):
    """An entry of a waiting line. Smaller goes first; `sequence` is unique, so the rest is never compared."""

    aged: int  # the priority with the job's age and its owner's level in it, see `scheduler.order.standing`
    priority: int  # negated
    key: float
    sequence: int
    since_s: float  # when it began to wait
    entry: Group | Task

    @property
    def place(self) -> tuple[int, int, float, int]:
        """All that is compared."""
        return self[:4]

    @property
    def wants_place(self) -> bool:
        return self.entry.wants_place

    @property
    def group(self) -> Group:
        return self.entry.group

    @property
    def job(self) -> Job:
        return self.entry.group.job


class Line(Struct, eq=False):
    """The waiting line of one shape: a heap of groups with untouched elements and of single tasks.

    `keyed_by`: the policy whose keys its entries have, as of `keyed_s`.
    """

    entries: list[Waiting] = field(default_factory=list)
    keyed_by: str = ""
    keyed_s: float = -math.inf

    def push(self, waiting: Waiting) -> None:
        heapq.heappush(self.entries, waiting)

    def head(self) -> Waiting | None:
        """The first entry that still wants a place; entries that no longer do are dropped here."""
        while self.entries:
            first = self.entries[0]
            if first.wants_place:
                return first
            self.pop()
        return None

    def first(self, most: int) -> list[tuple[int, Waiting]]:
        """The first `most` entries in their order, each with its index; without what wants no place."""
        reached = [(waiting, 0) for waiting in self.entries[:1]]
        found: list[tuple[int, Waiting]] = []
        for _ in range(most):
            if not reached:
                break
            waiting, index = heapq.heappop(reached)
            if waiting.wants_place:
                found.append((index, waiting))
            for below in range(2 * index + 1, min(2 * index + 3, len(self.entries))):
                heapq.heappush(reached, (self.entries[below], below))
        return found

    def promote(self, index: int) -> Waiting:
        """Make an entry the head, whatever its place; who it was is answered, for `settle`."""
        promoted, before_all = self.entries[index], self.entries[0].aged - 1
        while index:
            above = (index - 1) // 2
            self.entries[index] = self.entries[above]
            index = above
        self.entries[0] = promoted._replace(aged=before_all)
        return promoted

    def settle(self, promoted: Waiting) -> None:
        """What was promoted has had its turn: if it is still in the line, it goes back to its place."""
        if self.entries and self.entries[0].entry is promoted.entry:
            heapq.heapreplace(self.entries, promoted)

    def pop(self) -> None:
        heapq.heappop(self.entries).entry.in_line = False

    def shift(self, moved: Mapping[UserName, int]) -> None:
        """The work of these stands so many steps further back than before."""
        changed = False
        for place, waiting in enumerate(self.entries):
            steps = moved.get(waiting.entry.group.job.owner)
            if steps:  # with no function in between: there may be 100,000 of them
                self.entries[place] = tuple.__new__(Waiting, (waiting[0] + steps, *waiting[1:]))
                changed = True
        if changed:
            heapq.heapify(self.entries)

    def reclass(self, job: Job, aged: int) -> None:
        """The entries of `job` go to the place of its new priority, behind those who had it longer."""
        changed = False
        for place, waiting in enumerate(self.entries):
            if waiting.job is job:
                self.entries[place] = waiting._replace(aged=aged, priority=-job.priority)
                changed = True
        if changed:
            heapq.heapify(self.entries)

    def remove(self, job: Job) -> None:
        """Take out every entry of `job`."""
        kept = []
        for waiting in self.entries:
            if waiting.job is not job:
                kept.append(waiting)
            else:
                waiting.entry.in_line = False
        self.entries = kept
        heapq.heapify(kept)
