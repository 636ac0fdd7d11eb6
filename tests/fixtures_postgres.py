"""A real PostgreSQL, started once a session; every test module has a freshly migrated database of its own."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from sql import server
from sql.migrate import migrate

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[server.PostgresProcess]:
    """Running; tests that stop the server start their own. As root it runs under an unprivileged account."""
    folder = Path(tempfile.mkdtemp(prefix="corral-postgres-"))
    folder.chmod(0o755)  # pytest's own folders are 0700, which that account could not enter
    process = server.prepare(folder / "data", port=server.free_port())
    child = server.start(process)
    try:
        yield process
    finally:
        server.stop(child)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_template(postgres_server: server.PostgresProcess) -> str:
    """The name of a migrated database that nobody connects to."""
    asyncio.run(migrate(postgres_server.dsn))
    return server.DATABASE


@pytest.fixture(scope="module")
def postgres_dsn(postgres_server: server.PostgresProcess, postgres_template: str) -> str:
    """A migrated database for this module alone, as the schema's owner."""
    name = f"module_{next(_numbers)}"
    asyncio.run(_execute(postgres_server.dsn, f"create database {name} template {postgres_template}"))
    return database(postgres_server.dsn, name)


@pytest.fixture(scope="module")
def coordinator_dsn(postgres_server: server.PostgresProcess, postgres_dsn: str) -> str:
    """The database of `postgres_dsn`, as the role that a coordinator works as."""
    return database(postgres_server.coordinator_dsn, postgres_dsn.rpartition("/")[2])


@pytest.fixture(scope="module")
def empty_dsn(postgres_server: server.PostgresProcess) -> str:
    """A database without a schema."""
    name = f"empty_{next(_numbers)}"
    asyncio.run(_execute(postgres_server.dsn, f"create database {name}"))
    return database(postgres_server.dsn, name)


def database(dsn: str, name: str) -> str:
    """`dsn` with another database."""
    return f"{dsn.rpartition('/')[0]}/{name}"


async def _execute(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(database(dsn, "postgres"))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
