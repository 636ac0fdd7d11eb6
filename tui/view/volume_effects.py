"""What an action would do to volumes, in words, and why it would do nothing to some of them."""

from __future__ import annotations

from collections.abc import Sequence

from bus.units import counted
from bus.volumes import VolumeEntry
from tui.view.arguments import Arguments
from tui.view.storage import size_text, tasks_text

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
        case _:
            return bool(misfit_of(verb, volume))


def newest_snapshot(volume: VolumeEntry) -> str:
    """That is there; "" where none is."""
    ready = [each for each in volume.snapshots if each.ready]
    return max(ready, key=lambda each: each.created_at).name if ready else ""


def effect_of_create(arguments: Arguments) -> tuple[str, ...]:
    """What would be made, where, and for whom."""
    where = f"on {arguments.node}" if arguments.node else "where most room is"
    begins = f", as {arguments.source} is" if arguments.source else ", empty"
    whose = "everybody's tasks may have it" if arguments.shared else "for your tasks alone"
    kept = ", kept on another node, too" if arguments.backup else ""
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
