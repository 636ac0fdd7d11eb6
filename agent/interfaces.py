"""Network interfaces of this machine: what they are, what for, and without which it is not whole.

What an interface is for is said by the operator (`--interface eth1=data`) or follows from this rule:
InfiniBand is `cluster`; the fastest that has a link and an address is `data`, at equal speed the one that
carries the bus; all others are `management`. Bridges and the ends of tunnels are never `data` unless they
carry the bus.

The machine *needs* what carries the bus and what the operator named. Both are remembered while the agent
runs: a link that is lost must not seem to be something else because routes or speeds changed with it, and one
that is gone altogether is reported as down.
"""

from __future__ import annotations

import array
import fcntl
import ipaddress
import logging
import re
import socket
import struct
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import psutil
from msgspec.structs import replace

from agent import rdma
from bus.values import InterfaceInfo

_log = logging.getLogger(__name__)

_SYSFS = Path("/sys/class/net")
_SIOCETHTOOL = 0x8946
_DRIVER_INFO = 3  # ETHTOOL_GDRVINFO
_DRIVER_INFO_BYTES = 196
_INFINIBAND = 32  # ARPHRD_INFINIBAND

_LINKS = {
    "bridge": "bridge",
    "bonding": "bond",
    "team": "bond",
    "802.1Q VLAN Support": "vlan",
    "veth": "veth",
    "tun": "tun",
    "dummy": "dummy",
    "vxlan": "vxlan",
    "wireguard": "tun",
}
_DUPLEX = {psutil.NIC_DUPLEX_HALF: "half", psutil.NIC_DUPLEX_FULL: "full"}
_INNER = frozenset({"bridge", "veth", "tun", "vxlan", "virtual"})
_PCI_SLOT = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")


class _Driver(NamedTuple):
    name: str | None = None
    firmware: str | None = None
    bus: str | None = None  # where the device is, such as a PCI slot


class Interfaces:
    """`found` looks anew each time. `declared`: interface -> what it is for, by the operator.

    `nats_url`: of the bus; None: nothing is needed but what was declared. `sysfs` and `rdma` are read where
    they belong to the network namespace that this process is in.
    """

    def __init__(
        self,
        declared: Mapping[str, str] | None = None,
        *,
        nats_url: str | None = None,
        sysfs: Path = _SYSFS,
        rdma: Path = rdma.SYSFS,
    ) -> None:
        self._declared = dict(declared or {})
        self._url = nats_url
        self._sysfs = sysfs
        self._rdma = rdma
        self._kinds: dict[str, str] = {}
        self._carriers: set[str] = set()
        self._seen: dict[str, InterfaceInfo] = {}

    def found(self) -> tuple[InterfaceInfo, ...]:
        """All but the loopback and the ports of bridges that have no address, by name. Takes milliseconds."""
        roce = rdma.roce_interfaces(self._rdma)
        looks = {look.name: look for look in _looks(self._sysfs, roce)}
        carrier = self._carrier()
        self._carriers |= {carrier} - {""}
        self._judge(looks, carrier)
        gone = {name: self._lost(name) for name in self._needed - looks.keys()}
        found = [
            replace(
                look,
                kind=self._declared.get(name) or self._kinds.get(name, "management"),
                carries_bus=name in self._carriers,
                needed=name in self._needed,
            )
            for name, look in sorted((looks | gone).items())
        ]
        self._seen = {each.name: each for each in found}
        return tuple(found)

    @property
    def _needed(self) -> set[str]:
        return self._carriers | self._declared.keys()

    def _carrier(self) -> str:
        """Through which interface the bus is reached now; "" where it is on this machine, or no route."""
        if self._url is None:
            return ""
        address = local_address(self._url)
        having = (
            str(name)
            for name, listed in psutil.net_if_addrs().items()
            if name != "lo" and any(each.address == address for each in listed)
        )
        return next(having, "") if address else ""

    def _judge(self, looks: Mapping[str, InterfaceInfo], carrier: str) -> None:
        """Give what is new its kind; one that has it keeps it while the machine has the interface."""
        self._kinds = {
            name: kind for name, kind in self._kinds.items() if name in looks or name in self._needed
        }
        for name, look in looks.items():
            if look.link == "infiniband":
                self._kinds.setdefault(name, "cluster")
        if "data" in {*self._kinds.values(), *self._declared.values()}:
            return
        able = [
            look
            for name, look in looks.items()
            if look.status == "up" and look.addresses and name not in self._declared | self._kinds
            and (name == carrier or look.link not in _INNER)
        ]  # fmt: skip
        if able:
            best = max(able, key=lambda look: (look.speed_mbps, look.name == carrier, look.name))
            self._kinds[best.name] = "data"

    def _lost(self, name: str) -> InterfaceInfo:
        """One that was there, or should be."""
        known = self._seen.get(name, InterfaceInfo(name=name, mac=""))
        return replace(known, status="down", speed_mbps=0)


def data_speed_mbps(found: tuple[InterfaceInfo, ...]) -> int:
    """Of the fastest data interface whose driver says it; 0: none does."""
    return max((each.speed_mbps for each in found if each.kind == "data"), default=0)


def local_address(url: str) -> str:
    """The address of this machine from which `url` is reached; "" for the loopback, or without a route.

    Nothing is sent to find out, but a name is looked up.
    """
    parts = urlsplit(url)
    with suppress(OSError, ValueError):
        for family, kind, _, _, address in socket.getaddrinfo(
            parts.hostname, parts.port or 4222, type=socket.SOCK_DGRAM
        ):
            with suppress(OSError), socket.socket(family, kind) as probe:
                probe.connect(address)
                ours = str(probe.getsockname()[0])
                return "" if ipaddress.ip_address(ours.partition("%")[0]).is_loopback else ours
    return ""


def _looks(sysfs: Path, roce: frozenset[str]) -> list[InterfaceInfo]:
    """As the kernel has them now, without what they are for."""
    addresses, stats = psutil.net_if_addrs(), psutil.net_if_stats()
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        for name in addresses.keys() | stats.keys():
            folder = _folder(sysfs, name)
            listed = addresses.get(name, [])
            texts = tuple(filter(None, map(_with_prefix, listed)))
            if name == "lo" or (not texts and folder is not None and (folder / "brport").exists()):
                continue
            driver = _driver(asking, name)
            stat = stats.get(name)
            by_family = {each.family: each.address for each in reversed(listed)}
            duplex = None if stat is None else stat.duplex
            found.append(
                InterfaceInfo(
                    name=name,
                    mac=by_family.get(psutil.AF_LINK, ""),
                    ip=by_family.get(socket.AF_INET) or by_family.get(socket.AF_INET6),
                    addresses=texts,
                    speed_mbps=stat.speed if stat is not None and stat.isup else 0,
                    duplex=_DUPLEX.get(duplex, "unknown"),
                    status="unknown" if stat is None else "up" if stat.isup else "down",
                    mtu=0 if stat is None else stat.mtu,
                    link=_link(folder, driver.name, is_roce=name in roce),
                    driver=driver.name,
                    firmware=driver.firmware,
                    pci_slot=driver.bus if driver.bus and _PCI_SLOT.fullmatch(driver.bus) else None,
                    numa_node=_numa_node(folder),
                )
            )  # fmt: skip
    return found


def _with_prefix(address: object) -> str:
    """ "10.0.0.5/24"; "" for what is no IP address, or reaches this link only."""
    text, mask = getattr(address, "address", ""), getattr(address, "netmask", None)
    try:
        plain = ipaddress.ip_address(text.partition("%")[0])
        if plain.is_link_local:
            return ""
        if not mask:
            return f"{plain}/{plain.max_prefixlen}"
        return f"{plain}/{int(ipaddress.ip_address(mask)).bit_count()}"
    except ValueError:
        return ""


def _folder(sysfs: Path, name: str) -> Path | None:
    """Of the interface; None where the files are those of another network namespace."""
    folder = sysfs / name
    with suppress(OSError, ValueError):
        if int((folder / "ifindex").read_text()) == socket.if_nametoindex(name):
            return folder
    return None


def _driver(asking: socket.socket, name: str) -> _Driver:
    """As the driver tells of itself."""
    answer = array.array("B", struct.pack("I", _DRIVER_INFO).ljust(_DRIVER_INFO_BYTES, b"\0"))
    request = struct.pack("16sP", name.encode()[:15], answer.buffer_info()[0]).ljust(40, b"\0")
    try:
        fcntl.ioctl(asking.fileno(), _SIOCETHTOOL, request)
    except OSError:  # it tells nothing
        return _Driver()
    texts = [answer.tobytes()[4 + 32 * at : 36 + 32 * at].partition(b"\0")[0] for at in range(4)]
    driver, _, firmware, bus = (text.decode(errors="replace") for text in texts)
    return _Driver(driver or None, None if firmware in ("", "N/A") else firmware, bus or None)


def _link(folder: Path | None, driver: str | None, *, is_roce: bool) -> str:
    """What sort of interface it is: physical, roce, infiniband, bridge, bond, vlan, veth, tun, virtual …"""
    if folder is not None:
        with suppress(OSError, ValueError):
            if int((folder / "type").read_text()) == _INFINIBAND:
                return "infiniband"
        if (folder / "device").exists():
            return "roce" if is_roce else "physical"
    return _LINKS.get(driver or "", "virtual")


def _numa_node(folder: Path | None) -> int | None:
    if folder is None:
        return None
    with suppress(OSError, ValueError):
        node = int((folder / "device" / "numa_node").read_text())
        return node if node >= 0 else None
    return None
