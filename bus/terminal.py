"""What is said over the stream of a `pty` session.

Down: eight bytes, big-endian: the offset in the task's output at which the rest begins; then that output, as
the terminal has it, until it is over. Up: messages of a kind (one byte), a length (four bytes, big-endian)
and so many bytes: `i` what was typed, `s` the viewer's size, rows and columns (two bytes each).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from msgspec import Struct

from bus.errors import CorralError

_HEAD = struct.Struct(">cI")
_SIZE = struct.Struct(">HH")
_OFFSET = struct.Struct(">Q")

OFFSET_BYTES = _OFFSET.size
TYPED_MAX = 64 * 1024
"""Most bytes of one message."""


class TerminalError(CorralError, ValueError):
    """Bytes that are no message of a terminal."""

    code = "E_STREAM"


class Typed(Struct, frozen=True):
    data: bytes


class Resized(Struct, frozen=True):
    rows: int
    columns: int


def pack_typed(data: bytes) -> bytes:
    """What was typed, in as many messages as it takes."""
    pieces = [data[at : at + TYPED_MAX] for at in range(0, len(data), TYPED_MAX)]
    return b"".join(_HEAD.pack(b"i", len(piece)) + piece for piece in pieces)


def pack_size(rows: int, columns: int) -> bytes:
    return _HEAD.pack(b"s", _SIZE.size) + _SIZE.pack(rows, columns)


def pack_offset(offset: int) -> bytes:
    return _OFFSET.pack(offset)


def unpack_offset(data: bytes) -> int:
    offset: int = _OFFSET.unpack(data)[0]
    return offset


def take_messages(buffer: bytearray) -> Iterator[Typed | Resized]:
    """Every whole message out of `buffer`, leaving what is not complete yet. Raises TerminalError."""
    while len(buffer) >= _HEAD.size:
        kind, length = _HEAD.unpack_from(buffer)
        if kind not in b"is" or length > TYPED_MAX:
            raise TerminalError("no message of a terminal")
        end = _HEAD.size + length
        if len(buffer) < end:
            return
        data = bytes(buffer[_HEAD.size : end])
        del buffer[:end]
        if kind == b"i":
            yield Typed(data)
        elif len(data) == _SIZE.size:
            yield Resized(*_SIZE.unpack(data))
        else:
            raise TerminalError("a size that is none")
