"""What a node answers, as far as it can be: bounds of what the coordinator keeps of it.

The codec has checked types. What is beyond all bounds refuses the answer, as if none had come; of volumes, so
that one that is told wrongly hides no other, only that one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from msgspec.structs import replace

from bus.messages import CommandReply, FromAgentReply, LogChunk
from bus.refusal import quote, refusal
from bus.replication import LackedBlobs
from bus.volume_wire import BackupFound, PoolFound, SnapshotFound, VolumeFound, VolumesFound, VolumesWanted
from coordinator.bounds import PLACE_MAX, TEXT_MAX, OutOfBounds, within

KEY_BYTES = 32
PORT_MAX = 65_535
SNAPSHOTS_MAX = 100_000
USERS_MAX = 100_000
_SHA256 = re.compile(r"[0-9a-f]{64}|")

F = TypeVar("F", PoolFound, VolumeFound, BackupFound)


def check_answer(answer: FromAgentReply) -> None:
    """Raises OutOfBounds for what no agent in its right mind answers."""
    match answer:
        case CommandReply(ports=ports):
            for _, port in ports:
                within("port", port, 0, PORT_MAX)
        case LogChunk(offset=offset, size=size):
            within("offset", offset, 0, PLACE_MAX)
            within("size", size, 0, PLACE_MAX)
        case LackedBlobs(hashes=hashes):
            for sha256 in hashes:
                _hash(sha256)
        case _:
            pass


def heard_of(found: VolumesFound, wanted: VolumesWanted) -> VolumesFound:
    """Of what a node was asked for: what it answers, or that this cannot be."""
    return replace(
        found,
        pools=tuple(_each(found.pools, {each.id for each in wanted.pools}, _check_pool)),
        volumes=tuple(_each(found.volumes, {each.id for each in wanted.volumes}, _check_volume)),
        backups=tuple(_each(found.backups, {each.id for each in wanted.backups}, _check_text)),
    )


def _each(found: Iterable[F], asked: set[str], check: Callable[[F], None]) -> Iterator[F]:
    for each in found:
        if each.id not in asked:
            continue
        try:
            check(each)
        except OutOfBounds as error:
            yield type(each)(id=each.id, fault=f"its node answers what cannot be: {error}"[:TEXT_MAX])
        else:
            yield each


def _check_text(found: PoolFound | VolumeFound | BackupFound) -> None:
    within("length of a fault", len(found.fault), 0, TEXT_MAX)


def _check_pool(found: PoolFound) -> None:
    _check_text(found)
    within("free_mib", found.free_mib, 0, PLACE_MAX)
    if found.key:
        within("length of a key", len(found.key), KEY_BYTES, KEY_BYTES)


def _check_volume(found: VolumeFound) -> None:
    _check_text(found)
    _hash(found.sha256)
    for name in ("generation", "size", "used", "filled", "sealed_fill"):
        within(name, getattr(found, name), 0, PLACE_MAX)
    for attempts in (found.uses, found.writers, found.unsealed):
        within("number of attempts", len(attempts), 0, USERS_MAX)
    for snapshots in (found.snapshots, found.packs):
        within("number of snapshots", len(snapshots), 0, SNAPSHOTS_MAX)
        for each in snapshots:
            _check_snapshot(each)


def _check_snapshot(found: SnapshotFound) -> None:
    _hash(found.sha256)
    within("size of a snapshot", found.size, 0, PLACE_MAX)


def _hash(sha256: str) -> None:
    if _SHA256.fullmatch(sha256) is None:
        raise OutOfBounds(refusal("E_VALUE", "no hash", got=quote(sha256[:70])))
