"""`node.devices` and `node.tools`: what the machines said that they have, out of memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import partial

from msgspec import Struct

from bus.equipment import Device, DeviceKind, DeviceQuery, Devices, Tool, ToolKind, ToolList, Tools
from bus.errors import ApiError
from bus.fields import NODE_FIELDS
from bus.filter import matches, parse
from bus.refusal import quote, refusal
from bus.values import UserName
from coordinator.api.access import viewer
from coordinator.api.jobs import check_range
from coordinator.api.listing import LIMIT_MAX
from coordinator.api.networks import cards_of, notes_of
from coordinator.api.node_list import value_of
from coordinator.api.tags import tag_of
from coordinator.clock import Clock
from coordinator.core.model import Node
from coordinator.core.networks import Topology
from coordinator.loop import Loop
from coordinator.registry import Registry
from coordinator.shown import gpus_shown, node_shown
from coordinator.store.rows import UserRow

EXAMPLES_MAX = 5
QUARANTINED = "quarantined"


class Equipment:
    """The handlers. Everybody may see what machines there are."""

    def __init__(self, loop: Loop, registry: Registry, clock: Clock) -> None:
        self._loop = loop
        self._registry = registry
        self._clock = clock
        self.handlers = {"node.devices": self.devices, "node.tools": self.tools}

    async def devices(self, user: UserRow, request: Struct) -> Struct:
        """`node.devices`: raises ApiError (E_RANGE, E_CURSOR, and what filters raise)."""
        assert isinstance(request, DeviceQuery)
        check_range(request.limit, 1, LIMIT_MAX, field="/limit")
        now_s = self._clock.now_s()
        conditions = parse(request.filter, NODE_FIELDS, me=user.name, now_s=now_s)
        await self._loop.barrier()
        found = [
            device
            for _, node in sorted(self._loop.cluster.nodes.items())
            if matches(conditions, partial(value_of, node_shown(node, now_s=now_s)))
            for device in devices_of(node, self._loop.cluster.networks, viewer=viewer(user))
            if device.kind is request.kind
            or (request.kind is None and (request.gpus or device.kind is not DeviceKind.GPU))
        ]
        start = _start(request.cursor, found)
        page = found[start : start + request.limit]
        more = start + len(page) < len(found)
        answer = Devices(
            devices=page,
            next=place(page[-1]) if more and page else "",
            total=len(found),
            nodes=len({device.node for device in found}),
            total_mib=sum(device.total_mib for device in found),
            free_mib=sum(device.free_mib for device in found),
            down=sum(_is_missed(device) for device in found),
            quarantined=sum(device.gpu is not None and device.status == QUARANTINED for device in found),
        )
        answer.tag = tag_of(answer)
        if answer.tag == request.known:
            return Devices(devices=[], tag=answer.tag, unchanged=True)
        return answer

    async def tools(self, user: UserRow, request: Struct) -> Struct:
        """`node.tools`."""
        assert isinstance(request, ToolList)
        await self._loop.barrier()
        cluster = self._loop.cluster
        found: dict[tuple[str, str], list[tuple[Node, str]]] = defaultdict(list)
        for _, node in sorted(cluster.nodes.items()):
            for kind, name, version in tools_of(node):
                found[str(kind), name].append((node, version))
        for row in self._registry.every():
            if row.current and not row.built_in:
                having = [(node, row.version) for node in self._registry.having(row)]
                found[str(ToolKind.TOOL), row.name] += having
        asked: dict[str, int] = defaultdict(int)
        for job in cluster.jobs.values():
            for group in job.groups:
                called = (group.settings.called or group.settings.tool or "").partition("@")[0]
                if called:
                    asked[called] += group.count - group.completed - group.failed - group.cancelled
        for name in asked:
            _ = found[str(ToolKind.TOOL), name]  # what is asked for and nobody has is to be seen too
        answer = Tools(
            tools=[
                Tool(
                    name=name,
                    kind=ToolKind(kind),
                    nodes=len({node.name for node, _ in having}),
                    ready=len({node.name for node, _ in having if node.takes_work}),
                    versions=sorted({version for _, version in having if version}),
                    examples=[str(node.name) for node, _ in having[:EXAMPLES_MAX]],
                    tasks=asked.get(name, 0) if kind == ToolKind.TOOL else 0,
                )
                for (kind, name), having in sorted(found.items())
            ]
        )
        answer.tag = tag_of(answer)
        return Tools(tools=[], tag=answer.tag, unchanged=True) if answer.tag == request.known else answer


def devices_of(
    node: Node, networks: tuple[Topology, ...] = (), *, viewer: UserName | None = None
) -> Iterator[Device]:
    """Its disks, its GPUs with the tasks of `viewer` (None: of all), and its interfaces, in that order."""
    for disk in sorted(node.inventory.disks, key=lambda disk: disk.mount):
        yield Device(
            node=node.name, kind=DeviceKind.DISK, name=disk.mount, about=disk.filesystem,
            total_mib=disk.total_mib, free_mib=disk.free_mib,
        )  # fmt: skip
    gpus = [
        Device(
            node=node.name, kind=DeviceKind.GPU, name=gpu.uuid if gpu.index is None else str(gpu.index),
            about=gpu.model, status=gpu.state, gpu=gpu,
        )
        for gpu in gpus_shown(node, viewer=viewer)
    ]  # fmt: skip
    yield from sorted(gpus, key=_order)
    for card, network in cards_of(node, networks):
        yield Device(
            node=node.name, kind=DeviceKind.INTERFACE, name=card.name, about=card.kind, status=card.status,
            address=card.ip or "", driver=card.driver or "", speed_mbps=card.speed_mbps,
            network=network.name if network is not None else "", addresses=list(card.addresses),
            mac=card.mac, mtu=card.mtu, duplex=card.duplex, link=card.link, firmware=card.firmware or "",
            pci_slot=card.pci_slot or "", numa_node=card.numa_node, carries_bus=card.carries_bus,
            needed=card.needed, notes=notes_of(card, network) if network is not None else [],
        )  # fmt: skip


def tools_of(node: Node) -> Iterator[tuple[ToolKind, str, str]]:
    """(kind, name, version or what it says of itself) of all that tasks can have there."""
    for tool in node.tools:
        yield ToolKind.TOOL, tool, ""
    for name, version in node.inventory.runtimes.items():
        yield ToolKind.RUNTIME, name, version
    for name, said in node.inventory.isolation.items():
        yield ToolKind.ISOLATION, name, said
    for gpu in node.inventory.gpus:
        yield ToolKind.GPU, gpu.model, ""


def _is_missed(device: Device) -> bool:
    """An interface without link that somebody counts on; a bridge that nothing is plugged into is none."""
    is_used = bool(device.address) and device.link != "bridge"
    return device.status == "down" and (device.needed or is_used)


def place(device: Device) -> str:
    """Where a page that ended with `device` goes on: what comes later in the order."""
    return f"{device.node}\n{device.kind}\n{device.name}"


def _start(cursor: str, found: list[Device]) -> int:
    """The first position behind the cursor, also where its device has gone meanwhile."""
    if not cursor:
        return 0
    parts = cursor.split("\n")
    if len(parts) != 3:
        hint = "use the `next` of the page before; or start again without"
        raise ApiError(refusal("E_CURSOR", field="/cursor", got=quote(cursor), hint=hint))
    node, kind, name = parts
    return sum(_order(device) <= _placed(node, kind, name) for device in found)


def _order(device: Device) -> tuple[str, str, int, str]:
    return _placed(device.node, device.kind, device.name)


def _placed(node: str, kind: str, name: str) -> tuple[str, str, int, str]:
    """Disks, GPUs, interfaces; GPU 10 comes behind GPU 9, and a UUID behind both."""
    return node, kind, len(name) if kind == DeviceKind.GPU else 0, name
