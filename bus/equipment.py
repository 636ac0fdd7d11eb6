"""What the machines brought along: `node.devices` (disks, network interfaces, GPUs) and `node.tools`."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from bus.gpus import Gpu
from bus.requests import Empty, Request


class DeviceKind(StrEnum):
    DISK = "disk"
    INTERFACE = "interface"
    GPU = "gpu"


class DeviceQuery(Request, kw_only=True):
    """Devices of the nodes that `filter` (of `node.list`) lets through, by node.

    `kind` None: disks and interfaces, and with `gpus` those too; who knows of no GPUs is told of none.
    """

    filter: str = ""
    kind: DeviceKind | None = None
    limit: int = 500  # 1 to 10,000
    cursor: str = ""  # the `next` of the page before
    known: str = ""  # the tag of the page as one has it; see Jobs
    gpus: bool = False


class ToolList(Empty):
    """All of them. `known`: the tag of the list as one has it; see Jobs."""

    known: str = ""


class Device(Struct, kw_only=True):
    """A disk has a size, an interface a speed; 0: the machine does not say. A GPU has `gpu`."""

    node: str
    kind: DeviceKind
    name: str  # where the disk is mounted, what the interface is called, the GPU's place or UUID
    about: str = ""  # the file system; what the interface is for; the model of the GPU
    status: str = ""  # up, down, unknown: of an interface; the state of a GPU
    address: str = ""  # its IP
    driver: str = ""
    total_mib: int = 0
    free_mib: int = 0  # when the node registered
    speed_mbps: int = 0
    network: str = ""  # of an interface: the declared one that its address is in
    addresses: list[str] = []  # with their prefix; the other fields of interfaces as in InterfaceInfo
    mac: str = ""
    mtu: int = 0
    duplex: str = ""
    link: str = ""
    firmware: str = ""
    pci_slot: str = ""
    numa_node: int | None = None
    carries_bus: bool = False
    needed: bool = False
    notes: list[str] = []  # what is not as its network was declared
    gpu: Gpu | None = None


class Devices(Struct, kw_only=True):
    """`total` counts all of them, `nodes` how many machines they are on; the sums are over all disks."""

    devices: list[Device]
    next: str = ""
    total: int = 0
    nodes: int = 0
    total_mib: int = 0
    free_mib: int = 0
    down: int = 0  # interfaces that have an address and no link
    quarantined: int = 0  # GPUs that are given to nobody
    tag: str = ""
    unchanged: bool = False


class ToolKind(StrEnum):
    TOOL = "tool"  # what jobs ask for by name
    RUNTIME = "runtime"  # what runs containers
    ISOLATION = "isolation"  # what keeps tasks apart
    GPU = "gpu"  # a model of GPU


class Tool(Struct, kw_only=True):
    """Something that tasks can have, on `nodes` machines, of which `ready` take work now."""

    name: str
    kind: ToolKind
    nodes: int
    ready: int
    versions: list[str] = []
    examples: list[str] = []  # the first few nodes that have it
    tasks: int = 0  # live tasks that asked for it by name


class Tools(Struct, kw_only=True):
    """By kind and name."""

    tools: list[Tool]
    tag: str = ""
    unchanged: bool = False
