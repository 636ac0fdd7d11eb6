"""What an action would do to volumes, in words, and why it would do nothing to some of them."""

from __future__ import annotations

from collections.abc import Sequence

from bus.units import counted
from bus.volumes import PoolEntry, VolumeEntry
from tui.view.arguments import YES, Arguments
from tui.view.storage import backed_text, size_text, tasks_text

OF_SNAPSHOTS = frozenset({"restore", "unsnapshot"})
"""These need one that is there."""

SHOWN_MAX = 6
DELETED = "deleted"


def effect_of(verb: str, volumes: Sequence[VolumeEntry], arguments: Arguments) -> tuple[str, ...]:
    """What comes of `verb`, which a task that has a volume may keep from being done."""
    said, snapshot = counted(len(volumes), "volume"), arguments.snapshot
    match verb:
        case "snapshot":
            effect = f"what is in it now is kept as {snapshot}"
            return (effect, *_in_use([task for each in volumes for task in each.writers], "write to it"))
        case "restore":
            there = _snapshots(volumes)
            return (f"as it was in {snapshot}: what is in it now is lost", *there, *_open(volumes))
        case "unsnapshot":
            return (f"{snapshot} is gone for ever; the volume stays as it is", *_snapshots(volumes))
        case "remove":
            used = f"{said}, {size_text(sum(each.used for each in volumes))} used"
            if arguments.now:
                effect = f"{used}: gone at once, with all snapshots; nothing brings it back"
            else:
                effect = f"{used}: gone after the days of grace; until then it can be brought back"
            return (effect, *_open(volumes))
        case "undelete":
            return (f"{said} there again, as before",)
        case "set":
            return _policies(volumes, arguments)
        case _:
            return ("the best copy takes over; what only the lost node has is lost",)


def misfit_of(verb: str, volume: VolumeEntry) -> str:
    """Why `verb` would do nothing to it; "" where it would do something."""
    is_gone = volume.state == DELETED
    match verb:
        case "undelete":
            return "" if is_gone else "is not deleted"
        case "remove":
            return "is deleted already" if is_gone else ""
        case _ if is_gone:
            return "is deleted: bring it back first"
        case "restore" | "unsnapshot":
            return "" if volume.snapshots else "has no snapshots"
        case "promote":
            return "" if volume.copies else "has no copies"
        case _:
            return ""


def has_come_of(verb: str, volume: VolumeEntry, arguments: Arguments) -> bool:
    """Whether the row says that it is done."""
    named = [each for each in volume.snapshots if each.name == arguments.snapshot]
    match verb:
        case "snapshot":
            return any(each.ready for each in named)
        case "unsnapshot":
            return not named
        case "create" | "restore":
            return volume.state == "ready"
        case "promote":
            return True  # with its answer it lies elsewhere
        case "set":
            return policies_of(volume) == named_policies(volume, arguments)
        case _:
            return bool(misfit_of(verb, volume))


def policies_of(volume: VolumeEntry) -> Arguments:
    """What is kept of it now, as one fills it in."""
    if not volume.backup_pool:
        return Arguments(snapshots=volume.policy)
    return Arguments(
        snapshots=volume.policy,
        backup=YES,
        backup_pool=volume.backup_pool,
        copies=str(volume.backup_copies),
    )


def named_policies(volume: VolumeEntry, told: Arguments) -> Arguments:
    """The same with all that is left empty, as the volume's row would say it."""
    if not told.backup:
        return Arguments(snapshots=told.snapshots)
    return Arguments(
        snapshots=told.snapshots,
        backup=YES,
        backup_pool=told.backup_pool or volume.pool,
        copies=told.copies or "1",
    )


def _policy_of(volume: VolumeEntry) -> str:
    backed = f", backed up {backed_text(volume)}" if volume.backup_pool else ""
    return f"snapshots {volume.policy}{backed}" if volume.policy else "none"


def _policies(volumes: Sequence[VolumeEntry], told: Arguments) -> tuple[str, ...]:
    clock = f"snapshots {told.snapshots}" if told.snapshots else "no snapshots by the clock any more"
    kept = "none of them is backed up"
    if told.backup:
        where = f"pool {told.backup_pool}" if told.backup_pool else "the same pool"
        number = told.copies or "1"
        on = "another node" if number == "1" else f"{number} other nodes"
        kept = f"each is kept on {on} of {where}"
    before = sorted({_policy_of(each) for each in volumes})
    said = (
        f"{clock}; {kept}; what there is stays"
        if told.snapshots or told.backup
        else f"{clock}; what there is stays"
    )
    refused = (
        ("refused: what is backed up is what the clock has taken",)
        if told.backup and not told.snapshots
        else ()
    )
    return (said, *(f"now: {each}" for each in before[:SHOWN_MAX]), *refused)


def effect_of_pool(verb: str, pools: Sequence[PoolEntry], arguments: Arguments) -> tuple[str, ...]:
    """What comes of pools that are made, or go."""
    if verb == "pool_remove":
        used = [each.name for each in pools if each.volumes]
        refused = (f"refused while volumes are in it: {', '.join(used[:SHOWN_MAX])}",) if used else ()
        return (f"{counted(len(pools), 'pool')}: its folder goes from each node, empty as it is", *refused)
    nodes = arguments.nodes.split(",")
    rest = [word for word, on in (("compressed", arguments.compress), ("encrypted", arguments.encrypt)) if on]
    at_rest = f", {' and '.join(rest)} at rest" if rest else ""
    copies = f"; each volume lies on {arguments.replicas} nodes" if arguments.replicas else ""
    return (
        f"{arguments.size} on each of {counted(len(nodes), 'node')}{at_rest}{copies}",
        f"folder {arguments.path}",
    )


def said_of(pool: PoolEntry) -> Arguments:
    """What a pool like this one is made with."""
    return Arguments(
        pool_type="" if pool.type == "local" else pool.type,
        nodes=",".join(each.node for each in pool.nodes),
        path=pool.path,
        size=f"{pool.total_mib // max(len(pool.nodes), 1)}MiB",
        tier=pool.tier,
        compress=YES if pool.compress else "",
        encrypt=YES if pool.encrypt else "",
        replicas=str(pool.replicas) if pool.replicas > 1 else "",
    )


def newest_snapshot(volume: VolumeEntry) -> str:
    """That is there; "" where none is."""
    ready = [each for each in volume.snapshots if each.ready]
    return max(ready, key=lambda each: each.created_at).name if ready else ""


def effect_of_create(arguments: Arguments) -> tuple[str, ...]:
    """What would be made, where, and for whom."""
    where = f"on {arguments.node}" if arguments.node else "where most room is"
    begins = f", as {arguments.source} is" if arguments.source else ", empty"
    whose = "everybody's tasks may have it" if arguments.shared else "for your tasks alone"
    kept = ""
    if arguments.backup:
        on = f"{arguments.copies} other nodes" if arguments.copies not in ("", "1") else "another node"
        kept = f", kept on {on}, too" + (
            f", in pool {arguments.backup_pool}" if arguments.backup_pool else ""
        )
    clock = (f"snapshots {arguments.snapshots}{kept}",) if arguments.snapshots or kept else ()
    return (f"{arguments.size} of pool {arguments.pool} {where}{begins}; {whose}", *clock)


def _snapshots(volumes: Sequence[VolumeEntry]) -> tuple[str, ...]:
    names = sorted({each.name for volume in volumes for each in volume.snapshots})
    more = " …" if len(names) > SHOWN_MAX else ""
    return (f"there: {', '.join(names[:SHOWN_MAX])}{more}",) if len(names) > 1 else ()


def _open(volumes: Sequence[VolumeEntry]) -> tuple[str, ...]:
    return _in_use([task for each in volumes for task in each.tasks], "have it")


def _in_use(tasks: Sequence[str], how: str) -> tuple[str, ...]:
    return (f"refused while tasks {how}: {tasks_text(tasks)}",) if tasks else ()
