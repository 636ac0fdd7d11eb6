"""What a data folder's supervisor remembers between starts: its ports and how many agents it runs."""

from __future__ import annotations

import os
import re
import socket
import zlib
from pathlib import Path

import msgspec
from msgspec import Struct

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


def choose_ports(setup: Setup, *, data: Path) -> Setup:
    """Keep the remembered ports if they are free, choose where none is remembered. Raises SetupError."""
    return Setup(
        agents=setup.agents,
        nats_port=_port(setup.nats_port, NATS_PORTS, what="NATS", data=data),
        postgres_port=_port(setup.postgres_port, POSTGRES_PORTS, what="PostgreSQL", data=data),
    )


def legal_name(text: str, *, otherwise: str) -> str:
    """`text` as the name of a user or node: lower case, `[a-z0-9][a-z0-9_-]{0,62}`."""
    name = re.sub(r"[^a-z0-9_-]+", "-", text.lower()).strip("-_")[:63]
    return name or otherwise


def _port(remembered: int, candidates: range, *, what: str, data: Path) -> int:
    if remembered:
        if not _is_free(remembered):
            raise SetupError(
                f"port {remembered}, remembered for {what} in {data / 'setup.json'}, is taken by another "
                "program; stop it, or remove the line to have another port chosen"
            )
        return remembered
    # Two data folders that start at the same moment should not look at the same port first.
    first = zlib.crc32(os.fsencode(data)) % len(candidates)
    for step in range(len(candidates)):
        port = candidates[(first + step) % len(candidates)]
        if _is_free(port):
            return port
    raise SetupError(f"no free port for {what} in {candidates.start}–{candidates.stop - 1}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
