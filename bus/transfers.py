"""Content from and to the nodes that keep it, over streams, verified at both ends. See `bus.artifacts`."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from bus.artifacts import GET, OFFSET_BYTES, PUT, Artifact
from bus.checkpoints import Checkpoint, CheckpointFile
from bus.errors import ApiError
from bus.models import Model
from bus.refusal import refusal
from bus.streams import StreamBroken, joined

if TYPE_CHECKING:
    from bus.client import Client

PIECE = 256 * 1024
_TRIES = 5


class _Stored(msgspec.Struct):
    id: str
    media_type: str


async def fetch(client: Client, artifact: Artifact, target: BinaryIO) -> None:
    """Write the content of `artifact` to `target`, an empty file. What breaks off is gone on with.

    Raises ApiError: E_HASH where it is not what its hash says; then nothing of `target` is to be used.
    """
    await _fetch(client, {"artifact": artifact.id}, target, sha256=artifact.sha256, size=artifact.size)


async def pull(client: Client, model: Model, target: BinaryIO) -> None:
    """Likewise of a version of a model: what it was registered with, or E_HASH."""
    wanted = {"model": f"{model.name}@{model.version}"}
    await _fetch(client, wanted, target, sha256=model.sha256, size=model.size)


async def fetch_saved(client: Client, checkpoint: Checkpoint, file: CheckpointFile, target: BinaryIO) -> None:
    """Likewise of a file of a checkpoint."""
    wanted: dict[str, str | int] = {"checkpoint": checkpoint.id, "name": file.name, "rank": file.rank}
    await _fetch(client, wanted, target, sha256=file.sha256, size=file.size)


async def _fetch(
    client: Client, wanted: Mapping[str, str | int], target: BinaryIO, *, sha256: str, size: int
) -> None:
    digest = hashlib.sha256()
    offset = 0
    for again in range(_TRIES):
        opened = await client.open_stream(GET, params={**wanted, "offset": offset})
        try:
            async with joined(client.bus, opened.node, opened.stream) as stream:
                while piece := await stream.read(PIECE):
                    target.write(piece)
                    digest.update(piece)
                    offset += len(piece)
                    if offset > size:
                        break
                break
        except StreamBroken as broken:
            if again == _TRIES - 1 or broken.code not in ("E_STREAM_GONE", "E_STREAM"):
                raise ApiError(refusal("E_UNAVAILABLE", f"it broke off: {broken}")) from broken
    found = digest.hexdigest()
    if offset != size or found != sha256:
        raise ApiError(refusal("E_HASH", got=f"{offset} bytes, {found}", expected=sha256))


async def store(client: Client, source: BinaryIO, name: str, *, node: str = "") -> Artifact:
    """Bring the file `source` to a node that has room, as `name`; what it has of it already is not sent
    again.

    Raises ApiError: E_CHANGED where it was written to meanwhile, E_SPACE, E_NAME_CLASH and others.
    """
    before = os.fstat(source.fileno())
    sha256, size = await asyncio.to_thread(_digest, source)
    params = {"name": name, "size": size, "sha256": sha256, "node": node}
    opened = await client.open_stream(PUT, params=params)
    try:
        async with joined(client.bus, opened.node, opened.stream) as stream:
            offset = int.from_bytes(await stream.read_exactly(OFFSET_BYTES), "big")
            source.seek(offset)
            while offset < size and (piece := source.read(min(PIECE, size - offset))):
                await stream.write(piece)
                offset += len(piece)
            stream.end()
            said = b""
            while piece := await stream.read():
                said += piece
    except StreamBroken as broken:
        after = os.fstat(source.fileno())
        if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
            raise ApiError(refusal("E_CHANGED")) from broken
        code = broken.code if broken.code in _SAID else "E_UNAVAILABLE"
        raise ApiError(refusal(code, str(broken))) from broken
    return await client.artifact(msgspec.json.decode(said, type=_Stored).id)


def _digest(source: BinaryIO) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    while piece := source.read(PIECE):
        digest.update(piece)
        size += len(piece)
    return digest.hexdigest(), size


_SAID = frozenset({"E_HASH", "E_SPACE", "E_NAME_CLASH", "E_CONFLICT", "E_NOT_FOUND", "E_FENCED"})
"""What a node may answer about content; anything else is that it could not be brought."""
