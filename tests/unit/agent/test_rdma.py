"""RoCE is told from plain Ethernet, InfiniBand and iWARP by what the kernel's RDMA devices say."""

from __future__ import annotations

from pathlib import Path

from agent.rdma import roce_interfaces


def port(sysfs: Path, device: str, number: int, layer: str, gids: dict[int, tuple[str, str]]) -> Path:
    """`gids`: type and interface of each address."""
    made = sysfs / device / "ports" / str(number)
    for part in ("types", "ndevs"):
        (made / "gid_attrs" / part).mkdir(parents=True)
    (made / "link_layer").write_text(f"{layer}\n")
    for index, (kind, interface) in gids.items():
        (made / "gid_attrs" / "types" / str(index)).write_text(f"{kind}\n")
        (made / "gid_attrs" / "ndevs" / str(index)).write_text(f"{interface}\n")
    return made


def test_interfaces_with_an_address_of_roce(tmp_path: Path) -> None:
    both = {0: ("IB/RoCE v1", "eth0"), 1: ("RoCE v2", "eth0"), 3: ("RoCE v2", "eth0.7")}
    port(tmp_path, "mlx5_0", 1, "Ethernet", both)
    port(tmp_path, "mlx5_1", 1, "InfiniBand", {0: ("IB/RoCE v1", "ib0")})
    port(tmp_path, "mlx5_1", 2, "Ethernet", {0: ("RoCE v2", "eth1")})
    port(tmp_path, "irdma0", 1, "Ethernet", {0: ("iWARP", "eth2")})
    assert roce_interfaces(tmp_path) == {"eth0", "eth0.7", "eth1"}


def test_what_is_not_there_or_says_nothing(tmp_path: Path) -> None:
    assert roce_interfaces(tmp_path / "none") == frozenset()
    empty = port(tmp_path, "mlx5_0", 1, "Ethernet", {0: ("RoCE v2", "")})
    (empty / "gid_attrs" / "types" / "1").mkdir()  # reading it fails, as reading an unused place does
    (empty / "gid_attrs" / "types" / "2").write_text("RoCE v2\n")  # of no interface
    (tmp_path / "half").mkdir()
    (tmp_path / "bare" / "ports" / "1").mkdir(parents=True)
    assert roce_interfaces(tmp_path) == frozenset()
