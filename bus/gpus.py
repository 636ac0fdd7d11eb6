"""GPUs by themselves: what agents say is wrong with one, and what people see of them and do to them."""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Struct

from bus.operation import Operation
from bus.requests import Request
from bus.values import Role


class GpuFault(Struct, frozen=True, kw_only=True):
    """What an agent sees of a GPU. `kind`: of RULES, or a word of a newer agent.

    `mark` names the occurrence: it stays the same while nothing new happens, also over restarts of the agent
    where what happened can still be read from the device. A release forgives marks.
    """

    uuid: str
    kind: str
    mark: str
    reason: str


class Rule(NamedTuple):
    """What follows from a kind of fault: the GPU gets no new task in any case.

    `ends`: tasks that run on it are queued again. `heals`: it is given out again as soon as its agent no
    longer tells of it. `lasting`: it is a state, and while it is told nobody can release the GPU.
    `weight`: of several faults the heaviest gives the reason.
    """

    title: str
    ends: bool
    heals: bool
    lasting: bool
    weight: int


MANUAL = "manual"

UNCLEAN = "unclean"

RULES: dict[str, Rule] = {
    "lost": Rule("fell off the bus", True, False, True, 9),
    "xid": Rule("a critical error of the driver (XID)", True, False, False, 8),
    "ecc": Rule("uncorrected errors of its memory", True, False, False, 7),
    "silent": Rule("the driver does not answer", True, False, True, 6),
    "memory": Rule("rows of its memory wait for a reset, or cannot be replaced", False, False, True, 4),
    MANUAL: Rule("taken out by somebody", False, False, False, 3),
    UNCLEAN: Rule("it was not free after its task had ended", False, True, True, 2),
    "hot": Rule("too hot", False, True, True, 1),
}

UNKNOWN = Rule("a fault that this version does not know", True, False, False, 5)


def rule_of(kind: str) -> Rule:
    """The rule for a kind; what a newer agent tells of is taken seriously."""
    return RULES.get(kind, UNKNOWN)


class Quarantine(Struct, frozen=True, kw_only=True):
    """A GPU that is not given out, or was not: the newest time. `by`, `released_by`: "" where a rule did it.

    `forgiven`: marks of what its agent told when it was released; only what is new counts again.
    """

    uuid: str
    kind: str
    reason: str
    at: float
    by: str = ""
    released_at: float | None = None
    released_by: str = ""
    forgiven: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether the GPU is out now."""
        return self.released_at is None


class GpuQuery(Request, kw_only=True):
    """GPUs of all nodes, or of one. `quarantined`: only those that are."""

    node: str = ""
    quarantined: bool = False


class GpuSteer(Request, kw_only=True):
    """`gpu`: its place on the node, from 0, or its UUID."""

    node: str
    gpu: str
    reason: str = ""


class Gpu(Struct, kw_only=True):
    """One GPU. `index`: its place on the node; None: the node's agent does not find it any more.

    `state`: "free", "shared", "taken", "quarantined", or "not offered" to tasks.
    """

    node: str
    index: int | None
    uuid: str
    model: str
    mem_mib: int
    state: str
    taken_milli: int = 0  # thousandths that tasks have
    shareable: bool = False
    kind: str = ""  # of a quarantined one: of RULES
    reason: str = ""
    since: float | None = None
    by: str = ""
    tasks: list[str] = []  # that have it: one's own, and everybody's for operators
    audit: str = ""  # where it was just steered: the entry in the audit


class Gpus(Struct, kw_only=True):
    """By node and place. `quarantined` counts among all of `total`."""

    gpus: list[Gpu]
    total: int = 0
    quarantined: int = 0


GPU_OPERATIONS: dict[str, Operation] = {
    "gpu.list": Operation(GpuQuery, Gpus, Role.READONLY),
    "gpu.quarantine": Operation(GpuSteer, Gpu, Role.OPERATOR),
    "gpu.release": Operation(GpuSteer, Gpu, Role.OPERATOR),
}
