"""What to do next about one volume of this node: `next_step(wanted, seen)`. Pure.

A volume of a pool that packs lies there as one sealed file, and as a folder (`live`) only while tasks have
it. What a task may have changed is sealed again before it counts: until then the folder is the newest.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct

from bus.volume_wire import VolumeWanted


class Deed(StrEnum):
    REMOVE = "remove"  # all of it
    MAKE = "make"  # empty
    FILL = "fill"  # with the content of a snapshot
    SEAL = "seal"  # the folder becomes the sealed file
    PUT_AWAY = "put away"  # the folder; the sealed file has the same
    SNAPSHOT = "snapshot"
    DROP = "drop"  # a snapshot
    FETCH = "fetch"  # the sealed file that another node has
    BRING = "bring"  # a snapshot that another node has
    PACK = "pack"  # a snapshot that is a folder, for another node to fetch
    UNPACK = "unpack"  # that sealed file goes again


class Step(NamedTuple):
    deed: Deed
    snapshot: str = ""


class Seen(Struct, frozen=True, kw_only=True):
    """A volume as it lies on the disk. `changed`: the folder may have more than the sealed file.

    `damaged`: the sealed file is not what was sealed.
    """

    exists: bool
    packs: bool = False
    live: bool = False
    changed: bool = False
    damaged: bool = False
    uses: int = 0
    writers: int = 0
    filled: int = 0
    sha256: str = ""
    snapshots: frozenset[str] = frozenset()
    packed: frozenset[str] = frozenset()


def next_step(wanted: VolumeWanted | None, seen: Seen) -> Step | None:
    """None: all is as it should be, or tasks must end first. `wanted` None: nobody has said yet."""
    if wanted is not None and wanted.removed:
        return Step(Deed.REMOVE) if seen.exists and not seen.uses else None
    if not seen.exists and wanted is not None and wanted.sha256:
        return Step(Deed.FETCH)  # also a primary: it is lost here, and must not begin anew as an empty one
    if wanted is not None and wanted.content is not None and wanted.content.number > seen.filled:
        return None if seen.uses else Step(Deed.FILL, wanted.content.snapshot)
    if not seen.exists:
        return Step(Deed.MAKE) if wanted is not None and wanted.primary else None
    if seen.packs and (seen.changed or (seen.damaged and seen.live)) and not seen.writers:
        return Step(Deed.SEAL)
    if seen.damaged:
        is_elsewhere = wanted is not None and wanted.sha256 != "" and not seen.live
        return Step(Deed.FETCH) if is_elsewhere else None
    if seen.packs and seen.live and not seen.uses:
        return Step(Deed.PUT_AWAY)
    return None if wanted is None else _further(wanted, seen)


def _further(wanted: VolumeWanted, seen: Seen) -> Step | None:
    for each in wanted.dropped:
        if each in seen.snapshots:
            return Step(Deed.DROP, each)
    if not wanted.primary and wanted.sha256 not in ("", seen.sha256):
        return Step(Deed.FETCH) if not seen.uses else None
    for kept in wanted.kept:
        if kept.id not in seen.snapshots:
            return Step(Deed.BRING, kept.id)
    if wanted.primary:
        missing = [each for each in wanted.snapshots if each not in seen.snapshots]
        if missing and not seen.writers:
            return Step(Deed.SNAPSHOT, missing[0])
    return _packing(wanted, seen)


def _packing(wanted: VolumeWanted, seen: Seen) -> Step | None:
    """Where volumes are not packed anyway."""
    if not seen.packs:
        for each in wanted.packed:
            if each in seen.snapshots and each not in seen.packed:
                return Step(Deed.PACK, each)
    for each in sorted(seen.packed):
        if each not in wanted.packed:
            return Step(Deed.UNPACK, each)
    return None
