"""Registrations of nodes: one by one, because they are rare.

What an agent says of its machine is taken as it is where the column allows it, and left out where not: a
strange host name or MAC address must not keep a node from joining.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence

import msgspec
from asyncpg.connection import Connection
from asyncpg.protocol import Record
from msgspec.structs import replace

from bus.setting_kinds import CAPABILITY
from bus.values import InterfaceInfo
from coordinator.core.effects import NodeRow
from coordinator.store.composites import ledger_amounts
from coordinator.store.json_text import clean, storable
from sql import queries

_SQL = queries("nodes")

_LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_MAC = re.compile(r"([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}")
_KINDS = frozenset({"management", "data", "storage", "cluster"})
_ROLES = frozenset({"tool_executor", "observation", "analysis", "storage"})

_encode = msgspec.json.Encoder().encode


async def register(connection: Connection[Record], nodes: Sequence[NodeRow]) -> None:
    """The registrations among `nodes`, their ledgers included."""
    for node in nodes:
        if node.registered:
            await _register(connection, node)


async def _register(connection: Connection[Record], node: NodeRow) -> None:
    inventory = node.inventory
    await connection.execute(
        _SQL["upsert_node"],
        node.id,
        node.name,
        host_name(inventory.hostname, node.name),
        address(inventory.ip) or "0.0.0.0",
        node.kind,
        [role for role in node.roles if role in _ROLES],
        node.health,
        node.admin,
        max(inventory.cpu_cores, 1),
        clean(inventory.cpu_model),
        sum(gpu.mem_mib for gpu in inventory.gpus),
        clean(inventory.architecture),
        clean(inventory.os_version),
        clean(inventory.kernel_version),
        storable(_encode(inventory.runtimes)),
        storable(_encode(node.labels)),
        storable(_encode({"runtimes": inventory.runtimes, "isolation": inventory.isolation})),
        storable(_encode(inventory)),
        [clean(tool) for tool in node.tools],
        node.last_heartbeat_at,
        clean(node.admin_reason),
        node.admin_by,
        node.admin_at,
        node.admin_goal,
        node.admin_deadline,
        storable(_encode(node.set_labels)),
    )
    await connection.execute(
        _SQL["upsert_agent"],
        node.name,
        node.id,
        clean(node.version),
        clean(node.incarnation),
        clean(node.boot_id),
        node.last_heartbeat_at,
        node.health,
    )
    able = {name: each for name, each in node.capabilities.items() if CAPABILITY.fullmatch(name)}
    await connection.execute(_SQL["replace_capabilities"], node.name, storable(_encode(able)))
    await connection.execute(_SQL["name_types"], node.name)
    capacity, allocated = ledger_amounts(node.capacity), ledger_amounts(node.allocated)
    await connection.execute(_SQL["upsert_capacity"], node.id, *capacity, *allocated)
    out = {each.uuid for each in node.quarantines if each.holds}
    gpus = {gpu.uuid: replace(gpu, healthy=False) if gpu.uuid in out else gpu for gpu in inventory.gpus}
    await connection.execute(_SQL["replace_gpus"], node.id, storable(_encode(list(gpus.values()))))
    await connection.execute(_SQL["count_gpus"], node.id)
    await connection.execute(_SQL["replace_quarantines"], node.id, storable(_encode(node.quarantines)))
    interfaces = {each.name: _interface(each) for each in inventory.interfaces}
    await connection.execute(
        _SQL["replace_interfaces"], node.id, storable(_encode(list(interfaces.values())))
    )


def host_name(reported: str, name: str) -> str:
    """`reported` where RFC 1123 allows it, else what `name` makes of it."""
    if len(reported) <= 253 and _HOST_NAME.fullmatch(reported):
        return reported
    return name.replace("_", "-").rstrip("-")


def address(text: str | None) -> str | None:
    """`text` as an IP address, None where it is none. A zone ("fe80::1%eth0") goes: `inet` knows none."""
    try:
        return str(ipaddress.ip_address((text or "").partition("%")[0]))
    except ValueError:
        return None


def _interface(info: InterfaceInfo) -> dict[str, object]:
    return {
        "name": info.name,
        "mac": info.mac if _MAC.fullmatch(info.mac) else "00:00:00:00:00:00",
        "ip": address(info.ip),
        "kind": info.kind if info.kind in _KINDS else "data",
        "speed_mbps": max(info.speed_mbps, 0),
        "duplex": info.duplex if info.duplex in ("full", "half") else "unknown",
        "status": info.status if info.status in ("up", "down") else "unknown",
        "driver": info.driver,
        "firmware_version": info.firmware,
        "pci_slot": info.pci_slot,
        "numa_node": info.numa_node,
        "mtu": info.mtu,
        "link": info.link,
        "carries_bus": info.carries_bus,
        "needed": info.needed,
    }
