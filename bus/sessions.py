"""Sessions with what runs: a client asks for a byte stream to a node, and speaks over it with its agent.

`stream.open` names the kind of session; the coordinator judges whether it is the asker's to have, has the
agent prepare its end, and answers with the subjects (`bus.streams`). What is said over the stream is the
kind's own: `bus.terminal` for a pty, plain bytes for a port.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from msgspec import Struct, field

from bus.requests import Request

PORT_MAX = 65_535

SIDE_MAX = 1000
"""Most rows or columns of a terminal."""


class SessionKind(StrEnum):
    """The kinds that Corral itself speaks; others are registered by name."""

    PTY = "pty"
    TCP = "tcp"


class StreamOpen(Request, kw_only=True):
    """`kind`: a name that the coordinator knows; `task` or `node` as that kind needs it; `params` its own."""

    kind: str
    task: str = ""
    node: str = ""
    params: dict[str, Any] = field(default_factory=dict)


class StreamOpened(Struct, kw_only=True):
    """The stream is there: frames (`bus.stream_frames`) go out on `up` and come on `down`.

    Further streams of the same session need nobody's leave: `<stream>-1`, `<stream>-2` … in the place of
    `stream` are channels of it, while it lasts.
    """

    stream: str
    node: str
    up: str
    down: str
    task: str = ""
    attempt: int = 0
    params: dict[str, Any] = {}


class PtyParams(Struct, kw_only=True, forbid_unknown_fields=True):
    """A viewer of a terminal: its size, whether it only looks, and from which byte of the output on; -1: from
    the last screenful."""

    rows: int = 24
    columns: int = 80
    read_only: bool = False
    offset: int = -1


class TcpParams(Struct, kw_only=True, forbid_unknown_fields=True):
    """Each channel is one connection to `port` of the task."""

    port: int
