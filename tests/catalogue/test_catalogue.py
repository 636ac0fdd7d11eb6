"""Every row of the bad-input catalogue on every door where it makes sense: one clear error, and no effect."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bus.codec import Codec
from tests.catalogue import doors
from tests.catalogue.elsewhere import ELSEWHERE
from tests.catalogue.rows import LATER, ROWS, Row
from tests.unit.coordinator.shell import Shell, running_shell, until

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

OURS = {f"B{number}" for number in (*range(1, 74), *range(85, 105), *range(106, 123))}
"""Sections A, B, C, E and G; the others come with identity, files and artifacts."""


def cases() -> list[tuple[str, Row]]:
    """Each row with each door that it can go through."""
    found: list[tuple[str, Row]] = []
    for row in ROWS:
        if row.spec is not None:
            found += ((door, row) for door in ("json", "msgpack", "python", "publish", "file"))
        if row.raw is not None:
            found += ((door, row) for door in ("bytes", "publish"))
            if row.is_file:
                found.append(("file", row))
        if row.ask is not None:
            found += ((door, row) for door in ("json", "msgpack"))
        if row.argv is not None:
            found.append(("argv", row))
        if row.agent is not None:
            found += ((door, row) for door in ("agent json", "agent msgpack"))
    return found


def named(value: object) -> str:
    return value.id if isinstance(value, Row) else str(value).replace(" ", "-")


@pytest.fixture
async def shell() -> AsyncIterator[Shell]:
    """A coordinator with a node of two cores, and a job already running there."""
    async with running_shell() as running:
        agent = await running.agent("n1")
        await running.submit("bob")
        await until(agent.assigned)
        await running.loop.barrier()
        yield running


@pytest.mark.contract("S4.23", "S4.24", "S4.25", "S4.26", "S4.28", "S4.31")
@pytest.mark.parametrize(("door", "row"), cases(), ids=named)
async def test_row(
    door: str,
    row: Row,
    shell: Shell,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = doors.state(shell)
    match door:
        case "argv":
            assert row.argv is not None
            large = tmp_path / "large"
            large.write_bytes(b"x" * 2**21)
            argv = tuple(word.format(large=large) if word == "{large}" else word for word in row.argv)
            codes, words = await doors.command(shell, argv, monkeypatch, capsys)
        case "file":
            codes, words = await doors.job_file(shell, row, tmp_path, monkeypatch, capsys)
        case "agent json" | "agent msgpack":
            codes, words = await doors.agent_says(shell, row, Codec(door.removeprefix("agent ")))
        case _:
            codes, words = await doors.DOORS[door](shell, row)
    assert row.code in codes if row.code else not codes, (codes, words)
    assert row.words in words
    if row.code:
        assert doors.state(shell) == before, "a refusal changed something"
    assert not [record for record in caplog.records if record.exc_info or record.levelno >= logging.ERROR]


@pytest.mark.parametrize("row", LATER)
@pytest.mark.parametrize("door", sorted(doors.DOORS.keys() - {"bytes"}))
async def test_what_is_not_there_yet_is_refused_by_name(row: str, door: str, shell: Shell) -> None:
    before = doors.state(shell)
    codes, words = await doors.DOORS[door](shell, Row(row, "E_FIELD", spec=LATER[row]))
    assert {"E_FIELD", "E_TYPE"} & set(codes) and "/" in words
    assert doors.state(shell) == before


def test_every_row_is_tried_here_or_elsewhere_or_is_for_later() -> None:
    later = [line.split("\t")[0] for line in (HERE / "later.txt").read_text().splitlines() if line[0] != "#"]
    assert len(later) == len(set(later)) and set(LATER) <= set(later)
    here = {row.id for row in ROWS}
    assert here | ELSEWHERE.keys() | set(later) == OURS
    assert not (here | ELSEWHERE.keys()) & set(later)


def test_what_is_tried_elsewhere_is_there() -> None:
    there = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    known = set(re.findall(r"^(?:async )?def (test_\w+)", there, re.MULTILINE))
    missing = {row: set(names) - known for row, names in ELSEWHERE.items() if set(names) - known}
    assert not missing
