"""Who is to get the key of an encrypted pool, and from where. Pure.

The key lies on the pool's nodes and nowhere else: a node that lacks it gets it from one that has it, through
the coordinator, which forgets it then. Another one is made only for a pool in which nothing is kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from msgspec import Struct


class Part(Struct, frozen=True, kw_only=True):
    """A node's part of a pool. `answered`: it said how that is. `keyless`: it lacks the key."""

    node: str
    answered: bool = True
    keyless: bool = False


class Way(StrEnum):
    """What is to be done for those that lack the key."""

    NONE = "none"
    ASK = "ask"
    MAKE = "make"
    WAIT = "wait"


def plan_key(parts: Iterable[Part], *, is_known: bool, is_empty: bool) -> tuple[Way, str]:
    """The way, and the node that is asked. `is_known`: we have it now; `is_empty`: nothing is in the pool."""
    every = list(parts)
    heard = [each for each in every if each.answered]
    if not any(each.keyless for each in heard):
        return Way.NONE, ""
    if is_known:
        return Way.WAIT, ""
    holders = [each.node for each in heard if not each.keyless]
    if holders:
        return Way.ASK, holders[0]
    return (Way.MAKE if is_empty and len(heard) == len(every) else Way.WAIT), ""
