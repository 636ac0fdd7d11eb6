"""The ranks of a gang while any of them is live: what each one's attempt is, and how those that ended did.

A gang is one task. Its ranks share a fence, so all of an older try are fenced off at once; each has an
attempt, a place in the ledger of its node and a row of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, field

from bus.values import AttemptState, NodeName

if TYPE_CHECKING:
    from coordinator.core.model import Attempt


class RankEnd(Struct, frozen=True, kw_only=True):
    """How a rank of the newest try ended. `cancelling`: somebody had cancelled the task by then."""

    rank: int
    node: NodeName
    state: AttemptState
    at_s: float
    exit_code: int | None = None
    signal: int | None = None
    message: str = ""
    cancelling: bool = False


class Ranks(Struct, eq=False):
    """`port`: where rank 0 meets the others, as its agent chose; 0: not known. `gone`: told to start."""

    live: dict[int, Attempt] = field(default_factory=dict)
    ends: list[RankEnd] = field(default_factory=list)
    port: int = 0
    gone: bool = False

    @property
    def first(self) -> Attempt | None:
        """Of the lowest live rank."""
        return self.live[min(self.live)] if self.live else None

    @property
    def began_at(self) -> float | None:
        """When the first of those that are live started."""
        started = [each.started_at for each in self.live.values() if each.started_at is not None]
        return min(started, default=None)

    @property
    def in_order(self) -> list[Attempt]:
        """The live ones by rank."""
        return [self.live[rank] for rank in sorted(self.live)]
