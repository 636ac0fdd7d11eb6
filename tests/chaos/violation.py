"""What the judge finds."""

from __future__ import annotations

from msgspec import Struct


class Violation(Struct, frozen=True, kw_only=True):
    """`rule` names the invariant of the promise that was broken; `evidence` holds the lines that show it."""

    rule: str
    what: str
    evidence: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n    ".join((f"{self.rule}: {self.what}", *self.evidence))
