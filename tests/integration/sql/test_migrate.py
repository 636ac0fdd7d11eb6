"""Migrations run once, in order, alone; a database of another version is refused."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from sql.errors import DirtySchema, NewerSchema
from sql.migrate import migrate, migrations


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "0001_first.sql").write_text("create table corral.one (a int);")
    (tmp_path / "0002_second.sql").write_text("create table corral.two (a int);")
    return tmp_path


@pytest.fixture
async def fresh(empty_dsn: str) -> str:
    connection = await asyncpg.connect(empty_dsn)
    await connection.execute("drop schema if exists corral cascade")
    await connection.close()
    return empty_dsn


async def test_each_is_applied_once(fresh: str, folder: Path) -> None:
    assert await migrate(fresh, folder=folder) == ["0001_first", "0002_second"]
    assert await migrate(fresh, folder=folder) == []
    (folder / "0003_third.sql").write_text("create table corral.three (a int);")
    assert await migrate(fresh, folder=folder) == ["0003_third"]


@pytest.mark.contract("S3.31")
async def test_a_command_migrates_as_the_owner(fresh: str) -> None:
    def run(address: str) -> tuple[int, str, str]:
        command = [sys.executable, "-m", "sql"]
        done = subprocess.run(
            command, input=address, capture_output=True, text=True, timeout=120, check=False
        )
        return done.returncode, done.stdout, done.stderr

    names = [f"{each.number:04d}_{each.name}" for each in migrations()]
    code, said, _ = await asyncio.to_thread(run, f"{fresh}\n")
    assert (code, said.split()) == (0, names)
    code, said, _ = await asyncio.to_thread(run, fresh)
    assert code == 0 and said.endswith(f"is at migration {len(names)}: nothing to do\n")
    assert (await asyncio.to_thread(run, ""))[0] == 2
    code, _, error = await asyncio.to_thread(run, f"{fresh}_nowhere")
    assert code == 1 and error.startswith("error: ") and "create database" in error


async def test_two_at_once_do_not_meet(fresh: str, folder: Path) -> None:
    both = await asyncio.gather(migrate(fresh, folder=folder), migrate(fresh, folder=folder))
    assert sorted(both) == [[], ["0001_first", "0002_second"]]


async def test_an_edited_migration_is_refused(fresh: str, folder: Path) -> None:
    await migrate(fresh, folder=folder)
    (folder / "0001_first.sql").write_text("create table corral.one (a bigint);")
    with pytest.raises(DirtySchema, match="0001_first"):
        await migrate(fresh, folder=folder)


async def test_a_newer_schema_is_refused(fresh: str, folder: Path) -> None:
    await migrate(fresh, folder=folder)
    (folder / "0002_second.sql").unlink()
    with pytest.raises(NewerSchema):
        await migrate(fresh, folder=folder)


async def test_a_failing_migration_leaves_those_before_it(fresh: str, folder: Path) -> None:
    (folder / "0002_second.sql").write_text("create table corral.two (a int); select 1 / 0;")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(fresh, folder=folder)
    (folder / "0002_second.sql").write_text("create table corral.two (a int);")
    assert await migrate(fresh, folder=folder) == ["0002_second"]


async def test_a_server_that_goes_down_is_no_error_of_ours(fresh: str, folder: Path) -> None:
    """As one that starts or recovers: whoever migrates waits for it and tries again."""
    (folder / "0002_second.sql").write_text("select pg_terminate_backend(pg_backend_pid());")
    with pytest.raises(ConnectionError):
        await migrate(fresh, folder=folder)
    (folder / "0002_second.sql").write_text("create table corral.two (a int);")
    assert await migrate(fresh, folder=folder) == ["0002_second"]


@pytest.mark.contract("S2.41", "S1.18")
async def test_ours_build_an_empty_database(fresh: str) -> None:
    assert len(await migrate(fresh)) == len(migrations())
