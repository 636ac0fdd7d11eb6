"""What lies behind disks and interfaces: volumes on the nodes, the pools of these, and networks."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace
from textual import on, work
from textual.binding import Binding

from bus.errors import CorralError
from bus.networks import TopologyEntry
from bus.units import counted
from bus.values import Role
from bus.volumes import PoolEntry, VolumeEntry, VolumeList
from tui.client.pages import Slice
from tui.client.session import Deltas
from tui.client.source import Source
from tui.screens.document import node_details
from tui.screens.listing import ListScreen, ShortList
from tui.screens.steerable import SteerableList
from tui.view.arguments import POLICIES, Arguments, blanks_of_create, blanks_of_pool, filled
from tui.view.lines import Line
from tui.view.networks import TOPOLOGIES, topology_facts
from tui.view.shell import command
from tui.view.steering import steer, steer_create, steer_create_pool
from tui.view.volume_effects import DELETED, OF_SNAPSHOTS, newest_snapshot, policies_of
from tui.view.volumes import POOLS, VOLUMES, pool_facts, volume_facts
from tui.widgets.virtual_table import VirtualTable


class VolumesScreen(ShortList, SteerableList[VolumeEntry]):
    """Enter on a volume shows its node. `pool`: only those of one."""

    past_note = "volumes as of now"
    BINDINGS = [
        Binding("c", "create", "create", id="volumes.create"),
        Binding("s", "steer('snapshot')", "snapshot", id="volumes.snapshot"),
        Binding("R", "steer('restore')", "restore", id="volumes.restore"),
        Binding("D", "steer('remove')", "remove", id="volumes.remove"),
        Binding("e", "steer('set')", "policies", id="volumes.set"),
        Binding("u", "steer('undelete')", "bring back", show=False, id="volumes.undelete"),
        Binding("U", "steer('unsnapshot')", "remove a snapshot", show=False, id="volumes.unsnapshot"),
        Binding("m", "steer('promote')", "have a copy take over", show=False, id="volumes.promote"),
        Binding("t", "deleted", "deleted ones, too", show=False, id="volumes.deleted"),
    ]
    listing = VOLUMES
    noun = "volume"
    empty = (
        "No volumes.\n\nc creates one in a pool, t shows what is deleted.\n"
        "In a shell: corral pool create, then corral volume create"
    )

    def __init__(self, pool: str = "") -> None:
        super().__init__()
        self._pool = pool
        self._with_deleted = False
        self.crumb = f"{pool} › volumes" if pool else "volumes"

    async def fetch(self, source: Source, *, cursor: str, limit: int, known: str = "") -> Slice[VolumeEntry]:
        """All of them at once."""
        answer = await source.volumes(VolumeList(pool=self._pool, deleted=self._with_deleted))
        gone = sum(each.state == DELETED for each in answer.volumes)
        return Slice(answer.volumes, "", len(answer.volumes), {DELETED: gone} if gone else {})

    def absorb(self, deltas: Deltas) -> bool:
        """Tasks come to have them, and nodes to hold them."""
        return bool(deltas.tasks or deltas.nodes)

    def preview(self, row: VolumeEntry) -> list[Line]:
        """The volume in full."""
        return [*self.refused(row), *volume_facts(row)]

    def shell_command(self) -> str:
        """The same volumes."""
        return command("volume", "ls", pool=self._pool, deleted=self._with_deleted)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """There is no filter that could mean all of them."""
        return False if action == "all_matching" else super().check_action(action, parameters)

    def action_steer(self, verb: str) -> None:
        """Do it to the marked volumes, else to the one under the cursor, or with its newest snapshot."""
        rows = self.table.chosen
        if verb == "set" and rows:
            self.console.hold_keys()
            self._set(rows)
            return
        if verb in OF_SNAPSHOTS and rows:
            if not any(each.ready for row in rows for each in row.snapshots):
                said = "no snapshot is there; s takes one"
                self.notify(said, severity="warning", markup=False)
                return
            if len(rows) == 1 and (newest := newest_snapshot(rows[0])):
                self.steer(steer(self.noun, verb, rows, Arguments(snapshot=newest)))
                return
        super().action_steer(verb)

    def action_deleted(self) -> None:
        """Those that are deleted and not gone yet beside the others, or not."""
        self._with_deleted = not self._with_deleted
        self.table.mark(())
        self._ask_for()

    def action_create(self) -> None:
        """Fill in a new volume."""
        self.console.hold_keys()
        self._create()

    @work(group="act")
    async def _set(self, rows: Sequence[VolumeEntry]) -> None:
        """Have the policies filled in, beginning with what they are of the first."""
        from tui.modals.blanks import Blanks

        whose = f"volume {rows[0].name}" if len(rows) == 1 else counted(len(rows), "volume")
        refused = self.journal.refused(self.noun, rows[0])
        before = policies_of(rows[0])
        if refused is not None and refused.step.verb == "set":
            before = refused.step.arguments
        form = Blanks(f"Snapshots and backups of {whose}", POLICIES, before)
        texts = await self.app.push_screen_wait(form)
        if texts is not None:
            self.steer(steer(self.noun, "set", rows, filled(texts)))

    @work(group="act")
    async def _create(self) -> None:
        from tui.modals.blanks import Blanks

        try:
            pools = [each.name for each in (await self.session.source.pools()).pools]
        except CorralError as error:
            self.console.give_keys()
            self.tell(error)
            return
        before = self._refused_before() or Arguments(pool=self._pool or (pools[0] if len(pools) == 1 else ""))
        texts = await self.app.push_screen_wait(Blanks("Create a volume", blanks_of_create(pools), before))
        if texts is not None:
            self.steer(steer_create(filled(texts)))

    def _refused_before(self) -> Arguments | None:
        """What was filled in when the newest act here was a volume that could not be created."""
        newest = next(iter(self.journal.acts), None)
        if newest is None or not newest.failed or newest.steering.verb != "create":
            return None
        return newest.failed[0].step.arguments

    @on(VirtualTable.Selected)
    def open_node(self) -> None:
        """The node that holds it."""
        if (volume := self.table.row) is not None:
            self.app.push_screen(node_details(volume.node))


class PoolsScreen(ShortList, SteerableList[PoolEntry]):
    """Enter on a pool shows its volumes; operators create and remove pools."""

    past_note = "pools as of now"
    BINDINGS = [
        Binding("c", "create", "create", id="pools.create"),
        Binding("D", "steer('pool_remove')", "remove", id="pools.remove"),
    ]
    listing = POOLS
    noun = "pool"
    crumb = "pools"
    empty = "No pools.\n\nOperators: c creates one, or in a shell: corral pool create"

    async def fetch(self, source: Source, *, cursor: str, limit: int, known: str = "") -> Slice[PoolEntry]:
        """All of them at once."""
        answer = await source.pools()
        return Slice(answer.pools, "", len(answer.pools))

    def absorb(self, deltas: Deltas) -> bool:
        """Nodes say what is left of their part."""
        return bool(deltas.nodes)

    def preview(self, row: PoolEntry) -> list[Line]:
        """The pool in full, with its part on each node."""
        return [*self.refused(row), *pool_facts(row)]

    def shell_command(self) -> str:
        """The same pools."""
        return command("pool", "ls")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """There is no filter that could mean all of them."""
        return False if action == "all_matching" else super().check_action(action, parameters)

    def least_role(self, action: str, parameters: tuple[object, ...]) -> Role | None:
        """Pools are made by operators."""
        return Role.OPERATOR if action == "create" else super().least_role(action, parameters)

    def action_create(self) -> None:
        """Fill in a new pool."""
        self.console.hold_keys()
        self._create()

    @work(group="act")
    async def _create(self) -> None:
        from tui.modals.blanks import Blanks

        try:
            nodes = [each.name for each in (await self.session.source.nodes(limit=3)).nodes]
        except CorralError as error:
            self.console.give_keys()
            self.tell(error)
            return
        form = Blanks("Create a pool", blanks_of_pool(nodes), self._refused_before())
        texts = await self.app.push_screen_wait(form)
        if texts is not None:
            self.steer(steer_create_pool(filled(texts)))

    def _refused_before(self) -> Arguments:
        """What was filled in when the newest act here was a pool that could not be created."""
        newest = next(iter(self.journal.acts), None)
        if newest is None or not newest.failed or newest.steering.verb != "pool_create":
            return Arguments()
        step = newest.failed[0].step
        return replace(step.arguments, name=step.target)

    @on(VirtualTable.Selected)
    def open_volumes(self) -> None:
        """The volumes in it."""
        if (pool := self.table.row) is not None:
            self.app.push_screen(VolumesScreen(pool.name))


class TopologiesScreen(ShortList, ListScreen[TopologyEntry]):
    """Enter on a network shows the first node in it."""

    past_note = "networks as of now"
    listing = TOPOLOGIES
    crumb = "topologies"
    empty = "No networks are known.\n\nIn a shell: corral topology create NAME --subnet CIDR --bandwidth RATE"

    async def fetch(
        self, source: Source, *, cursor: str, limit: int, known: str = ""
    ) -> Slice[TopologyEntry]:
        """All of them at once."""
        answer = await source.topologies()
        return Slice(answer.topologies, "", len(answer.topologies))

    def absorb(self, deltas: Deltas) -> bool:
        """Nodes come with their interfaces."""
        return bool(deltas.nodes)

    def preview(self, row: TopologyEntry) -> list[Line]:
        """The network in full, with what does not agree with it."""
        return topology_facts(row)

    def shell_command(self) -> str:
        """The same networks."""
        return command("topology", "ls")

    @on(VirtualTable.Selected)
    def open_node(self) -> None:
        """A node that is in it."""
        if (network := self.table.row) is not None and network.nodes:
            self.app.push_screen(node_details(network.nodes[0]))
