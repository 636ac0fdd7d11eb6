"""On how many nodes a backup lies, and when another copy of it is begun or let go of. Pure.

A node that is away for a while costs nothing: what lies there counts until it was lost for `grace_s`. Then
a copy is begun elsewhere, and the lost one is let go of only when as many as are wanted lie on nodes that
answer; whoever is back before keeps what it has, and what was begun meanwhile goes.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

AT_ONCE = 4
"""So many copies are made again at a time: a node that is lost with thousands floods nobody."""


class Lying(Struct, frozen=True, kw_only=True):
    """A copy. `ready`: its node said that it has it; `there`: that node answers, and is lost for `away_s`.

    `damaged` ones are repaired where they are. `used`: a volume is being filled with it.
    """

    id: str
    ready: bool = True
    there: bool = True
    away_s: float = 0.0
    damaged: bool = False
    used: bool = False


class Plan(Struct, frozen=True, kw_only=True):
    """`begin` so many copies more; let go of those in `drop`; nobody waits for those that are `lost`."""

    begin: int = 0
    drop: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


def plan_backup(copies: Sequence[Lying], *, wanted: int, has_source: bool, most: int, grace_s: float) -> Plan:
    """What is to be done about one backup, of which there are `copies`, the oldest first.

    `has_source`: another could be made. At most `most` are begun.
    """
    whole = [each for each in copies if each.ready and each.there and not each.damaged]
    if len(whole) >= wanted:
        kept = {each.id for each in whole[:wanted]}
        return Plan(drop=tuple(each.id for each in copies if each.id not in kept and not each.used))
    lost = tuple(
        each.id for each in copies if each.ready and not each.damaged and is_given_up(each, grace_s=grace_s)
    )
    lacking = wanted - (len(copies) - len(lost))
    return Plan(begin=max(min(lacking, most), 0) if has_source else 0, lost=lost)


def is_given_up(copy: Lying, *, grace_s: float) -> bool:
    """Whether nobody waits any more for what lies on a node that is lost."""
    return not copy.there and copy.away_s > 0.0 and copy.away_s >= grace_s
