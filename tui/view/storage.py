"""Pools and volumes for people."""

from __future__ import annotations

from collections.abc import Sequence

from bus.instants import format_instant
from bus.units import counted, format_size_mib
from bus.volumes import Backup, PoolEntry, VolumeEntry
from tui.view.amounts import first_of
from tui.view.safe import safe_text
from tui.view.table import Column

MIB = 1024 * 1024

POOLS = (
    Column("POOL"),
    Column("TYPE"),
    Column("TIER"),
    Column("SIZE", right=True),
    Column("GIVEN", right=True),
    Column("VOLUMES", right=True),
    Column("AT REST"),
    Column("NODES"),
)

VOLUMES = (
    Column("VOLUME"),
    Column("STATE"),
    Column("POOL"),
    Column("NODE"),
    Column("SIZE", right=True),
    Column("USED", right=True),
    Column("MODE"),
    Column("OWNER"),
    Column("TASKS"),
)


BACKUPS = (
    Column("VOLUME"),
    Column("BACKUP"),
    Column("STATE"),
    Column("POOL"),
    Column("NODE"),
    Column("SIZE", right=True),
    Column("TAKEN"),
    Column("OWNER"),
    Column("WHY"),
)


def backup_row(backup: Backup) -> tuple[str, ...]:
    """One line of `corral volume backups`."""
    return (
        backup.volume,
        backup.name,
        backup.state,
        backup.pool,
        backup.node,
        size_text(backup.size),
        format_instant(backup.taken_at) if backup.taken_at is not None else "",
        backup.owner,
        safe_text(backup.fault),
    )


def pool_row(pool: PoolEntry) -> tuple[str, ...]:
    """One line of `corral pool ls`."""
    faulty = [each.node for each in pool.nodes if each.fault]
    nodes = first_of([each.node for each in pool.nodes], 4)
    return (
        pool.name,
        pool.type,
        pool.tier,
        format_size_mib(pool.total_mib),
        format_size_mib(pool.used_mib),
        str(pool.volumes),
        at_rest(pool),
        nodes + (f" ({len(faulty)} faulty)" if faulty else ""),
    )


def at_rest(pool: PoolEntry) -> str:
    """What is done to volumes while nobody has them."""
    done = [word for word, on in (("compressed", pool.compress), ("encrypted", pool.encrypt)) if on]
    return ", ".join(done) or "as they are"


def pool_lines(pool: PoolEntry) -> list[str]:
    """`corral pool show`."""
    lines = [
        f"pool {pool.name}, {pool.type}, {pool.tier}",
        f"path      {safe_text(pool.path)}",
        f"size      {format_size_mib(pool.total_mib)}, {format_size_mib(pool.used_mib)} of it given",
        f"at rest   {at_rest(pool)}",
        f"volumes   {pool.volumes}",
    ]
    for each in pool.nodes:
        state = safe_text(each.fault) if each.fault else f"{format_size_mib(each.free_mib)} free on its disk"
        lines.append(f"node      {each.node}: {format_size_mib(each.given_mib)} given; {state}")
    return lines


def volume_row(volume: VolumeEntry) -> tuple[str, ...]:
    """One line of `corral volume ls`."""
    return (
        volume.name,
        volume.state,
        volume.pool,
        volume.node,
        format_size_mib(volume.size_mib),
        size_text(volume.used),
        volume.mode,
        volume.owner,
        tasks_text(volume.tasks),
    )


def replica_state(state: str) -> str:
    """The state of a copy as people read it."""
    return state.replace("_", " ")


def tasks_text(tasks: Sequence[str]) -> str:
    """The first few."""
    return first_of(tasks, 3)


def size_text(size: int) -> str:
    """Bytes as MiB and more, rounded up."""
    return format_size_mib(-(-size // MIB))


def _backup_texts(backup: Backup) -> list[tuple[str, str]]:
    """Where and how it is first: a narrow panel has no more of a line."""
    where = f" on {backup.node}" if backup.node else ""
    size = f", {size_text(backup.size)}" if backup.node else ""
    taken = f", taken at {format_instant(backup.taken_at)}" if backup.taken_at is not None else ""
    facts = [("backup", f"{backup.name}{where}: {backup.state}{size}{taken}")]
    return facts + ([("", backup.fault)] if backup.fault else [])


def policy_text(volume: VolumeEntry) -> str:
    """Snapshots by the clock; "" without."""
    following = volume.next_snapshot_at
    due = f", the next at {format_instant(following)}" if following is not None else ""
    return f"snapshots {volume.policy}{due}" if volume.policy else ""


def backed_text(volume: VolumeEntry) -> str:
    """Where those are backed up; "" nowhere."""
    many = f" on {volume.backup_copies} nodes" if volume.backup_copies > 1 else ""
    return f"in pool {volume.backup_pool}{many}" if volume.backup_pool else ""


def volume_lines(volume: VolumeEntry) -> list[str]:
    """`corral volume show`."""
    facts = [f"{label:<9} {safe_text(text)}" for label, text in volume_texts(volume)]
    return [f"volume {volume.name}, {volume.state}", *facts]


def volume_texts(volume: VolumeEntry) -> list[tuple[str, str]]:
    """All but its name and state: what each fact is about, and the fact, as yet unsafe."""
    facts = [
        ("pool", f"{volume.pool}, on {volume.node}" + (", encrypted at rest" if volume.sealed else "")),
        ("size", f"{format_size_mib(volume.size_mib)}, {size_text(volume.used)} used"),
        ("mode", str(volume.mode)),
        ("owner", volume.owner + (", shared with all" if volume.shared else "")),
    ]
    facts += [
        (label, text)
        for label, text in (("path", volume.path), ("class", volume.storage_class), ("fault", volume.fault))
        if text
    ]
    if volume.tasks:
        facts.append(("tasks", f"{tasks_text(volume.tasks)}; {counted(len(volume.writers), 'writer')}"))
    for copy in volume.copies:
        fault = f": {copy.fault}" if copy.fault else ""
        facts.append(("copy", f"{copy.node}: {replica_state(copy.state)}{fault}"))
    if volume.policy:
        facts.append(("clock", policy_text(volume)))
        if backed := backed_text(volume):
            facts.append(("backed up", backed))
    for each in volume.snapshots:
        state = size_text(each.size) if each.ready else "being taken, when nobody writes"
        taken = f", taken at {format_instant(each.taken_at)}" if each.taken_at is not None else ""
        facts.append(("snapshot", f"{each.name}: {state}{taken}"))
    facts += [fact for each in volume.backups for fact in _backup_texts(each)]
    return facts
