"""Disks and network interfaces of all machines."""

from __future__ import annotations

from textual import on
from textual.binding import Binding

from bus.equipment import Device, DeviceKind, DeviceQuery
from tui.client.pages import Slice
from tui.client.session import Deltas
from tui.client.source import Source
from tui.screens.document import node_details
from tui.screens.listing import ListScreen
from tui.screens.volumes import VolumesScreen
from tui.view.amounts import mebibytes
from tui.view.equipment import DEVICES, device_facts
from tui.view.lines import Line
from tui.view.networks import interface_facts
from tui.view.shell import command
from tui.widgets.virtual_table import VirtualTable

KINDS = (None, DeviceKind.DISK, DeviceKind.INTERFACE)


class StorageScreen(ListScreen[Device]):
    """Enter on a device shows its node."""

    past_note = "disks and cards as of now"
    BINDINGS = [
        Binding("d", "details", "node", id="storage.details"),
        Binding("t", "kind", "disks, interfaces, both", id="storage.kind"),
        Binding("v", "volumes", "volumes", id="storage.volumes"),
    ]
    listing = DEVICES
    crumb = "storage"
    empty = (
        "No disks and no network interfaces are known.\n\n"
        "Agents tell what their machines have when they register."
    )
    example = "name=n1 label.rack=r01 kind=storage"

    def __init__(self) -> None:
        super().__init__()
        self._kind: DeviceKind | None = None

    async def fetch(self, source: Source, *, cursor: str, limit: int, known: str = "") -> Slice[Device]:
        """One page; what is counted are the whole cluster's disks and cards."""
        asked = DeviceQuery(filter=self._filter, kind=self._kind, limit=limit, cursor=cursor, known=known)
        answer = await source.devices(asked)
        free = f", {mebibytes(answer.free_mib)} of {mebibytes(answer.total_mib)} free"
        states = {"nodes" + (free if answer.total_mib else ""): answer.nodes}
        if answer.down:
            states["interfaces down"] = answer.down
        return Slice(answer.devices, answer.next, answer.total, states, answer.tag, answer.unchanged)

    def absorb(self, deltas: Deltas) -> bool:
        """Machines say what they have when they register."""
        return bool(deltas.nodes)

    def preview(self, row: Device) -> list[Line]:
        """The device in full."""
        return device_facts(row) + (interface_facts(row) if row.kind is DeviceKind.INTERFACE else [])

    def shell_command(self) -> str:
        """The same devices."""
        return command("devices", kind=self._kind, filter=self._filter)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """There is no filter of what goes wrong with a device."""
        return False if action == "faults" else super().check_action(action, parameters)

    def action_kind(self) -> None:
        """Disks alone, interfaces alone, or both."""
        self._kind = KINDS[(KINDS.index(self._kind) + 1) % len(KINDS)]
        self._ask_for()

    def action_volumes(self) -> None:
        """The volumes on the nodes."""
        self.app.push_screen(VolumesScreen())

    @on(VirtualTable.Selected)
    def action_details(self) -> None:
        """The node that the device is in."""
        if (device := self.table.row) is not None:
            self.app.push_screen(node_details(device.node))
