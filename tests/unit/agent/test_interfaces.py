"""What interfaces are for, which of them the machine needs, and that neither changes when a link goes."""

from __future__ import annotations

import array
import fcntl
import socket
import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent import interfaces
from agent.interfaces import Interfaces, data_speed_mbps, local_address
from bus.values import InterfaceInfo

BUS = "nats://10.0.0.1:4222"


class Machine:
    """What the kernel and the drivers say, and the files below /sys."""

    def __init__(self, sysfs: Path) -> None:
        self.sysfs = sysfs
        self.route = "10.0.0.5"
        self._indices: dict[str, int] = {}
        self._addresses: dict[str, list[SimpleNamespace]] = {}
        self._stats: dict[str, SimpleNamespace] = {}
        self._drivers: dict[str, str] = {}

    def add(
        self, name: str, address: str = "", *, mask: str | None = "255.255.255.0", speed: int = 1000,
        driver: str = "ixgbe", physical: bool = True, kind: int = 1, port: bool = False,
    ) -> None:  # fmt: skip
        self._indices[name] = 10 + len(self._indices)
        folder = self.sysfs / name
        folder.mkdir(exist_ok=True)
        (folder / "ifindex").write_text(f"{self._indices[name]}\n")
        (folder / "type").write_text(f"{kind}\n")
        if physical:
            (folder / "device").mkdir(exist_ok=True)
            (folder / "device" / "numa_node").write_text("1\n")
        if port:
            (folder / "brport").mkdir()
        self._addresses[name] = [self._address(interfaces.psutil.AF_LINK, "02:00:00:00:00:01", None)]
        if address:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            self._addresses[name].append(self._address(family, address, mask))
        self._drivers[name] = driver
        self.set(name, up=True, speed=speed)

    def set(self, name: str, *, up: bool, speed: int = 1000) -> None:
        full = interfaces.psutil.NIC_DUPLEX_FULL
        self._stats[name] = SimpleNamespace(isup=up, duplex=full, speed=speed, mtu=9000)

    def remove(self, name: str) -> None:
        del self._addresses[name], self._stats[name]

    @staticmethod
    def _address(family: int, address: str, mask: str | None) -> SimpleNamespace:
        return SimpleNamespace(family=family, address=address, netmask=mask)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(interfaces.psutil, "net_if_addrs", lambda: dict(self._addresses))
        monkeypatch.setattr(interfaces.psutil, "net_if_stats", lambda: dict(self._stats))
        monkeypatch.setattr(socket, "if_nametoindex", lambda name: self._indices[name])
        monkeypatch.setattr(interfaces, "local_address", lambda url: self.route)
        monkeypatch.setattr(interfaces, "_driver", self._driver)

    def _driver(self, asking: socket.socket, name: str) -> Any:
        return interfaces._Driver(self._drivers[name] or None, "7.1", "0000:3b:00.0")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(tmp_path)
    made.install(monkeypatch)
    return made


def looks(found: tuple[InterfaceInfo, ...]) -> dict[str, tuple[str, str, bool]]:
    return {each.name: (each.kind, each.status, each.needed) for each in found}


def test_a_card_is_described(machine: Machine) -> None:
    machine.add("eth0", "10.0.0.5", mask="255.255.0.0", speed=25_000)
    [card] = Interfaces(nats_url=BUS, sysfs=machine.sysfs).found()
    assert card == InterfaceInfo(
        name="eth0", mac="02:00:00:00:00:01", ip="10.0.0.5", addresses=("10.0.0.5/16",), kind="data",
        speed_mbps=25_000, duplex="full", status="up", driver="ixgbe", mtu=9000, link="physical",
        firmware="7.1", pci_slot="0000:3b:00.0", numa_node=1, carries_bus=True, needed=True,
    )  # fmt: skip
    assert data_speed_mbps((card,)) == 25_000
    assert data_speed_mbps(()) == 0


def test_the_fastest_is_for_data_and_the_bus_is_needed(machine: Machine) -> None:
    machine.add("eth0", "10.0.0.5")
    machine.add("eth1", "10.1.0.5", speed=100_000)
    machine.add("ib0", "10.2.0.5", speed=400_000, kind=32)
    machine.add("docker0", "172.17.0.1", speed=500_000, driver="bridge", physical=False)
    machine.add("veth7", "", physical=False, port=True)
    machine.add("lo", "127.0.0.1")
    machine.add("eth2", "", speed=400_000)
    found = Interfaces(nats_url=BUS, sysfs=machine.sysfs).found()
    assert looks(found) == {
        "docker0": ("management", "up", False),
        "eth0": ("management", "up", True),
        "eth1": ("data", "up", False),
        "eth2": ("management", "up", False),
        "ib0": ("cluster", "up", False),
    }
    assert {each.name: each.link for each in found if each.name in ("docker0", "ib0")} == {
        "docker0": "bridge", "ib0": "infiniband",
    }  # fmt: skip


def test_of_equal_ones_that_of_the_bus_is_for_data_whatever_it_is(machine: Machine) -> None:
    machine.route = "10.0.0.5"
    machine.add("br0", "10.0.0.5", driver="bridge", physical=False)
    machine.add("eth1", "10.1.0.5")
    assert looks(Interfaces(nats_url=BUS, sysfs=machine.sysfs).found())["br0"] == ("data", "up", True)


def test_what_the_operator_says_counts_and_is_needed_even_if_it_is_not_there(machine: Machine) -> None:
    machine.add("eth0", "10.0.0.5", speed=100_000)
    machine.add("eth1", "10.1.0.5")
    watch = Interfaces({"eth1": "data", "eth9": "storage"}, sysfs=machine.sysfs)
    assert looks(watch.found()) == {
        "eth0": ("management", "up", False),
        "eth1": ("data", "up", True),
        "eth9": ("storage", "down", True),
    }


def test_a_link_that_goes_stays_what_it_was(machine: Machine) -> None:
    machine.add("eth0", "10.0.0.5")
    machine.add("eth1", "10.1.0.5", speed=100)
    watch = Interfaces(nats_url=BUS, sysfs=machine.sysfs)
    watch.found()
    machine.set("eth0", up=False)
    machine.route = "10.1.0.5"  # the kernel takes the other way
    assert looks(watch.found()) == {"eth0": ("data", "down", True), "eth1": ("management", "up", True)}
    machine.remove("eth0")
    machine.route = ""
    found = watch.found()
    assert looks(found) == {"eth0": ("data", "down", True), "eth1": ("management", "up", True)}
    assert [(each.ip, each.speed_mbps) for each in found] == [("10.0.0.5", 0), ("10.1.0.5", 100)]


def test_one_that_nobody_needs_is_forgotten_and_another_takes_its_place(machine: Machine) -> None:
    machine.add("eth1", "10.1.0.5")
    watch = Interfaces(sysfs=machine.sysfs)
    assert looks(watch.found()) == {"eth1": ("data", "up", False)}
    machine.remove("eth1")
    machine.add("eth2", "fd00::5%eth2", mask="ffff:ffff:ffff:ffff::")
    [card] = watch.found()
    assert (card.name, card.kind, card.addresses) == ("eth2", "data", ("fd00::5/64",))


def test_files_of_another_namespace_say_nothing(machine: Machine) -> None:
    machine.add("eth0", "fe80::1%eth0", mask=None, driver="")
    (machine.sysfs / "eth0" / "ifindex").write_text("77\n")
    [card] = Interfaces(sysfs=machine.sysfs).found()
    assert (card.link, card.numa_node, card.addresses, card.driver) == ("virtual", None, (), None)
    assert card.kind == "management", "an address of this link alone reaches nobody"


def test_the_driver_tells_of_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(descriptor: int, request: int, given: bytes) -> bytes:
        name, place = struct.unpack_from("16sP", given)
        assert (request, name.rstrip(b"\0")) == (0x8946, b"eth0")
        assert place in places
        said = places[place]
        for at, text in enumerate((b"mlx5_core", b"6.1", b"22.39.2048", b"0000:5e:00.0")):
            said[4 + 32 * at : 4 + 32 * at + len(text)] = array.array("B", text)
        return given

    places: dict[int, array.array[int]] = {}

    class Noted(array.array):  # type: ignore[type-arg]
        def buffer_info(self) -> tuple[int, int]:
            info = super().buffer_info()
            places[info[0]] = self
            return info

    monkeypatch.setattr(interfaces.array, "array", Noted)
    monkeypatch.setattr(fcntl, "ioctl", answer)
    with socket.socket() as asking:
        assert interfaces._driver(asking, "eth0") == ("mlx5_core", "22.39.2048", "0000:5e:00.0")


def test_the_way_to_the_bus() -> None:
    assert local_address("nats://127.0.0.1:4222") == ""
    assert local_address("tls://no-such-host.invalid:4222") == ""
    assert local_address("nats://[::1]:4222") == ""
    assert local_address("nats://192.0.2.1:4222") in {
        "", *(each.address for listed in interfaces.psutil.net_if_addrs().values() for each in listed)
    }  # fmt: skip


def test_roce_is_told_from_ethernet(machine: Machine, tmp_path: Path) -> None:
    for name in ("eth0", "eth1"):
        machine.add(name, "10.0.0.5" if name == "eth0" else "")
    port = tmp_path / "rdma" / "mlx5_0" / "ports" / "1"
    for part, text in (("types", "RoCE v2"), ("ndevs", "eth1")):
        (port / "gid_attrs" / part).mkdir(parents=True)
        (port / "gid_attrs" / part / "0").write_text(text)
    (port / "link_layer").write_text("Ethernet")
    found = Interfaces(nats_url=BUS, sysfs=machine.sysfs, rdma=tmp_path / "rdma").found()
    assert {each.name: each.link for each in found} == {"eth0": "physical", "eth1": "roce"}
