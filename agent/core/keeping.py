"""What a node's content store decides: whether there is room, and what goes to make some. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

MIB = 1024 * 1024
KEEP_FREE = 512 * MIB
"""Bytes that stay free on the disk whatever comes: tasks and the node's own state need them more."""


class Limits(Struct, frozen=True, kw_only=True):
    """In bytes. `store`: what all blobs together may have (None: only the disk limits them)."""

    store: int | None = None
    keep_free: int = KEEP_FREE


class Kept(Struct, frozen=True, kw_only=True):
    """A blob as the decision sees it. `used_at`: when it was last taken or read; only compared."""

    sha256: str
    size: int
    used_at: float
    pinned: bool


class Room(Struct, frozen=True, kw_only=True):
    """`evict` these first, oldest first. `lacking`: bytes that cannot be had even so (then nothing goes)."""

    evict: tuple[str, ...] = ()
    lacking: int = 0


def make_room(wanted: int, kept: Iterable[Kept], *, reserved: int, free: int, limits: Limits) -> Room:
    """Whether `wanted` more bytes fit. `free`: of the disk. `reserved`: promised
    to others and not written yet.

    What is pinned stays. What is not is a cache, of which the longest unused goes first.
    """
    blobs = list(kept)
    need = wanted + reserved + limits.keep_free - free
    if limits.store is not None:
        need = max(need, sum(blob.size for blob in blobs) + reserved + wanted - limits.store)
    evict = _oldest(blobs, need)
    got = sum(blob.size for blob in evict)
    if got < need:
        return Room(lacking=need - got)
    return Room(evict=tuple(blob.sha256 for blob in evict))


def unused(kept: Iterable[Kept], *, before: float) -> tuple[str, ...]:
    """The blobs that nobody pins and nobody used since `before`, oldest first."""
    old = [blob for blob in kept if not blob.pinned and blob.used_at < before]
    return tuple(blob.sha256 for blob in sorted(old, key=_age))


def _oldest(blobs: list[Kept], need: int) -> list[Kept]:
    chosen: list[Kept] = []
    for blob in sorted((blob for blob in blobs if not blob.pinned), key=_age):
        if need <= 0:
            break
        chosen.append(blob)
        need -= blob.size
    return chosen


def _age(blob: Kept) -> tuple[float, str]:
    return blob.used_at, blob.sha256
