"""A TCP connection carried by a byte stream: both directions, each with its own end."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from bus.streams import ByteStream, StreamBroken

BUFFER_BYTES = 256 * 1024
"""What a connection should read ahead: a frame of the stream."""


async def tunnel(stream: ByteStream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until both directions have ended, or either side breaks: the other is broken off then."""
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_from_stream(stream, writer))
            group.create_task(_to_stream(reader, stream))
        await stream.drain()
    except* StreamBroken:
        writer.transport.abort()
    except* OSError as broken:
        stream.reset("E_STREAM_LEFT", f"the connection broke: {broken.exceptions[0]}")
    finally:
        if stream.is_over:
            writer.close()
        else:
            writer.transport.abort()  # cancelled: whoever reads nothing would keep us waiting
        with suppress(OSError):
            await writer.wait_closed()


async def _from_stream(stream: ByteStream, writer: asyncio.StreamWriter) -> None:
    while data := await stream.read():
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


async def _to_stream(reader: asyncio.StreamReader, stream: ByteStream) -> None:
    while data := await reader.read(BUFFER_BYTES):
        await stream.write(data)
    stream.end()
