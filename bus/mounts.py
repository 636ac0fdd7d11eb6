"""A volume as a task has it: what a stored job, an assignment and a node say of it. Pure."""

from __future__ import annotations

import re
from enum import StrEnum

from msgspec import Struct

VOLUME_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
"""What a volume or a pool may be called."""


class AccessMode(StrEnum):
    READ_WRITE_ONCE = "ReadWriteOnce"  # one task at a time writes
    READ_ONLY_MANY = "ReadOnlyMany"
    READ_WRITE_MANY = "ReadWriteMany"


class Mounted(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a volume was when its job was submitted: the coordinator writes this into the stored spec."""

    id: str
    mode: AccessMode = AccessMode.READ_WRITE_ONCE
    target: str = ""  # where it is mounted if the job does not say


class Mount(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One volume of a task. `target`: the absolute path where it asks for it.

    `exclusive`: nobody else may write at the same time.
    """

    volume: str  # its id
    name: str
    target: str
    read_only: bool = False
    exclusive: bool = False


def variable(name: str) -> str:
    """The variable that says where a volume is: CORRAL_VOLUME_MY_DATA of my-data."""
    return f"CORRAL_VOLUME_{name.upper().replace('-', '_')}"


def reads(name: str) -> str:
    """What a node has that holds a volume, or a replica of it: a feature that tasks ask for."""
    return f"volume:{name}"


def writes(name: str) -> str:
    """What the node has that tasks write to it on."""
    return f"writes:{name}"


PATH_MAX = 500
_SYSTEM = (
    "bin",
    "boot",
    "dev",
    "etc",
    "lib",
    "lib32",
    "lib64",
    "libx32",
    "proc",
    "root",
    "run",
    "sbin",
    "sys",
    "usr",
)
_WHOLE = ("/home", "/opt", "/tmp", "/var", "/var/lib", "/var/log", "/var/run")


def path_fault(path: str) -> str:
    """What keeps a volume or pool from being at `path`; "" if nothing does."""
    parts = path.split("/")
    if not path.startswith("/") or len(parts) < 2:
        return "not absolute"
    if len(path) > PATH_MAX:
        return f"longer than {PATH_MAX} characters"
    if not path.isprintable():
        return "with characters that cannot be seen"
    if ".." in parts:
        return "climbs with .."
    if any(part in ("", ".") for part in parts[1:]):
        return "with an empty part, or a dot"
    if parts[1] in _SYSTEM or path in _WHOLE:
        return "a folder of the system"
    return ""
