"""What an agent complained of: warnings and errors of its own log, as it told with its usage."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from bus.gpus import GPU_OPERATIONS
from bus.operation import Operation
from bus.requests import Request
from bus.values import Role

LINES_MAX = 1_000


class NodeLogQuery(Request, kw_only=True):
    """The newest `limit` lines of one node; `since` and `until` are seconds of the Unix epoch.

    `severity` "error": no warnings.
    """

    node: str
    since: float | None = None
    until: float | None = None
    severity: Literal["warning", "error"] = "warning"
    limit: int = 100


class NodeLine(Struct, kw_only=True):
    """`at`: seconds of the Unix epoch, by the coordinator's clock."""

    at: float
    severity: str
    text: str


class NodeLog(Struct, kw_only=True):
    """Oldest first. `more`: there are older ones in that time."""

    node: str
    lines: list[NodeLine]
    more: bool = False


NODE_OPERATIONS: dict[str, Operation] = {
    **GPU_OPERATIONS,
    "node.logs": Operation(NodeLogQuery, NodeLog, Role.OPERATOR),
}
"""Of nodes and of what is in them."""
