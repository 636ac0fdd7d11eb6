"""Answers about what goes on beside the work: what went into the archive, and who is connected."""

from __future__ import annotations

from msgspec import Struct


class Collected(Struct, kw_only=True):
    """Jobs that went into the archive, or would have; `states` counts them by how they ended.

    `left`: old enough as well and still there; asking again goes on with them.
    """

    jobs: int
    tasks: int
    states: dict[str, int] = {}
    left: int = 0
    dry_run: bool = False


class Connection(Struct, kw_only=True):
    """One connection to the bus. `peer`: user, node, coordinator, public; "" where the server cannot tell."""

    name: str  # of the user or node; what the server knows them by where it cannot tell
    peer: str
    program: str  # what it calls itself: "corral console", "agent n1", "NATS CLI …"
    address: str  # host:port
    since: float
    idle_s: float
    round_trip_ms: float | None = None
    subscriptions: int = 0
    bytes_in: int = 0  # from it to the server
    bytes_out: int = 0
    messages_in: int = 0
    messages_out: int = 0
    pending_bytes: int = 0  # what it is slow to take


class Connections(Struct, kw_only=True):
    """Who is connected, longest first. `total` counts all; the server names so many at most."""

    connections: list[Connection]
    total: int
