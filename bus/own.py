"""A NATS server that somebody else runs: is it fit, does it trust our operator, and what it must be told.

Operator mode is set in the server's own configuration, so whoever runs it includes a file that we write.
What changes later (revocations) is pushed through its system account and kept by its resolver.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct

from bus.auth import Authority
from bus.connection import NatsBus
from bus.errors import BusError
from bus.server import MAX_CONTROL_LINE_BYTES, MAX_PAYLOAD_BYTES, OLDEST_VERSION
from bus.trust import Refused

GREETING_TIMEOUT_S = 5.0
REQUEST_TIMEOUT_S = 5.0
ACCOUNTS_FOLDER = "/var/lib/nats/corral-accounts"


class ServerUnfit(BusError):
    """The server cannot carry a cluster; the text names it, `hint` says what to change."""

    def __init__(self, message: str, hint: str = "") -> None:
        self.hint = hint
        super().__init__(message)


class ServerAway(BusError):
    """No NATS server answers at the address."""


class Greeting(Struct, frozen=True, kw_only=True):
    """What a server says of itself before anybody logs in."""

    version: str
    max_payload: int
    jetstream: bool
    operator_mode: bool
    tls: bool

    @property
    def number(self) -> tuple[int, ...]:
        """The version to compare; a build's suffix does not count."""
        found = re.match(r"(\d+)\.(\d+)\.(\d+)", self.version)
        return tuple(int(part) for part in found.groups()) if found else (0, 0, 0)


class Durability(Struct, frozen=True, kw_only=True):
    """How the server's JetStream keeps what it acknowledged."""

    sync_always: bool
    sync_interval_s: float


async def greet(url: str) -> Greeting:
    """Ask the server what it is, without credentials. Raises ServerAway, ServerUnfit."""
    parts = urlsplit(url)
    place = parts.netloc
    try:
        async with asyncio.timeout(GREETING_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 4222)
            try:
                line = await reader.readline()
            finally:
                writer.close()
    except TimeoutError:
        raise ServerAway(f"no NATS server answers at {place} within {GREETING_TIMEOUT_S:g} s") from None
    except (OSError, ValueError) as error:
        why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        raise ServerAway(f"no NATS server answers at {place}: {why}") from None
    return parse_greeting(line, place=place)


def parse_greeting(line: bytes, *, place: str) -> Greeting:
    """Raises ServerUnfit where it is no greeting of a NATS server."""
    try:
        word, _, body = line.partition(b" ")
        said: dict[str, Any] = json.loads(body) if word == b"INFO" else {}
        return Greeting(
            version=str(said["version"]),
            max_payload=int(said["max_payload"]),
            jetstream=bool(said.get("jetstream", False)),
            # a server that takes signatures of keys it knows sends a nonce to sign
            operator_mode=bool(said.get("auth_required", False)) and bool(said.get("nonce")),
            tls=bool(said.get("tls_required", False)),
        )
    except (KeyError, TypeError, ValueError):
        raise ServerUnfit(f"what answers at {place} is no NATS server") from None


def check_greeting(greeting: Greeting, *, place: str) -> None:
    """Raises ServerUnfit for what no later step could mend."""
    if greeting.number < OLDEST_VERSION:
        wanted = ".".join(map(str, OLDEST_VERSION))
        raise ServerUnfit(
            f"{place} is nats-server {greeting.version}; {wanted} or newer is needed",
            "upgrade it, or leave --nats away: Corral brings one along",
        )
    if not greeting.jetstream:
        raise ServerUnfit(
            f"{place} runs without JetStream, which keeps what is published while no coordinator runs",
            "add to nats-server.conf: jetstream { store_dir: /var/lib/nats, sync_interval: always }",
        )


async def check(url: str, authority: Authority, *, include: str) -> Greeting:
    """Whether a cluster can live there. `include`: where our part of its configuration was written.

    Raises ServerAway, ServerUnfit, and Untrusted of the connection.
    """
    place = urlsplit(url).netloc
    greeting = await greet(url)
    check_greeting(greeting, place=place)
    strange = ServerUnfit(
        f"{place} does not trust this cluster's operator",
        f'add to nats-server.conf: include "{include}"; then restart the server',
    )
    if not greeting.operator_mode:
        raise strange  # it would let anybody in
    try:
        bus = await NatsBus.connect(url, authority.mint_system(), name="corral check")
    except Refused:
        raise strange from None
    await bus.close()
    return greeting


async def durability(url: str, authority: Authority) -> Durability:
    """What the server's system account tells of JetStream. Raises BusError."""
    bus = await NatsBus.connect(url, authority.mint_system(), name="corral doctor")
    try:
        answer = await bus.request("$SYS.REQ.SERVER.PING.JSZ", b"{}", timeout_s=REQUEST_TIMEOUT_S)
    finally:
        await bus.close()
    config = json.loads(answer.data).get("data", {}).get("config", {})
    return Durability(
        sync_always=bool(config.get("sync_always", False)),
        sync_interval_s=float(config.get("sync_interval", 0)) / 1e9,
    )


async def push_claims(url: str, authority: Authority) -> None:
    """Have the server take the accounts as they are now: the connections of the revoked are closed.

    Its resolver keeps them on disk. What it knows from another machine of the cluster stays revoked, and is
    known here from then on. Raises BusError; ServerUnfit where the server does not take them.
    """
    bus = await NatsBus.connect(url, authority.mint_system(), name="corral claims")
    try:
        known = f"$SYS.REQ.ACCOUNT.{authority.account}.CLAIMS.LOOKUP"
        authority.learn((await bus.request(known, b"", timeout_s=REQUEST_TIMEOUT_S)).data)
        for jwt in authority.account_jwts().values():
            answer = await bus.request("$SYS.REQ.CLAIMS.UPDATE", jwt.encode(), timeout_s=REQUEST_TIMEOUT_S)
            said = json.loads(answer.data)
            if "error" in said:
                why = said["error"].get("description", "no reason given")
                hint = "its resolver must be of the type full, as in the file that Corral writes"
                raise ServerUnfit(f"{urlsplit(url).netloc} does not take the accounts: {why}", hint)
    finally:
        await bus.close()


def include_text(authority: Authority, *, accounts: str = ACCOUNTS_FOLDER) -> str:
    """Our part of the server's configuration. It holds no secret: public keys and what they signed."""
    preload = "\n".join(f"  {key}: {jwt}" for key, jwt in authority.account_jwts().items())
    return f"""\
# Written by Corral. In nats-server.conf, beside your own settings:
#   include "this file"
#   max_payload: {MAX_PAYLOAD_BYTES}
#   max_control_line: {MAX_CONTROL_LINE_BYTES}
#   jetstream {{ store_dir: "/var/lib/nats", sync_interval: always }}
operator: {authority.operator_jwt()}
system_account: {authority.system_account}
resolver {{
  type: full
  # a folder that the server may write: it keeps revocations there
  dir: {json.dumps(accounts)}
  allow_delete: false
  interval: "2m"
}}
resolver_preload {{
{preload}
}}
"""
