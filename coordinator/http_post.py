"""One POST over HTTP/1.1 to an address that was looked at before: no redirect, a bounded answer.

By h11, which speaks the protocol and opens no connection: a client that resolves names itself could be led to
another address than the one that was allowed.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping

import h11
from msgspec import Struct

from coordinator.destinations import Target

HEAD_BYTES_MAX = 16 * 1024
BODY_BYTES_MAX = 4 * 1024
"""What is read of an answer; the connection is closed after it."""

ANSWER_BYTES_MAX = 64 * 1024
"""With all that is informational before it."""

_READ_BYTES = 8 * 1024


class Answer(Struct, frozen=True, kw_only=True):
    """`text`: the beginning of the body; `retry_after_s`: where it was said in seconds."""

    status: int
    text: str
    retry_after_s: float | None = None


class NoAnswer(Exception):
    """The text says why, in a few words."""


async def post(
    target: Target,
    address: str,
    *,
    headers: Mapping[str, str],
    body: bytes,
    timeout_s: float,
    trust: ssl.SSLContext,
) -> Answer:
    """Send `body` to `target` at `address`, and read the answer, all within `timeout_s`. Raises NoAnswer."""
    try:
        async with asyncio.timeout(timeout_s):
            return await _post(target, address, headers=headers, body=body, trust=trust)
    except TimeoutError:
        raise NoAnswer(f"no whole answer within {timeout_s:g} s") from None
    except ssl.SSLCertVerificationError as error:
        raise NoAnswer(f"its certificate is not trusted: {error.verify_message}") from error
    except (OSError, ssl.SSLError) as error:
        raise NoAnswer(f"cannot connect to {address}: {error.strerror or error}") from error
    except h11.RemoteProtocolError as error:
        raise NoAnswer(f"not an answer in HTTP/1.1: {error}") from error


async def _post(
    target: Target, address: str, *, headers: Mapping[str, str], body: bytes, trust: ssl.SSLContext
) -> Answer:
    secure = target.scheme == "https"
    reader, writer = await asyncio.open_connection(
        address,
        target.port,
        ssl=trust if secure else None,
        server_hostname=target.host if secure else None,
        limit=_READ_BYTES,
    )
    try:
        protocol = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES_MAX)
        said = [("Host", target.authority), ("Content-Length", str(len(body))), ("Connection", "close")]
        request = h11.Request(method="POST", target=target.path, headers=[*said, *headers.items()])
        parts = (request, h11.Data(data=body), h11.EndOfMessage())
        writer.write(b"".join(protocol.send(part) or b"" for part in parts))
        await writer.drain()
        return await _read(protocol, reader)
    finally:
        writer.transport.abort()  # nothing of it is wanted any more, least of all its farewell


async def _read(protocol: h11.Connection, reader: asyncio.StreamReader) -> Answer:
    head: h11.Response | None = None
    text, taken = b"", 0
    while True:
        match protocol.next_event():
            case h11.NEED_DATA:
                data = await reader.read(_READ_BYTES)
                taken += len(data)
                if taken > ANSWER_BYTES_MAX:
                    raise NoAnswer(f"an answer of more than {ANSWER_BYTES_MAX} bytes")
                protocol.receive_data(data)
            case h11.Response() as head:
                pass
            case h11.Data(data=data) if head is not None:
                text += bytes(data)
                if len(text) >= BODY_BYTES_MAX:
                    return _answer(head, text)
            case h11.EndOfMessage() | h11.ConnectionClosed() | h11.PAUSED if head is not None:
                return _answer(head, text)


def _answer(head: h11.Response, text: bytes) -> Answer:
    said = dict(head.headers).get(b"retry-after", b"").decode("ascii", "replace")
    return Answer(
        status=head.status_code,
        text=text[:BODY_BYTES_MAX].decode("utf-8", "replace"),
        retry_after_s=float(said) if said.isascii() and said.isdigit() and len(said) < 7 else None,
    )
