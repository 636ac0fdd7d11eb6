"""A PostgreSQL that somebody else runs: made ready, or refused in one line without the password."""

from __future__ import annotations

from urllib.parse import urlsplit

import asyncpg
import pytest

from sql import own, queries, server
from sql.errors import DatabaseRefused, Reason
from tests.fixtures_postgres import TestServer


def changed(dsn: str, **parts: str) -> str:
    return urlsplit(dsn)._replace(**parts).geturl()


async def refused(dsn: str) -> DatabaseRefused:
    with pytest.raises(DatabaseRefused) as caught:
        await own.examine(dsn)
    assert "geheim" not in str(caught.value) + caught.value.hint
    assert "\n" not in str(caught.value)
    return caught.value


async def test_nobody_there() -> None:
    """B117."""
    port = server.free_port()
    failure = await refused(f"postgresql://u:geheim@127.0.0.1:{port}/x")
    assert (failure.reason, str(failure)) == (
        Reason.UNREACHABLE, f"no PostgreSQL answers at 127.0.0.1:{port}/x: Connection refused",
    )  # fmt: skip


async def test_a_wrong_password_and_no_such_database(postgres_dsn: str) -> None:
    """B117."""
    place = urlsplit(postgres_dsn)
    host = place.netloc.rpartition("@")[2]
    failure = await refused(changed(postgres_dsn, netloc=f"{place.username}:geheim@{host}"))
    assert failure.reason is Reason.DENIED and host in str(failure)
    failure = await refused(changed(postgres_dsn, path="/nowhere"))
    assert failure.reason is Reason.UNFIT and "create database nowhere" in failure.hint


@pytest.mark.contract("S2.1")
async def test_an_older_server_is_refused(postgres_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own, "OLDEST_SERVER", 10_000_000)
    assert "is needed" in str(await refused(postgres_dsn))


async def test_a_newer_and_a_dirty_schema_are_refused(empty_dsn: str) -> None:
    """B119."""
    connection = await asyncpg.connect(empty_dsn)
    await connection.execute(queries("migrations")["bootstrap"])
    await connection.execute(
        "insert into corral.migrations (number, name, sha256)"
        " select n, 'x', 'x' from generate_series(1, 999) n"
    )
    assert "at migration 999" in str(await refused(empty_dsn))
    await connection.execute("delete from corral.migrations where number > 1")
    assert "another wording" in str(await refused(empty_dsn))
    await connection.execute("drop schema corral cascade")
    await connection.close()


async def test_made_ready_twice_with_another_password(postgres_server: TestServer, empty_dsn: str) -> None:
    login = f"{postgres_server.mark}_login"
    first = await own.make_ready(empty_dsn, login=login, password="one-ä@:/")
    second = await own.make_ready(empty_dsn, login=login, password="two")
    assert (await refused(first)).reason is Reason.DENIED
    rights = await own.rights_of(second)
    assert rights == own.Rights(
        superuser=False, creates_roles=False, creates_databases=False, bypasses_rls=False,
        owns_schema=False, coordinates=True,
    )  # fmt: skip
    seen = await own.examine(empty_dsn)
    assert seen.migration == seen.newest > 0


def test_the_verifier_is_that_of_the_standard() -> None:
    # RFC 5803 has no example for SCRAM-SHA-256; this one was stored by PostgreSQL 18 for "pencil"
    verifier = own.scram_verifier("pencil", salt=bytes(16))
    assert verifier.startswith("SCRAM-SHA-256$4096:AAAAAAAAAAAAAAAAAAAAAA==$")
