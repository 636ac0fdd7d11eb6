"""Rows of the catalogue that are more than one message."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from bus.client import Client
from bus.codec import Codec
from bus.errors import ApiError
from tests.catalogue import doors
from tests.unit.coordinator.shell import Shell, running_shell

FIRST: dict[str, Any] = {"command": ["true"], "dedupe_key": "k1"}
OTHER: dict[str, Any] = {"command": ["false"], "dedupe_key": "k1"}


@pytest.fixture
async def shell() -> AsyncIterator[Shell]:
    async with running_shell() as running:
        yield running


@pytest.mark.parametrize("codec", Codec)
async def test_the_same_key_and_body_is_the_same_job(shell: Shell, codec: Codec) -> None:
    """B16, on the bus and in Python."""
    first = await shell.ask("alice", "job.submit", codec=codec, **FIRST)
    again = await shell.ask("alice", "job.submit", codec=codec, **FIRST)
    assert (again["number"], again["id"], again["duplicate"]) == (first["number"], first["id"], True)
    submitted = await Client(shell.client("alice")).submit(**FIRST)
    assert (submitted.number, submitted.duplicate) == (first["number"], True)
    assert len(shell.store.batches) == 1


async def test_the_same_line_twice_is_the_same_job(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """B16, by the command: exit code 0, and it says so."""
    line = ("submit", "--dedupe-key", "k1", "--", "true")
    assert (await doors.command(shell, line, monkeypatch, capsys))[0] == []
    codes, words = await doors.command(shell, line, monkeypatch, capsys)
    assert codes == [] and "job 1" in words and "already there" in words


@pytest.mark.parametrize("codec", Codec)
async def test_the_same_key_and_another_body_shows_both_hashes(shell: Shell, codec: Codec) -> None:
    """B17, on the bus and in Python."""
    await shell.ask("alice", "job.submit", codec=codec, **FIRST)
    before = doors.state(shell)
    error = (await shell.ask("alice", "job.submit", codec=codec, **OTHER))["error"]
    assert (error["code"], error["status"], error["field"]) == ("E_IDEM_CONFLICT", 409, "/dedupe_key")
    assert error["got"] and error["expected"] and error["got"] != error["expected"]
    with pytest.raises(ApiError) as refused:
        await Client(shell.client("alice")).submit(**OTHER)
    assert refused.value.error.code == "E_IDEM_CONFLICT"
    assert doors.state(shell) == before


async def test_another_line_with_the_same_key_is_a_conflict(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """B17, by the command."""
    assert (await doors.command(shell, ("submit", "--dedupe-key", "k1", "--", "true"), monkeypatch, capsys))[
        0
    ] == []
    codes, _ = await doors.command(
        shell, ("submit", "--dedupe-key", "k1", "--", "false"), monkeypatch, capsys
    )
    assert codes == ["E_IDEM_CONFLICT"]


async def test_all_amounts_of_a_line_are_refused_at_once(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ("submit", "--cpu", "0", "--memory", "x", "--timeout", "1:99:00", "--array", "a", "--", "true")
    codes, words = await doors.command(shell, line, monkeypatch, capsys)
    assert codes == ["E_RANGE", "E_UNIT", "E_DURATION", "E_ARRAY"]
    assert all(f"at --{name}" in words for name in ("cpu", "memory", "timeout", "array"))
