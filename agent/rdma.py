"""Which network interfaces do RDMA over Ethernet (RoCE), as the kernel's RDMA devices say.

A port of `/sys/class/infiniband/DEVICE/ports/N` says in `link_layer` what carries it. Over Ethernet its
addresses (GIDs) have a type, such as "RoCE v2", and the interface that they belong to. That tells RoCE
from iWARP, whose ports are Ethernet too and have no such address.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

SYSFS = Path("/sys/class/infiniband")


def roce_interfaces(sysfs: Path = SYSFS) -> frozenset[str]:
    """By name, of this machine's first network namespace. Empty where there is no RDMA device."""
    return frozenset(name for port in _ports(sysfs) for name in _of_port(port))


def _ports(sysfs: Path) -> Iterator[Path]:
    with suppress(OSError):
        for device in sorted(sysfs.iterdir()):
            with suppress(OSError):
                yield from sorted((device / "ports").iterdir())


def _of_port(port: Path) -> Iterator[str]:
    if _read(port / "link_layer").lower() != "ethernet":
        return
    attributes = port / "gid_attrs"
    with suppress(OSError):
        for kind in sorted((attributes / "types").iterdir()):
            if "RoCE" in _read(kind) and (name := _read(attributes / "ndevs" / kind.name)):
                yield name


def _read(file: Path) -> str:
    """ "" for what is not there; of a place without an address the kernel answers with an error."""
    with suppress(OSError, UnicodeDecodeError):
        return file.read_text().strip()
    return ""
