"""Disks, network interfaces and GPUs of all machines."""

from __future__ import annotations

from textual import on
from textual.binding import Binding

from bus.equipment import Device, DeviceKind, DeviceQuery
from tui.client.pages import Slice
from tui.client.session import Deltas
from tui.client.source import Source
from tui.screens.acting import Scope
from tui.screens.document import node_details
from tui.screens.steerable import SteerableList
from tui.screens.volumes import PoolsScreen, TopologiesScreen, VolumesScreen
from tui.view.amounts import mebibytes
from tui.view.equipment import DEVICES, DISKS, GPUS, device_facts
from tui.view.lines import Line
from tui.view.networks import CARDS, interface_facts
from tui.view.shell import command
from tui.widgets.virtual_table import VirtualTable

LISTINGS = {None: DEVICES, DeviceKind.DISK: DISKS, DeviceKind.INTERFACE: CARDS, DeviceKind.GPU: GPUS}
"""The columns of each kind, in the order in which the key goes through them."""


class StorageScreen(SteerableList[Device]):
    """Enter on a device shows its node; operators take GPUs out and give them back."""

    past_note = "disks, cards and GPUs as of now"
    BINDINGS = [
        Binding("d", "details", "node", id="storage.details"),
        Binding("t", "kind", "kind", id="storage.kind"),
        Binding("v", "volumes", "volumes", id="storage.volumes"),
        Binding("p", "pools", "pools", show=False, id="storage.pools"),
        Binding("o", "topologies", "topologies", show=False, id="storage.topologies"),
        Binding("u", "steer('quarantine')", "quarantine a GPU", show=False, id="storage.quarantine"),
        Binding("e", "steer('unquarantine')", "release a GPU", show=False, id="storage.release"),
    ]
    listing = DEVICES
    noun = "gpu"
    crumb = "storage"
    empty = (
        "No disks, no network interfaces and no GPUs are known.\n\n"
        "Agents tell what their machines have when they register."
    )
    example = "name=n1 label.rack=r01 kind=storage"

    def __init__(self) -> None:
        super().__init__()
        self._kind: DeviceKind | None = None

    async def fetch(self, source: Source, *, cursor: str, limit: int, known: str = "") -> Slice[Device]:
        """One page; what is counted are the whole cluster's devices."""
        asked = DeviceQuery(
            filter=self._filter, kind=self._kind, limit=limit, cursor=cursor, known=known, gpus=True
        )
        answer = await source.devices(asked)
        free = f", {mebibytes(answer.free_mib)} of {mebibytes(answer.total_mib)} free"
        states = {"nodes" + (free if answer.total_mib else ""): answer.nodes}
        if answer.down:
            states["interfaces down"] = answer.down
        if answer.quarantined:
            states["quarantined"] = answer.quarantined
        return Slice(answer.devices, answer.next, answer.total, states, answer.tag, answer.unchanged)

    def absorb(self, deltas: Deltas) -> bool:
        """Machines say what they have when they register, and tasks take GPUs."""
        return bool(deltas.nodes or deltas.tasks)

    def preview(self, row: Device) -> list[Line]:
        """The device in full."""
        facts = [*self.refused(row), *device_facts(row, now_s=self.now_s)]
        return facts + (interface_facts(row) if row.kind is DeviceKind.INTERFACE else [])

    def shell_command(self) -> str:
        """The same devices."""
        return command("devices", kind=self._kind, filter=self._filter)

    def scope(self) -> Scope | None:
        """A filter is of nodes: no GPUs are meant by it."""
        return None

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """There is no filter of what goes wrong with a device, and none that means all of them."""
        return False if action in ("faults", "all_matching") else super().check_action(action, parameters)

    def action_steer(self, verb: str) -> None:
        """Do it to the marked GPUs, else to the one under the cursor."""
        rows = self.table.chosen
        if rows and all(row.gpu is None for row in rows):
            self.notify("only GPUs are quarantined; t shows them alone", severity="warning", markup=False)
        else:
            super().action_steer(verb)

    def action_kind(self) -> None:
        """All devices, disks, interfaces, or GPUs; each with its own columns."""
        kinds = list(LISTINGS)
        self._kind = kinds[(kinds.index(self._kind) + 1) % len(kinds)]
        self.table.mark(())
        self.table.list_as(LISTINGS[self._kind])
        self._ask_for()

    def action_volumes(self) -> None:
        """The volumes on the nodes."""
        self.app.push_screen(VolumesScreen())

    def action_pools(self) -> None:
        """The pools that volumes lie in."""
        self.app.push_screen(PoolsScreen())

    def action_topologies(self) -> None:
        """The networks that nodes are in."""
        self.app.push_screen(TopologiesScreen())

    @on(VirtualTable.Selected)
    def action_details(self) -> None:
        """The node that the device is in."""
        if (device := self.table.row) is not None:
            self.app.push_screen(node_details(device.node))
