"""What a job asks of its places beyond what it needs: as data, for `affinity` to weigh."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from bus.values import NodeName

OWN = 0
"""Stands for the job's own number until that is known."""


class Arrangement(StrEnum):
    """How the tasks of one job lie to each other."""

    ANY = ""
    PACK = "pack"  # on few nodes
    SPREAD = "spread"  # on many


class Preferred(Struct, frozen=True):
    """Nodes with this label, as much as `weight` tells."""

    label: str
    value: str
    weight: int


class Avoided(Struct, frozen=True):
    """Nodes that run tasks of this job: as much as `weight` tells, or never (None)."""

    job: int
    weight: int | None


class Held(Struct, frozen=True):
    """Content that lies on `nodes`: elsewhere it must be brought, which counts `weight`."""

    nodes: tuple[NodeName, ...]
    weight: int


class Wishes(Struct, frozen=True):
    """`job`: whose tasks are meant, 0 where its own do not matter.

    `topology`: a label whose values are filled one after the other, or spread over, before nodes are.
    """

    job: int = OWN
    prefer: tuple[Preferred, ...] = ()
    avoid: tuple[Avoided, ...] = ()
    arrangement: Arrangement = Arrangement.ANY
    topology: str = ""
    held: tuple[Held, ...] = ()

    def of_job(self, number: int) -> Wishes:
        """The same with "own" spelled out, where it matters whose tasks they are."""
        avoid = tuple(Avoided(each.job or number, each.weight) for each in self.avoid)
        own = any(each.job == OWN for each in self.avoid) or self.arrangement is not Arrangement.ANY
        own = own or bool(self.held)  # where it has tasks, its content is
        return replace(self, job=number if own else OWN, avoid=avoid)

    @property
    def never(self) -> tuple[int, ...]:
        """The jobs that no task of it may share a node with."""
        return tuple(each.job for each in self.avoid if each.weight is None)
