"""What a node answers ends no coordinator, and costs no other node its volumes or copies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from bus import messages as m
from bus.replication import HaveBlobs, LackedBlobs
from bus.values import AttemptRef, NodeName, Resources, Stream, TaskRef
from bus.volume_wire import (
    PoolFound,
    SnapshotFound,
    VolumeFound,
    VolumesFound,
    VolumesWanted,
    VolumeWanted,
)
from coordinator.answers import check_answer, heard_of
from coordinator.bounds import PLACE_MAX, OutOfBounds
from coordinator.core.effects import EventRecord
from coordinator.store.errors import Disagreement
from tests.unit.coordinator.shell import running_shell, until
from tests.unit.coordinator.test_volume_backups import WIDE, Node, nodes, rounds

A = AttemptRef(1, 0, 1)
HASH = "ab" * 32
LONG = "x" * 100_000


def _chunk(**changes: Any) -> m.LogChunk:
    fields = {"offset": 0, "size": 0} | changes
    return m.LogChunk(task=TaskRef(1, 0), fence=1, stream=Stream.STDOUT, data=b"", **fields)


def every_volume(**changes: Any) -> Callable[[Any, Node], Any]:
    def answer(found: VolumesFound, _: Node) -> VolumesFound:
        return replace(found, volumes=tuple(replace(each, **changes) for each in found.volumes))

    return answer


HOSTILE: dict[str, Callable[[VolumesFound, Node], Any]] = {
    "nothing": lambda found, node: b"",
    "rubbish": lambda found, node: b"\xc1\xff\x00" * 50,
    "deep": lambda found, node: b"[" * 100_000,
    "no text": lambda found, node: b'{"type":"volumes_found","node":"\xff"}',
    "another answer": lambda found, node: m.CommandReply(node="n2"),
    "an error": lambda found, node: b'{"error":{"code":"E_INTERNAL","message":"boom"}}',
    "another's name": lambda found, node: replace(found, node="n1"),
    "a fault without end": every_volume(fault=LONG),
    "sizes below nothing": every_volume(size=-1, used=-1, generation=-5, filled=-1),
    "sizes beyond all": every_volume(size=2**63 - 1, used=2**63 - 1, generation=2**63 - 1),
    "no hash": every_volume(sha256="'; drop table jobs; --"),
    "snapshots that are none": every_volume(
        snapshots=(SnapshotFound(id=LONG, size=-1, sha256="x"),), packs=(SnapshotFound(id=""),) * 3
    ),
    "others' volumes": lambda found, node: replace(
        found, volumes=tuple(VolumeFound(id=str(UUID(int=n)), ready=True, sha256=HASH) for n in range(500))
    ),
    "pools beyond all": lambda found, node: replace(
        found, pools=tuple(PoolFound(id=each.id, free_mib=-(2**63)) for each in found.pools)
    ),
    "everything twice": lambda found, node: replace(found, volumes=found.volumes * 2, pools=found.pools * 2),
}


@pytest.mark.parametrize("hostile", HOSTILE)
async def test_a_node_that_answers_anything_costs_only_itself(hostile: str) -> None:
    async with running_shell() as shell:
        await nodes(shell, "n1")
        second, agent = Node(), await shell.agent("n2")
        agent.answer = second.answer
        await shell.ask("olga", "pool.create", **WIDE)
        await shell.ask("alice", "volume.create", name="theirs", pool="wide", size=1, node="n2")

        def answer(command: Any) -> Any:
            found = second.answer(command)
            return HOSTILE[hostile](found, second) if isinstance(found, VolumesFound) else found

        agent.answer = answer
        await rounds(shell, 2)
        made = await shell.ask("alice", "volume.create", name="ours", pool="wide", size=1, node="n1")
        assert made["state"] == "ready"
        await rounds(shell, 2)
        known = {each.id for each in shell.volume_store.kept.values()}
        book = shell.keeper._book
        assert {identity for identity, _ in book.found} <= known
        theirs = next(each for each in shell.volume_store.kept.values() if each.name == "theirs")
        assert 0 <= theirs.used <= PLACE_MAX and 0 <= theirs.generation <= PLACE_MAX
        agent.answer = second.answer
        await rounds(shell, 2)
        assert next(each for each in shell.volume_store.kept.values() if each.name == "theirs").ready


async def test_what_the_database_refuses_of_one_keeps_no_other_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running_shell() as shell:
        first, agent = Node(), await shell.agent("n1")
        agent.answer = first.answer
        await nodes(shell, "n2")
        await shell.ask("olga", "pool.create", **WIDE)
        for name in ("a", "b"):
            await shell.ask("alice", "volume.create", name=name, pool="wide", size=1, node="n1")
        written = shell.volume_store.found

        async def refuses(row: Any) -> None:
            if row.name == "a":
                raise Disagreement("storage_volumes_used_check")
            await written(row)

        monkeypatch.setattr(shell.volume_store, "found", refuses)

        def fuller(command: Any) -> Any:
            found = first.answer(command)
            return every_volume(used=5_000)(found, first) if isinstance(found, VolumesFound) else found

        agent.answer = fuller
        await rounds(shell, 1)
        assert {each.name: each.used for each in shell.volume_store.kept.values()} == {"a": 1_000, "b": 5_000}


async def test_a_keeper_that_meets_what_nobody_foresaw_looks_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_shell() as shell:
        await nodes(shell, "n1", "n2")
        await shell.ask("olga", "pool.create", **WIDE)
        asked: list[str] = []

        async def broken(name: str) -> None:
            asked.append(name)
            raise KeyError(name)

        monkeypatch.setattr(shell.keeper, "ask", broken)
        running = asyncio.create_task(shell.keeper.run())
        await until(lambda: asked)
        count = len(asked)
        shell.keeper.hasten()
        await until(lambda: len(asked) > count)
        assert not running.done() and "volumes are looked at again" in caplog.text
        running.cancel()


async def test_only_what_was_asked_for_is_lacked() -> None:
    async with running_shell() as shell:
        agent = await shell.agent("n1", capacity=Resources(cpu_millis=2000, storage_mib=1000))
        theirs, ours = "1" * 64, "2" * 64

        def answer(command: Any) -> Any:
            if isinstance(command, HaveBlobs):
                return LackedBlobs(node="n1", hashes=(theirs, ours))
            return m.CommandReply(node="n1")

        agent.answer = answer
        shell.replicas.want(ours, "n1")
        shell.replicas.want(theirs, "n9")
        await shell.copies.round()
        assert shell.replicas.blobs[ours] == set()
        assert shell.replicas.blobs[theirs] == {NodeName("n9")}
        told = [each.message for each in shell.records if isinstance(each, EventRecord)]
        assert [each for each in told if "is gone on n1" in each] == [f"content {ours[:12]}… is gone on n1"]


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (m.CommandReply(node="n1", ports=((A, -1),)), "port"),
        (m.CommandReply(node="n1", ports=((A, 2**40),)), "port"),
        (LackedBlobs(node="n1", hashes=("x",)), "no hash"),
        (_chunk(offset=-1), "offset"),
        (_chunk(size=-1), "size"),
    ],
)
def test_what_cannot_be_is_named(answer: m.FromAgentReply, what: str) -> None:
    with pytest.raises(OutOfBounds, match=what):
        check_answer(answer)


def test_what_agents_answer_is_within_bounds() -> None:
    check_answer(m.CommandReply(node="n1", ports=((A, 65_535),)))
    check_answer(LackedBlobs(node="n1", hashes=(HASH,)))
    check_answer(_chunk())
    check_answer(m.Inspection(node="n1", incarnation="i", epoch=1))
    check_answer(m.StreamReply(node="n1"))
    volume = VolumeFound(id="v", sha256=HASH, size=PLACE_MAX, snapshots=(SnapshotFound(id="s", sha256=HASH),))
    said = VolumesFound(node="n1", volumes=(volume,))
    check_answer(said)
    wanted = VolumesWanted(epoch=1, volumes=(VolumeWanted(id="v", pool="p", name="v", size_mib=1),))
    assert heard_of(said, wanted) == said


@settings(derandomize=True)
@given(st.integers(-(2**63), 2**63 - 1), st.text(max_size=70))
def test_one_volume_that_cannot_be_is_told_as_that(number: int, text: str) -> None:
    wanted = VolumesWanted(epoch=1, volumes=(VolumeWanted(id="v", pool="p", name="v", size_mib=1),))
    for name, value in (("size", number), ("used", number), ("sha256", text), ("fault", text)):
        (found,) = heard_of(
            VolumesFound(node="n1", volumes=(VolumeFound(id="v", **{name: value}),)), wanted
        ).volumes
        assert found.size in range(PLACE_MAX + 1) and found.sha256 in ("", text)
        assert getattr(found, name) == value or "answers what cannot be" in found.fault
