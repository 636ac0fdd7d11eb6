"""Brings a database's schema up to this version: each migration once, in order, in its own transaction.

A file is never edited once merged: its SHA-256 is recorded when it is applied and compared ever after.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import asyncpg
from msgspec import Struct

from sql import MIGRATIONS, queries
from sql.errors import DirtySchema, NewerSchema, ServerTooOld
from sql.secure import with_tls

OLDEST_SERVER = 150_000
"""PostgreSQL 15: the first with security_invoker views."""

AWAY = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # it said farewell and has not hung up yet
)
"""It starts, recovers or shuts down, or it cut the connection: not what the caller did."""

_FILE_NAME = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")


class Migration(Struct, frozen=True):
    """One file of `sql/coordinator/migrations`."""

    number: int
    name: str
    text: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


def migrations(folder: Path = MIGRATIONS) -> list[Migration]:
    """All migrations in order. Raises ValueError for a stray file, a gap or a double number."""
    found = []
    for path in sorted(folder.glob("*.sql")):
        match = _FILE_NAME.fullmatch(path.name)
        if match is None:
            raise ValueError(f"not a migration's name: {path.name}")
        found.append(Migration(int(match[1]), match[2], path.read_text(encoding="utf-8")))
    if [each.number for each in found] != list(range(1, len(found) + 1)):
        raise ValueError(f"migrations are not numbered 1 to {len(found)}")
    return found


async def migrate(dsn: str, *, folder: Path = MIGRATIONS) -> list[str]:
    """Apply what is missing; answers the names of what was applied.

    Raises ServerTooOld, NewerSchema, DirtySchema, what asyncpg raises where a statement fails
    (that migration is rolled back, those before it stay), and OSError where the server is away for now.
    """
    try:
        return await _migrate(dsn, folder)
    except AWAY as error:
        raise ConnectionError(str(error)) from error


async def _migrate(dsn: str, folder: Path) -> list[str]:
    ours = migrations(folder)
    sql = queries("migrations")
    connection = await connect(dsn)
    try:
        await check_server(connection)
        await connection.execute(sql["lock"])
        await connection.execute(sql["bootstrap"])
        missing = ours[await check_schema(connection, ours) :]
        for migration in missing:
            async with connection.transaction():
                await connection.execute(migration.text)
                await connection.execute(sql["record"], migration.number, migration.name, migration.sha256)
        return [f"{each.number:04d}_{each.name}" for each in missing]
    finally:
        await connection.close()


async def check_schema(
    connection: asyncpg.Connection[asyncpg.Record], ours: list[Migration] | None = None
) -> int:
    """How many of `ours` are applied. Raises NewerSchema, DirtySchema where others are."""
    applied = await connection.fetch(queries("migrations")["applied"])
    ours = migrations() if ours is None else ours
    _compare(ours, [(row["number"], row["name"], row["sha256"]) for row in applied])
    return len(applied)


async def connect(dsn: str) -> asyncpg.Connection[asyncpg.Record]:
    """A plain connection for one-off work on the schema."""
    connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(with_tls(dsn), timeout=10)
    return connection


async def check_server(connection: asyncpg.Connection[asyncpg.Record]) -> int:
    """The server's version number. Raises ServerTooOld below 15."""
    version = int(await connection.fetchval(queries("migrations")["server_version"]))
    if version < OLDEST_SERVER:
        raise ServerTooOld(f"PostgreSQL {version // 10_000} is too old: 15 or newer is needed")
    return version


def _compare(ours: list[Migration], applied: list[tuple[int, str, str]]) -> None:
    if len(applied) > len(ours):
        raise NewerSchema(f"the database is at migration {len(applied)}, this version ends at {len(ours)}")
    for migration, (number, name, sha256) in zip(ours, applied, strict=False):
        if migration.number != number or migration.sha256 != sha256:
            raise DirtySchema(
                f"migration {number:04d}_{name} was applied in another wording than "
                f"{migration.number:04d}_{migration.name}"
            )
