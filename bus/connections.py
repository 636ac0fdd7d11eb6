"""Who is connected, as the NATS server tells an account about its own connections."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from datetime import datetime

import msgspec
from msgspec import Struct

from bus.errors import BusError, Forbidden, NoResponders
from bus.housekeeping import Connection, Connections
from bus.subjects import ACCOUNT_CONNECTIONS
from bus.transport import Bus

PAGE = 256
"""Each comes with its JWT, of some 2 kB: the server's answer stays far below what a message may hold."""

MOST = 2_000
"""Described to whoever asks, so that our own answer stays below it as well."""

TIMEOUT_S = 2.0

_UNITS_MS = {"ns": 1e-6, "µs": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4, "h": 3.6e6}
_PIECE = re.compile(r"([0-9.]+)(ns|µs|ms|s|m|h)")


class _Seen(Struct, frozen=True):
    """One line of the server's; the names are its own."""

    start: datetime
    last_activity: datetime
    ip: str = ""
    port: int = 0
    rtt: str = ""
    pending_bytes: int = 0
    in_msgs: int = 0
    out_msgs: int = 0
    in_bytes: int = 0
    out_bytes: int = 0
    subscriptions: int = 0
    name: str = ""
    lang: str = ""
    version: str = ""
    authorized_user: str = ""
    jwt: str = ""


class _Page(Struct, frozen=True):
    now: datetime
    total: int
    connections: list[_Seen] = []


class _Answer(Struct, frozen=True):
    data: _Page


class _Rights(Struct, frozen=True):
    tags: list[str] = []


class _Claims(Struct, frozen=True):
    name: str = ""
    nats: _Rights = _Rights()


_answer = msgspec.json.Decoder(_Answer)
_claims = msgspec.json.Decoder(_Claims)


class NotTold(BusError):
    """This server does not say who is connected."""


async def connections(bus: Bus) -> Connections:
    """Of the asker's own account, at the server that `bus` is connected to, longest first.

    Raises NotTold, and the other BusErrors.
    """
    found: list[Connection] = []
    while True:
        asked = {"auth": True, "limit": PAGE, "offset": len(found)}
        try:
            message = await bus.request(ACCOUNT_CONNECTIONS, msgspec.json.encode(asked), timeout_s=TIMEOUT_S)
            page = _answer.decode(message.data).data
        except (Forbidden, NoResponders, msgspec.DecodeError) as error:
            raise NotTold(f"the NATS server does not say who is connected: {error}") from error
        found += [_connection(seen, now=page.now) for seen in page.connections]
        if not page.connections or len(found) >= min(page.total, MOST):
            found.sort(key=lambda each: each.since)
            return Connections(connections=found[:MOST], total=page.total)


def _connection(seen: _Seen, *, now: datetime) -> Connection:
    name, peer = _identity(seen)
    return Connection(
        name=name,
        peer=peer,
        program=seen.name or " ".join(filter(None, (seen.lang, seen.version))),
        address=f"[{seen.ip}]:{seen.port}" if ":" in seen.ip else f"{seen.ip}:{seen.port}",
        since=seen.start.timestamp(),
        idle_s=max(0.0, (now - seen.last_activity).total_seconds()),
        round_trip_ms=_milliseconds(seen.rtt),
        subscriptions=seen.subscriptions,
        bytes_in=seen.in_bytes,
        bytes_out=seen.out_bytes,
        messages_in=seen.in_msgs,
        messages_out=seen.out_msgs,
        pending_bytes=seen.pending_bytes,
    )


def _identity(seen: _Seen) -> tuple[str, str]:
    """Name and kind of peer, out of the JWT that the server has checked; else what it calls them."""
    try:
        body = seen.jwt.split(".")[1]
        claims = _claims.decode(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    except (IndexError, ValueError, binascii.Error, msgspec.DecodeError):
        return seen.authorized_user, ""
    return claims.name or seen.authorized_user, next(_peers(claims), "")


def _peers(claims: _Claims) -> Iterator[str]:
    for tag in claims.nats.tags:
        kind, _, value = tag.partition(":")
        if kind == "peer":
            yield value


def _milliseconds(text: str) -> float | None:
    """Of a duration as Go writes it: "2.077715ms", "1m3.5s"."""
    pieces = _PIECE.findall(text)
    return sum(float(number) * _UNITS_MS[unit] for number, unit in pieces) if pieces else None
