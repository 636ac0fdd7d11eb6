"""What a data folder's supervisor remembers between starts: its ports and how many agents it runs."""

from __future__ import annotations

import os
import re
import socket
import zlib
from pathlib import Path

import msgspec
from msgspec import Struct, structs

from bus.address import Address, AddressError, is_loopback, parse_address
from bus.server import local_url
from bus.tls import addresses_of_machine, is_wildcard

LOOPBACK = "127.0.0.1"
LISTEN_OFF = "off"

NATS_PORTS = range(4222, 5222)
POSTGRES_PORTS = range(5532, 6532)
"""Below the range out of which the kernel hands ports to outgoing connections, so that a
remembered port is not lost to some other program's connection."""


class SetupError(Exception):
    """The data folder cannot be used as it is; the text is the one line that the operator needs."""


class Setup(Struct, kw_only=True, forbid_unknown_fields=True):
    """`setup.json`; port 0 means that none was chosen yet."""

    agents: int = 1
    nats_port: int = 0
    postgres_port: int = 0
    standby: bool = False  # a second coordinator, which takes over where the first one ends or hangs
    listen: str = ""  # the address where NATS answers other machines; "": loopback only
    database: str = ""  # host and name of somebody else's server that holds the state; "": our own


def load(path: Path) -> Setup:
    """Raises SetupError where the file holds something else."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Setup)
    except FileNotFoundError:
        return Setup()
    except msgspec.DecodeError as error:
        raise SetupError(f"{path}: {error}") from error


def save(path: Path, setup: Setup) -> None:
    """Replace the file in one step."""
    temporary = path.with_name(f"{path.name}.new")
    temporary.write_bytes(msgspec.json.format(msgspec.json.encode(setup), indent=1))
    os.replace(temporary, path)


def choose_ports(setup: Setup, *, data: Path, own_nats: bool = False) -> Setup:
    """Keep the remembered ports if they are free, choose where none is remembered. Raises SetupError.

    None is needed for a server that somebody else runs.
    """
    if own_nats and setup.listen:
        raise SetupError("--listen is for the NATS server that Corral runs; nats.url names another one")
    if setup.listen and not _is_ours(setup.listen):
        raise SetupError(
            f"{setup.listen} is no address of this machine, so NATS cannot listen on it; "
            "corral up --listen ADDRESS names another, --listen off goes back to loopback"
        )
    nats_port, postgres_port = setup.nats_port, setup.postgres_port
    if not own_nats:
        nats_port = _port(nats_port, NATS_PORTS, what="NATS", data=data, host=setup.listen or LOOPBACK)
    if not setup.database:
        postgres_port = _port(postgres_port, POSTGRES_PORTS, what="PostgreSQL", data=data, host=LOOPBACK)
    return structs.replace(setup, nats_port=nats_port, postgres_port=postgres_port)


def listen_on(setup: Setup, wanted: str | None) -> Setup:
    """With what `corral up --listen` says: ADDRESS[:PORT], "off", or None for what is remembered.

    Raises SetupError.
    """
    if wanted is None:
        return setup
    if wanted == LISTEN_OFF:
        return structs.replace(setup, listen="")
    try:
        address = parse_address(wanted)
    except AddressError as error:
        raise SetupError(f"--listen {wanted[:80]!r}: {error}") from None
    return structs.replace(setup, listen=address.host, nats_port=address.port or setup.nats_port)


def url_for_others(setup: Setup) -> str:
    """What other machines join; "" where only this one can reach NATS."""
    if not setup.listen or is_loopback(setup.listen):
        return local_url(setup.nats_port, listen=setup.listen) if setup.listen else ""
    host = setup.listen
    if is_wildcard(host):
        outside = [address for address in addresses_of_machine() if not is_loopback(address)]
        # shortest first: what people type
        host = min(outside, key=lambda address: (":" in address, len(address), address), default=host)
    return Address(host, setup.nats_port).url()


def legal_name(text: str, *, otherwise: str) -> str:
    """`text` as the name of a user or node: lower case, `[a-z0-9][a-z0-9_-]{0,62}`."""
    name = re.sub(r"[^a-z0-9_-]+", "-", text.lower()).strip("-_")[:63]
    return name or otherwise


def _port(remembered: int, candidates: range, *, what: str, data: Path, host: str) -> int:
    if remembered:
        if not _is_free(host, remembered):
            raise SetupError(
                f"port {remembered}, remembered for {what} in {data / 'setup.json'}, is taken by another "
                "program; stop it, or remove the line to have another port chosen"
            )
        return remembered
    # Two data folders that start at the same moment should not look at the same port first.
    first = zlib.crc32(os.fsencode(data)) % len(candidates)
    for step in range(len(candidates)):
        port = candidates[(first + step) % len(candidates)]
        if _is_free(host, port):
            return port
    raise SetupError(f"no free port for {what} in {candidates.start}–{candidates.stop - 1}")


def _is_free(host: str, port: int) -> bool:
    return _can_bind(host, port) is None


def _is_ours(host: str) -> bool:
    return _can_bind(host, 0) is None


def _can_bind(host: str, port: int) -> OSError | None:
    """None, or why not."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        family, kind, protocol, _, address = found[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        return error
    return None
