"""What a comparison of database, memory and nodes found."""

from __future__ import annotations

from msgspec import Struct


class Violation(Struct, kw_only=True):
    """Something that must not be. `invariant`: "I1" … "I10" of docs/reliability.md."""

    invariant: str
    what: str
    object: str = ""  # a job, task, attempt or node
    hint: str = ""


class Verification(Struct, kw_only=True):
    """What `cluster.verify` looked at and found.

    `checked`: number of things compared, by kind. `silent`: nodes that could not be asked.
    """

    at: float
    epoch: int
    checked: dict[str, int]
    violations: list[Violation] = []
    silent: list[str] = []
    took_s: float = 0.0
