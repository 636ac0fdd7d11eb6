"""Ids that follow from others: whoever knows a job's id knows those of its tasks."""

from __future__ import annotations

from uuid import UUID

_INDEX_MASK = (1 << 32) - 1
_RANGE_BIT = 1 << 31


def task_id(job_id: UUID, index: int) -> UUID:
    """A task's id: its job's, whose low 32 bits are zero, with index + 1 in them."""
    return UUID(int=(job_id.int & ~_INDEX_MASK) | (index + 1))


def range_id(job_id: UUID, first: int) -> UUID:
    """The id of the row that stands for a range's untouched elements: as a task's, with the top bit set."""
    return UUID(int=(job_id.int & ~_INDEX_MASK) | _RANGE_BIT | (first + 1))


def is_range_id(identity: UUID) -> bool:
    """Whether `range_id` made this id."""
    return bool(identity.int & _RANGE_BIT)
