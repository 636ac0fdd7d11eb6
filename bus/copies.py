"""What people ask about copies of content, and are answered. `replica.*`. Pure."""

from __future__ import annotations

from msgspec import Struct

from bus.requests import Request


class Replica(Struct, kw_only=True):
    """A place of content of a task beside its `primary`.

    `state`: active, out_of_sync, failed; `fault`: a code.
    """

    id: str
    sha256: str
    size: int
    task: str
    primary: str
    node: str
    state: str
    at: float
    verified_at: float | None = None
    tries: int = 0
    fault: str = ""


class Under(Struct, kw_only=True):
    """Content that should be on `copies` nodes beside the first, and is well on `nodes` only."""

    sha256: str
    size: int
    task: str
    copies: int
    nodes: list[str]


class ReplicaList(Request, kw_only=True):
    """Newest first; of one job or task, on one node or in one state if that is named.

    `under`: what lacks copies.
    """

    target: str = ""
    node: str = ""
    state: str = ""
    under: bool = False
    limit: int = 100  # 1 to 10,000
    cursor: str = ""  # the `next` of the page before


class Replicas(Struct, kw_only=True):
    """`under` is filled where that was asked for. The counts are of all content, also of others."""

    replicas: list[Replica] = []
    under: list[Under] = []
    total: int = 0  # pieces of content that should have copies
    lacking: int = 0  # those that do not have all of them
    lost: int = 0  # those that no node has that is there
    next: str = ""


class ReplicaScrub(Request, kw_only=True):
    """Read all content of a node again now, or of all nodes."""

    node: str = ""


class ReplicaScrubbed(Struct, kw_only=True):
    """Who reads; and who does not answer, with the reason."""

    nodes: list[str]
    unanswered: dict[str, str] = {}
