"""What goes over `corral.s.…up` and `.down`: pieces of a byte stream, and the word that it is broken off.

A frame is a MessagePack array whose first element is its kind: `["p", offset, ack, limit, data, end, again]`
or `["r", code, message]`. Offsets count the bytes of one direction from 0; the end of a direction counts as
one more byte, so that it is acknowledged like any other. What is left out at the end of a frame is empty or
false.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from bus.errors import CorralError

FRAME_BYTES = 256 * 1024
"""Most bytes of a stream in one frame."""

WINDOW_FIRST_BYTES = 64 * 1024
"""What either side may send before it has heard from the other; each takes at least so much."""

Offset = Annotated[int, Meta(ge=0, le=2**62)]


class Piece(Struct, frozen=True, array_like=True, tag="p"):
    """Bytes from `offset` on, and what came so far of the other direction.

    `ack`: all bytes before it have come. `limit`: bytes before it may be sent. `end`: nothing comes after
    `data`. `again`: bytes after `ack` came and were dropped, for those at `ack` are missing.
    """

    offset: Offset
    ack: Offset
    limit: Offset
    data: Annotated[bytes, Meta(max_length=FRAME_BYTES)] = b""
    end: bool = False
    again: bool = False


class Reset(Struct, frozen=True, array_like=True, tag="r"):
    """The stream is broken off: what is on its way in either direction is dropped. `code`: of `bus.codes`."""

    code: Annotated[str, Meta(max_length=40)]
    message: Annotated[str, Meta(max_length=500)] = ""


Frame = Piece | Reset

_DECODER: msgspec.msgpack.Decoder[Frame] = msgspec.msgpack.Decoder(Frame)
_ENCODER = msgspec.msgpack.Encoder()


class FrameError(CorralError, ValueError):
    """Bytes that are no frame."""

    code = "E_STREAM"


def encode_frame(frame: Frame) -> bytes:
    return _ENCODER.encode(frame)


def decode_frame(data: bytes) -> Frame:
    """Raises FrameError."""
    try:
        return _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FrameError(f"no frame of a stream: {error}") from None
