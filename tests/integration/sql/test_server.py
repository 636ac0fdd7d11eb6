"""The embedded server: closed to everybody without its password, and there again after kill -9."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from sql import server
from sql.errors import ServerFailed


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder that the server's account can enter, which pytest's own is not."""
    folder = Path(tempfile.mkdtemp(prefix="corral-server-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.contract("S2.1")
async def test_its_life(home: Path) -> None:
    process = server.prepare(home / "data", port=server.free_port())
    assert mode(home / "data") == 0o700
    assert mode(home / "data.password") == mode(home / "data.coordinator.password") == 0o600
    child = server.start(process)
    try:
        status = Path(f"/proc/{child.pid}/status").read_text()
        uid = int(next(line for line in status.splitlines() if line.startswith("Uid:")).split()[1])
        assert uid != 0 and uid == (os.geteuid() or uid)
        connection = await asyncpg.connect(process.dsn)
        settings = "select current_setting('synchronous_commit'), current_setting('listen_addresses')"
        assert tuple(await connection.fetchrow(settings)) == ("on", "127.0.0.1")
        await connection.execute("create table kept (a int)")
        await connection.close()
        connection = await asyncpg.connect(process.coordinator_dsn)
        rights = "select rolsuper, rolcreaterole, rolcreatedb, rolbypassrls from pg_roles where rolname = $1"
        assert not any(await connection.fetchrow(rights, server.COORDINATOR))
        await connection.close()
        for dsn in (
            process.dsn.replace(process.password, "wrong"),
            process.dsn.replace(f":{process.password}", ""),
        ):
            with pytest.raises(asyncpg.InvalidPasswordError):
                await asyncpg.connect(dsn, passfile=str(home / "none"))
        child.send_signal(signal.SIGKILL)
        child.wait(10)
        again = server.prepare(home / "data", port=process.port)
        assert again == process
        child = server.start(again)
        connection = await asyncpg.connect(again.dsn)
        assert await connection.fetchval("select count(*) from kept") == 0
        await connection.close()
    finally:
        server.stop(child)
        server.stop(child)


def test_a_folder_with_other_things_is_refused(home: Path) -> None:
    (home / "data").mkdir()
    (home / "data" / "thesis.txt").write_text("mine")
    with pytest.raises(ServerFailed, match="neither empty"):
        server.prepare(home / "data", port=1)
    assert (home / "data" / "thesis.txt").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root drops to another account")
def test_a_folder_that_the_account_cannot_enter_is_refused(home: Path) -> None:
    (home / "closed").mkdir(mode=0o700)
    with pytest.raises(ServerFailed, match="cannot be entered"):
        server.prepare(home / "closed" / "data", port=1)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root drops to another account")
def test_binaries_that_the_account_cannot_reach_are_copied(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "SYSTEM_HOME", home / "system")
    monkeypatch.setattr(server, "_reachable", lambda path, owner: path.name != "pginstall")
    process = server.prepare(home / "data", port=server.free_port())
    assert process.argv[0].startswith(str(home / "system"))
    server.stop(server.start(process))


def test_a_server_that_cannot_start_says_where_to_look(home: Path) -> None:
    process = server.prepare(home / "data", port=server.free_port())
    (home / "data" / "corral.conf").write_text("nonsense = on\n")
    with pytest.raises(ServerFailed, match=r"data\.log"):
        server.start(process, timeout_s=10)


def test_what_a_killed_preparation_left_is_begun_anew(home: Path) -> None:
    (home / ".data.unfinished").mkdir()
    (home / ".data.unfinished" / "PG_VERSION").write_text("18\n")
    process = server.prepare(home / "data", port=server.free_port())
    server.stop(server.start(process))
    assert {path.name for path in home.iterdir()} == {
        "data", "data.password", "data.coordinator.password", "data.log",
    }  # fmt: skip


async def test_a_lost_password_of_the_coordinator_is_replaced(home: Path) -> None:
    before = server.prepare(home / "data", port=server.free_port())
    (home / "data.coordinator.password").unlink()
    after = server.prepare(home / "data", port=before.port)
    assert after.password == before.password
    assert after.coordinator_password != before.coordinator_password
    child = server.start(after)
    try:
        await (await asyncpg.connect(after.coordinator_dsn)).close()
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(before.coordinator_dsn)
    finally:
        server.stop(child)
