"""The coordinator works as a role that owns nothing: rows through its policies, the rest by name."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.integration.store.conftest import Leader
from tests.store_rows import new_job


@pytest.fixture
async def session(coordinator_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """One session of the coordinator's role."""
    connection = await asyncpg.connect(coordinator_dsn)
    yield connection
    await connection.close()


async def test_it_is_no_superuser_and_owns_nothing(session: asyncpg.Connection) -> None:
    rights = "select rolsuper or rolbypassrls or rolcreaterole or rolcreatedb from pg_roles"
    assert await session.fetchval(f"{rights} where rolname = session_user") is False
    assert await session.fetchval("select current_setting('is_superuser')") == "off"
    owned = "select count(*) from pg_class where pg_get_userbyid(relowner) = session_user"
    assert await session.fetchval(owned) == 0
    member = "select count(*) from pg_auth_members where member = session_user::regrole"
    # on a server of one's own the login is a member of the coordinator's role
    member += " and roleid <> 'corral_coordinator'::regrole"
    assert await session.fetchval(member) == 0


async def test_it_sees_every_users_jobs_through_its_policy(
    leader: Leader, session: asyncpg.Connection
) -> None:
    await leader.commit(new_jobs=[new_job()])
    active = "select row_security_active('corral.jobs'::regclass)"
    assert await session.fetchval(active)
    assert await session.fetchval("select count(*) from corral.jobs") == 1
    await session.execute("set row_security = off")  # refuses to filter; it does not lift anything
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await session.fetchval("select count(*) from corral.jobs")


@pytest.mark.parametrize(
    "statement",
    [
        "create table corral.mine (a int)",
        "drop table corral.jobs",
        "alter table corral.jobs disable row level security",
        "alter table corral.tasks disable trigger all",
        "create role mine",
        "truncate corral.jobs",
        "update corral.audit set actor = 'x'",
        "delete from corral.audit",
        "delete from corral.migrations",
        "update corral.migrations set sha256 = ''",
        "copy corral.nodes to program 'true'",
        "select pg_read_file('PG_VERSION')",
    ],
)
async def test_what_it_may_not_do(session: asyncpg.Connection, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await session.execute(statement)


async def test_it_cannot_become_the_owner(session: asyncpg.Connection, database: asyncpg.Connection) -> None:
    owner = await database.fetchval(
        "select format('set role %I', pg_get_userbyid(nspowner)) from pg_namespace where nspname = 'corral'"
    )
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await session.execute(owner)


async def test_partitions_are_made_and_dropped_with_the_owners_rights(
    session: asyncpg.Connection, database: asyncpg.Connection
) -> None:
    await session.execute("select corral.upkeep(now() + interval '40 days')")
    made = "select to_regclass('corral.node_usage' || to_char(now() + interval '41 days', '_YYYYMMDD'))"
    edition = await database.fetchval("select corral.timeseries_edition()")
    assert edition != "none" or await database.fetchval(made) is not None
    await session.execute("create temporary table timeseries (table_name name)")  # must not be looked at
    await session.execute("select corral.upkeep()")


async def test_nobody_else_runs_the_upkeep(database: asyncpg.Connection) -> None:
    allowed = "select has_function_privilege($1, 'corral.upkeep(timestamptz, interval)', 'execute')"
    assert await database.fetchval(allowed, "corral_coordinator")
    for role in ("corral_readonly", "corral_user", "corral_operator", "corral_admin"):
        assert not await database.fetchval(allowed, role)
