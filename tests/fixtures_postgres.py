"""A real PostgreSQL for the session; every test module has a freshly migrated database of its own.

CORRAL_TEST_DATABASE names a server to use instead of the one that Corral brings along: the address of a role
that may create databases and roles. What is created there bears a name of its own and is dropped at the end.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from msgspec import Struct

from sql import server
from sql.migrate import migrate

GIVEN = os.environ.get("CORRAL_TEST_DATABASE", "")

_numbers = itertools.count(1)


class TestServer(Struct, frozen=True):
    """Addresses of a server. `mark` begins the name of everything made there."""

    __test__ = False

    dsn: str  # of a role that may create databases and roles
    coordinator_dsn: str  # of a login in corral_coordinator
    mark: str


@pytest.fixture(scope="session")
def postgres_server(pytestconfig: pytest.Config) -> Iterator[TestServer]:
    """Running; tests that stop the server start their own."""
    mark = f"corral_test_{secrets.token_hex(4)}"
    if GIVEN:
        yield from _given_server(mark)
    else:
        yield from _own_server(mark, at_end=pytestconfig.add_cleanup)


@pytest.fixture(scope="session")
def postgres_template(postgres_server: TestServer) -> str:
    """The name of a migrated database that nobody connects to."""
    name = f"{postgres_server.mark}_template"
    asyncio.run(_execute(postgres_server.dsn, f"create database {name}"))
    asyncio.run(migrate(database(postgres_server.dsn, name)))
    # An extension's own workers connect wherever they may, and a database in use cannot be copied.
    asyncio.run(
        _execute(
            postgres_server.dsn,
            f"alter database {name} allow_connections false",
            f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'",
        )
    )
    return name


@pytest.fixture(scope="module")
def postgres_dsn(postgres_server: TestServer, postgres_template: str) -> str:
    """A migrated database for this module alone, as the schema's owner."""
    name = f"{postgres_server.mark}_{next(_numbers)}"
    asyncio.run(_execute(postgres_server.dsn, f"create database {name} template {postgres_template}"))
    return database(postgres_server.dsn, name)


@pytest.fixture(scope="module")
def coordinator_dsn(postgres_server: TestServer, postgres_dsn: str) -> str:
    """The database of `postgres_dsn`, as the role that a coordinator works as."""
    return database(postgres_server.coordinator_dsn, urlsplit(postgres_dsn).path[1:])


@pytest.fixture(scope="module")
def empty_dsn(postgres_server: TestServer) -> str:
    """A database without a schema."""
    name = f"{postgres_server.mark}_{next(_numbers)}"
    asyncio.run(_execute(postgres_server.dsn, f"create database {name}"))
    return database(postgres_server.dsn, name)


def database(dsn: str, name: str) -> str:
    """`dsn` with another database."""
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{name}"))


def _own_server(mark: str, *, at_end: Callable[[Callable[[], None]], None]) -> Iterator[TestServer]:
    """The wheel's binaries in a folder of ours; as root it runs under an unprivileged account.

    The folder goes when all tests are over: to remove ten thousands of files takes a busy disk minutes, and
    here it would be of the last test's time.
    """
    folder = Path(tempfile.mkdtemp(prefix="corral-postgres-"))
    at_end(lambda: shutil.rmtree(folder, ignore_errors=True))
    folder.chmod(0o755)  # pytest's own folders are 0700, which that account could not enter
    process = server.prepare(folder / "data", port=server.free_port())
    child = server.start(process)
    try:
        yield TestServer(process.dsn, process.coordinator_dsn, mark)
    finally:
        server.stop(child)


def _given_server(mark: str) -> Iterator[TestServer]:
    before = asyncio.run(_names(GIVEN, "select rolname from pg_roles"))
    login, password = f"{mark}_coordinator", secrets.token_urlsafe(24)
    made = [] if "corral_coordinator" in before else ["create role corral_coordinator nologin"]
    login_made = f"create role {login} login password '{password}' in role corral_coordinator"
    asyncio.run(_execute(GIVEN, *made, login_made))
    parts = urlsplit(GIVEN)
    place = parts.netloc.rpartition("@")[2]
    try:
        yield TestServer(GIVEN, urlunsplit(parts._replace(netloc=f"{login}:{password}@{place}")), mark)
    finally:
        asyncio.run(_clean(mark, before))


async def _clean(mark: str, before: set[str]) -> None:
    """Drop what this session made; a role that another session's database uses by now is theirs."""
    ours = f"select datname from pg_database where datname like '{mark}%'"
    for name in await _names(GIVEN, ours):
        await _execute(GIVEN, f"drop database {name} with (force)")
    roles = await _names(GIVEN, "select rolname from pg_roles where rolname like 'corral\\_%'") - before
    for role in sorted(roles, key=lambda name: not name.startswith(mark)):
        if role.startswith("corral_test_") and not role.startswith(mark):
            continue
        try:
            await _execute(GIVEN, f"drop role {role}")
        except asyncpg.DependentObjectsStillExistError:
            continue


async def _names(dsn: str, query: str) -> set[str]:
    connection = await asyncpg.connect(dsn)
    try:
        return {row[0] for row in await connection.fetch(query)}
    finally:
        await connection.close()


async def _execute(dsn: str, *statements: str) -> None:
    connection = await asyncpg.connect(database(dsn, "postgres"))
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()
