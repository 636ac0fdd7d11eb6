"""How jobs that are over ended, for those that run after them: as a whole, and task by task.

A bit a task says whether it completed. It is kept where a job has no more than ELEMENTS_MAX tasks, for
nothing may correspond to a larger one, and where not all of them completed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from coordinator.core.model import Group, Job

ELEMENTS_MAX = 100_000
"""Tasks of a group that waits element by element: each gets a row as soon as it may start."""


class JobEnd(Struct, frozen=True):
    """`completed`: all of it did. `tasks`: how many it had; 0: nobody knows. `done`: a bit for each of them
    that did; None: nobody knows."""

    completed: bool
    tasks: int = 0
    done: bytes | None = None

    def has_completed(self, index: int) -> bool:
        """Whether one task of it did; where nobody knows, it did not."""
        if self.completed:
            return True
        byte, bit = divmod(index, 8)
        return self.done is not None and byte < len(self.done) and bool(self.done[byte] >> bit & 1)


def end_of(job: Job) -> JobEnd:
    """Of a job that is over, as it is in memory."""
    if job.completed == job.total:
        return JobEnd(True, job.total)
    if job.total > ELEMENTS_MAX:
        return JobEnd(False, job.total)
    bits = 0
    for group in job.groups:
        bits |= _bits(group) << group.first
    return JobEnd(False, job.total, bits.to_bytes((job.total + 7) // 8, "little"))


def bits_of(ranges: Iterable[tuple[int, int]], tasks: int) -> bytes:
    """`done` of a job of so many tasks that completed from each first index to before each second."""
    found = bytearray((tasks + 7) // 8)
    for first, end in ranges:
        for index in range(first, end):
            found[index >> 3] |= 1 << (index & 7)
    return bytes(found)


def _bits(group: Group) -> int:
    if not group.is_range:
        return int(group.completed > 0)
    return int.from_bytes(group.done or b"", "little")
