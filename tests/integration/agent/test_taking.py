"""What tasks leave is taken whole and once, through tricks, full stores and outages;

and goes over streams.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from agent.blobs import BlobStore
from agent.core.keeping import Limits
from bus import messages as m
from bus.artifacts import GET, OFFSET_BYTES, PUT
from bus.errors import ApiError
from bus.refusal import refusal
from bus.streams import StreamBroken, joined
from tests.integration.agent.world import A, B, World, until


def left(world: World) -> dict[str, str]:
    """What was told of each file: its type, or the code of why it was not taken."""
    return {file.name: file.code or file.media_type for file in world.coordinator.kept}


def folder(world: World) -> Path:
    return world.node.config.tasks / "1" / "0.1.artifacts"


def store(world: World) -> Any:
    assert world.node.agent is not None
    return world.node.agent._store


async def test_files_are_taken_at_the_end_and_leave_the_folder(world: World) -> None:
    script = (
        'cd $CORRAL_ARTIFACTS; mkdir -p a/b; printf "<html>" > a/b/x.png; printf hello > y; printf "" > empty'
    )
    await world.coordinator.assign(A, "sh", "-c", script)
    await world.coordinator.ended(A)
    await until(lambda: len(world.coordinator.kept) == 3, "all told")
    assert left(world) == {"a/b/x.png": "text/html", "y": "text/plain", "empty": "text/plain"}
    digest = hashlib.sha256(b"hello").hexdigest()
    assert {file.name: file.sha256 for file in world.coordinator.kept}["y"] == digest
    await until(lambda: not folder(world).exists(), "taken away")
    await until(lambda: store(world).pins(digest) == {"cluster"}, "kept for the cluster")


async def test_a_file_is_taken_at_once_and_stays(world: World) -> None:
    add = 'echo first > m; python3 "$CORRAL_HELPER" artifact m; sleep 1000'
    await world.coordinator.assign(A, "sh", "-c", add)
    await until(lambda: left(world) == {"m": "text/plain"}, "taken while it runs")
    assert (folder(world) / "m").read_text() == "first\n"


async def test_tricks_are_refused_and_the_honest_file_is_taken(world: World) -> None:
    script = """cd $CORRAL_ARTIFACTS; ln -s /etc/shadow link; mkfifo pipe; printf x > two; ln two names
        ln -s / folder; printf "" > "$(printf 'a\\nb')"; printf fine > honest"""
    await world.coordinator.assign(A, "sh", "-c", script)
    await world.coordinator.ended(A)
    await until(lambda: len(world.coordinator.kept) == 7, "all told")
    assert left(world) == {
        "link": "E_FILETYPE", "folder": "E_FILETYPE", "pipe": "E_FILETYPE", "two": "E_FILETYPE",
        "names": "E_FILETYPE", "a\nb": "E_NAME", "honest": "text/plain",
    }  # fmt: skip


async def test_a_full_store_keeps_the_result_and_takes_the_file_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.taking._FULL_RETRY_S", 0.05)
    store(world)._limits = Limits(store=3, keep_free=0)
    await world.coordinator.assign(
        A, "sh", "-c", "printf 12345 > $CORRAL_ARTIFACTS/f; echo 7 > $CORRAL_OUTPUT"
    )
    assert (await world.coordinator.ended(A)).output == b"7\n"
    await until(lambda: any("lacking" in fault for fault in world.coordinator.last_faults), "told")
    store(world)._limits = Limits(keep_free=0)
    await until(lambda: left(world) == {"f": "text/plain"}, "taken once there is room")
    await until(lambda: not world.coordinator.last_faults, "and nothing hinders any more")


async def test_an_outage_and_a_restart_lose_nothing(world: World) -> None:
    coordinator = world.coordinator
    coordinator.mute = True
    await coordinator.assign(A, "sh", "-c", "printf data > $CORRAL_ARTIFACTS/f")
    await coordinator.ended(A)
    await until(lambda: left(world), "told, and not answered")
    await world.node.stop()
    coordinator.mute = False
    world.node.start()
    await until(lambda: not folder(world).exists(), "taken after the restart")
    assert {file.sha256 for file in coordinator.kept} == {hashlib.sha256(b"data").hexdigest()}


async def test_a_stale_attempts_files_are_dropped(world: World) -> None:
    world.coordinator.stale.add(A)
    await world.coordinator.assign(
        A, "sh", "-c", "printf stale > $CORRAL_ARTIFACTS/f; printf 2 > $CORRAL_ARTIFACTS/g"
    )
    await world.coordinator.ended(A)
    await world.coordinator.assign(B, "sh", "-c", "printf good > $CORRAL_ARTIFACTS/f")
    await world.coordinator.ended(B)
    digest = hashlib.sha256(b"good").hexdigest()
    await until(lambda: store(world).pins(digest) == {"cluster"}, "the other's is kept")
    assert store(world).pins(hashlib.sha256(b"stale").hexdigest()) == frozenset()


async def test_a_file_that_grows_is_tried_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[int] = []
    take = BlobStore.take

    def changing(self: BlobStore, source: int, *, pin: str) -> Any:
        tries.append(source)
        if len(tries) in (1, 3, 4):
            raise ApiError(refusal("E_CHANGED"))
        return take(self, source, pin=pin)

    monkeypatch.setattr(BlobStore, "take", changing)
    await world.coordinator.assign(A, "sh", "-c", "cd $CORRAL_ARTIFACTS; printf 1 > once; printf 2 > twice")
    await world.coordinator.ended(A)
    await until(lambda: left(world) == {"once": "text/plain", "twice": "E_CHANGED"}, "told")


async def opened(world: World, kind: str, **params: object) -> m.StreamReply:
    answer = await world.coordinator.command(
        m.OpenStream(epoch=1, stream="s1", user="alice", kind=kind, params=params)
    )
    assert isinstance(answer, m.StreamReply)
    return answer


async def test_content_is_brought_gone_on_with_and_fetched(world: World) -> None:
    data = os.urandom(700_000)
    digest = hashlib.sha256(data).hexdigest()
    with store(world).receive(len(data), digest) as begun:
        begun.write(data[:300_000])
    put = {"name": "f", "size": len(data), "sha256": digest, "upload": "u1"}
    assert not (await opened(world, PUT, **put)).code
    async with joined(world.user, "n1", "s1") as stream:
        offset = int.from_bytes(await stream.read_exactly(OFFSET_BYTES), "big")
        assert offset == 300_000
        await stream.write(data[offset:])
        stream.end()
        assert b'"media_type"' in await stream.read()
    assert [(file.upload, file.sha256) for file in world.coordinator.kept] == [("u1", digest)]
    assert store(world).pins(digest) == {"cluster"}
    get = m.OpenStream(
        epoch=1, stream="s2", user="alice", kind=GET, params={"sha256": digest, "offset": 500_000}
    )
    assert not (await world.coordinator.command(get)).code  # type: ignore[union-attr]
    async with joined(world.user, "n1", "s2") as stream:
        assert await stream.read_exactly(200_000) == data[500_000:]
        assert await stream.read() == b""


async def test_content_that_is_not_what_was_announced_is_nowhere(world: World) -> None:
    digest = hashlib.sha256(b"announced").hexdigest()
    assert not (await opened(world, PUT, name="f", size=4, sha256=digest, upload="u1")).code
    async with joined(world.user, "n1", "s1") as stream:
        await stream.read_exactly(OFFSET_BYTES)
        await stream.write(b"sent")
        stream.end()
        with pytest.raises(StreamBroken) as error:
            await stream.read()
    assert error.value.code == "E_HASH"
    assert not world.coordinator.kept and store(world).names == ()


async def test_what_is_not_there_is_declined(world: World) -> None:
    assert (await opened(world, GET, sha256="0" * 64, offset=0)).code == "E_NOT_FOUND"
    assert (await opened(world, GET, sha256="0" * 64)).code == "E_TYPE"


async def test_content_is_let_go_unless_somebody_needs_it(world: World) -> None:
    names = []
    for data in (b"one", b"two"):
        with store(world).receive(3) as incoming:
            incoming.write(data)
            names.append(incoming.finish(pin="cluster").sha256)
    store(world).pin(names[1], "model-m")
    answer = await world.coordinator.command(m.DropBlobs(epoch=1, hashes=(*names, "0" * 64)))
    assert answer == m.CommandReply(node="n1")
    assert store(world).names == (names[1],) and store(world).pins(names[1]) == {"model-m"}
