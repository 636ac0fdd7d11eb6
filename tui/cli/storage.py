"""`pool` and `volume`: storage from the command line."""

from __future__ import annotations

import asyncio
from argparse import Namespace
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from bus.codec import from_fields
from bus.volumes import Backup, PoolCreate, PoolEntry, VolumeCreate, VolumeEntry, VolumeList
from tui.cli import output
from tui.cli.connect import client
from tui.cli.diagnostics import CommandError, Exit
from tui.cli.moments import EXPECTED, parse_moment
from tui.view.storage import (
    BACKUPS,
    POOLS,
    VOLUMES,
    backed_text,
    backup_row,
    policy_text,
    pool_lines,
    pool_row,
    volume_lines,
    volume_row,
)
from tui.view.table import Column

if TYPE_CHECKING:
    from bus.client import Client

POLL_S = 0.2
"""Between two looks at a volume that is being made, copied or filled."""


async def pool(arguments: Namespace) -> int:
    """One of the actions."""
    async with client(arguments) as corral:
        match arguments.action:
            case "ls" | "list":
                found = (await corral.pools()).pools
                _print(arguments, found, [each.name for each in found], POOLS, map(pool_row, found))
            case "create":
                _one_pool(arguments, await corral.create_pool(_pool(arguments)), "created")
            case "show":
                entry = await corral.pool(_named(arguments.name))
                output.one(arguments.output, entry, name=entry.name, text=lambda: pool_lines(entry))
            case _:
                _one_pool(arguments, await corral.remove_pool(_named(arguments.name)), "removed")
    return Exit.OK


def _pool(arguments: Namespace) -> PoolCreate:
    return from_fields(
        {
            "name": _named(arguments.name),
            "type": arguments.type,
            "nodes": _said(arguments.nodes, "--nodes", "the pool's nodes, A,B").split(","),
            "path": _said(arguments.path, "--path", "a folder on each of them"),
            "size": _said(arguments.size, "--size", "an amount, such as 10GiB"),
            "tier": arguments.tier,
            "compress": arguments.compress,
            "encrypt": arguments.encrypt,
            "replicas": arguments.replicas or (2 if arguments.type == "replicated" else 1),
        },
        PoolCreate,
    )


async def volume(arguments: Namespace) -> int:
    """One of the actions."""
    actions: dict[str, Callable[[Namespace, Client], Coroutine[Any, Any, None]]] = {
        "ls": _list,
        "list": _list,
        "create": _create,
        "show": _show,
        "set": _set,
        "rm": _remove,
        "undelete": _undelete,
        "snapshot": _snapshot,
        "unsnapshot": _unsnapshot,
        "backup": _backup,
        "backups": _backups,
        "unbackup": _unbackup,
        "restore": _restore,
        "promote": _promote,
    }
    async with client(arguments) as corral:
        await actions[arguments.action](arguments, corral)
    return Exit.OK


async def _list(arguments: Namespace, corral: Client) -> None:
    query = VolumeList(pool=arguments.pool or "", deleted=arguments.deleted)
    found = (await corral.volumes(query)).volumes
    _print(arguments, found, [each.name for each in found], VOLUMES, map(volume_row, found))


async def _create(arguments: Namespace, corral: Client) -> None:
    asked = from_fields(
        {
            "name": _named(arguments.name),
            "pool": _said(arguments.pool, "--pool", "the pool that it lies in"),
            "size": _said(arguments.size, "--size", "an amount, such as 10GiB"),
            "mode": arguments.mode,
            "node": arguments.node,
            "path": arguments.path,
            "source": arguments.source,
            "storage_class": arguments.storage_class,
            "shared": arguments.shared,
            "snapshots": arguments.snapshots or "",
            "backup": bool(arguments.backup),
            "backup_pool": arguments.backup_pool or "",
            "backup_copies": arguments.copies or 1,
        },
        VolumeCreate,
    )
    made = await corral.create_volume(asked)
    made = await _settled(arguments, corral, made, lambda each: each.state == "ready")
    _one(arguments, made, f"{made.state} on {made.node}")


async def _show(arguments: Namespace, corral: Client) -> None:
    entry = await corral.volume(_named(arguments.name))
    output.one(arguments.output, entry, name=entry.name, text=lambda: volume_lines(entry))


async def _set(arguments: Namespace, corral: Client) -> None:
    changes = arguments.snapshots, arguments.backup, arguments.backup_pool, arguments.copies
    if all(each is None for each in changes):
        expected = 'what is to change: --snapshots "@daily keep 7" ("" for none), --backup or --no-backup'
        raise CommandError("E_USAGE", "nothing is said", exit=Exit.USAGE, expected=expected)
    entry = await corral.set_volume(
        _named(arguments.name),
        snapshots=arguments.snapshots,
        backup=arguments.backup,
        backup_pool=arguments.backup_pool,
        backup_copies=arguments.copies,
    )
    backed = f", backed up {backed_text(entry)}" if entry.backup_pool else ""
    _one(arguments, entry, f"{policy_text(entry)}{backed}" if entry.policy else "no snapshots by the clock")


async def _remove(arguments: Namespace, corral: Client) -> None:
    gone = await corral.remove_volume(_named(arguments.name), now=arguments.now, lost=arguments.lost)
    said = "is going" if arguments.now else f"deleted; corral volume undelete {gone.name} brings it back"
    _one(arguments, gone, said)


async def _undelete(arguments: Namespace, corral: Client) -> None:
    back = await corral.undelete_volume(_named(arguments.name))
    _one(arguments, back, back.state)


async def _snapshot(arguments: Namespace, corral: Client) -> None:
    name = _snapshot_name(arguments)
    entry = await corral.snapshot_volume(_named(arguments.name), name)

    def taken(each: VolumeEntry) -> bool:
        return any(snapshot.name == name and snapshot.ready for snapshot in each.snapshots)

    entry = await _settled(arguments, corral, entry, taken)
    _one(arguments, entry, f"snapshot {name} {'taken' if taken(entry) else 'is being taken'}")


async def _unsnapshot(arguments: Namespace, corral: Client) -> None:
    name = _snapshot_name(arguments)
    entry = await corral.remove_snapshot(_named(arguments.name), name)
    _one(arguments, entry, f"snapshot {name} removed")


async def _backup(arguments: Namespace, corral: Client) -> None:
    before = {each.name for each in (await corral.volume(_named(arguments.name))).backups}
    said = arguments.snapshot or ""
    entry = await corral.backup_volume(
        _named(arguments.name), said, pool=arguments.pool or "", copies=arguments.copies or 0
    )
    name = said or next(each.name for each in reversed(entry.backups) if each.name not in before)

    def copies(each: VolumeEntry) -> list[Backup]:
        return [backup for backup in each.backups if backup.name == name]

    def done(each: VolumeEntry) -> bool:
        found = copies(each)
        coming = [backup for backup in found if backup.state in ("waiting", "copying")]
        fault = next((backup.fault for backup in coming if backup.fault), "")
        if fault:
            raise CommandError("E_UNAVAILABLE", fault, exit=Exit.UNAVAILABLE, got=name)
        return bool(found) and not coming and len(found) >= found[0].copies

    entry = await _settled(arguments, corral, entry, done)
    there = ", ".join(each.node for each in copies(entry) if each.state == "ready")
    where = f"lies on {there}" if there and done(entry) else "is being made"
    _one(arguments, entry, f"backup {name} {where}")


async def _backups(arguments: Namespace, corral: Client) -> None:
    found = (await corral.backups(arguments.name or "")).backups
    names = [f"{each.volume}@{each.name}" for each in found]
    _print(arguments, found, names, BACKUPS, map(backup_row, found))


async def _unbackup(arguments: Namespace, corral: Client) -> None:
    name = _said(arguments.snapshot, "BACKUP", "the backup's name")
    gone = await corral.remove_backup(_named(arguments.name), name)
    output.one(
        arguments.output, gone, name=gone.name, text=lambda: [f"volume {gone.volume}: backup {name} removed"]
    )


async def _restore(arguments: Namespace, corral: Client) -> None:
    name = await _moment(arguments, corral) if arguments.at else _snapshot_name(arguments)
    node, pool = arguments.node, arguments.pool or ""
    volume = _named(arguments.name)
    if node or pool:
        entry = await corral.rehome_volume(volume, name, node=node, pool=pool)
    else:
        entry = await corral.restore_volume(volume, name)
    entry = await _settled(arguments, corral, entry, lambda each: each.state == "ready")
    _one(arguments, entry, f"as in {_what(entry, name)}" if entry.state == "ready" else "is being restored")


def _what(entry: VolumeEntry, name: str) -> str:
    taken = any(each.name == name and each.ready for each in entry.snapshots)
    return f"{'snapshot' if taken else 'backup'} {name}"


async def _moment(arguments: Namespace, corral: Client) -> str:
    """The newest snapshot, or backup of one, that was taken at `--at` or before. Raises CommandError."""
    if arguments.snapshot:
        message = "a snapshot and --at are said"
        raise CommandError("E_USAGE", message, exit=Exit.USAGE, expected="one of them")
    try:
        at_s = parse_moment(arguments.at, now=datetime.now().astimezone())
    except ValueError as error:
        raise CommandError(
            "E_TIME", "not a time", exit=Exit.USAGE, field="--at", got=arguments.at, expected=EXPECTED
        ) from error
    entry = await corral.volume(_named(arguments.name))
    there = [(each.taken_at, each.name) for each in entry.snapshots if each.ready]
    there += [(each.taken_at, each.name) for each in entry.backups if each.state == "ready"]
    before = [(taken_at, name) for taken_at, name in there if taken_at is not None and taken_at <= at_s]
    if not before:
        message = f"volume {entry.name} has no snapshot or backup of then, or of before"
        hint = f"corral volume show {entry.name}"
        raise CommandError(
            "E_NOT_FOUND", message, exit=Exit.NOT_FOUND, field="--at", got=arguments.at, hint=hint
        )
    return max(before)[1]


async def _promote(arguments: Namespace, corral: Client) -> None:
    entry = await corral.promote_volume(_named(arguments.name))
    _one(arguments, entry, f"on {entry.node} from now on")


async def _settled(
    arguments: Namespace, corral: Client, entry: VolumeEntry, done: Callable[[VolumeEntry], bool]
) -> VolumeEntry:
    """Until it is done; raises CommandError where its node says that it cannot."""
    while not (done(entry) or arguments.no_wait):
        if entry.fault:
            code, _, message = entry.fault.partition(": ")
            known = code if code.startswith("E_") else "E_UNAVAILABLE"
            raise CommandError(known, message or code, exit=Exit.CONFLICT, got=entry.node)
        await asyncio.sleep(POLL_S)
        entry = await corral.volume(entry.name)
    return entry


def _one(arguments: Namespace, entry: VolumeEntry, said: str) -> None:
    output.one(arguments.output, entry, name=entry.name, text=lambda: [f"volume {entry.name}: {said}"])


def _one_pool(arguments: Namespace, entry: PoolEntry, said: str) -> None:
    output.one(arguments.output, entry, name=entry.name, text=lambda: [f"pool {entry.name} {said}"])


def _print(
    arguments: Namespace, values: Sequence[object], names: Sequence[str], columns: Sequence[Column], rows: Any
) -> None:
    match arguments.output:
        case "json":
            output.as_json(values)
        case "jsonl":
            output.as_json_lines(values)
        case "name":
            output.lines(names)
        case _:
            output.table(columns, list(rows))


def _named(name: str | None) -> str:
    return _said(name, "NAME", "a name")


def _snapshot_name(arguments: Namespace) -> str:
    return _said(arguments.snapshot, "SNAPSHOT", "the snapshot's name")


def _said(text: str | None, field: str, expected: str) -> str:
    if not text:
        raise CommandError("E_USAGE", "nothing is said", exit=Exit.USAGE, field=field, expected=expected)
    return text
