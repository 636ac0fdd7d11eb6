"""People who query the database see what their role allows, whatever they set in their session."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import urlsplit

import asyncpg
import pytest

from tests.contract.conftest import Contract

Login = Callable[[str], Awaitable[asyncpg.Connection]]

OF_JOBS = ("jobs", "tasks", "attempts", "allocations", "tasks_expanded", "job_nodes")
OF_JOBS_IN_TIME = ("my_job_metrics", "my_task_usage", "my_task_logs", "my_system_events")


@pytest.fixture
async def people(postgres_dsn: str) -> AsyncIterator[Login]:
    """Two users with a job each, one person of every other role; `login(name)` connects as one of them."""
    owner = await asyncpg.connect(postgres_dsn)
    suffix, password = secrets.token_hex(4), secrets.token_hex(16)
    contract = Contract(owner)
    roles = {"alice": "user", "bob": "user", "olga": "operator", "adam": "admin", "rita": "readonly"}
    for name, role in roles.items():
        await owner.execute(f"create role {name}_{suffix} login password '{password}' in role corral_{role}")
        user = await contract.user(name, role=role, db_role=f"{name}_{suffix}")
        if role == "user":
            node = await contract.node(f"node-{name}")
            job = await contract.job(user_id=user, name=name)
            task = await contract.task(job)
            await contract.attempt(task, node_id=node)
            for statement in (
                "insert into corral.allocations (task_id, rank, fence, resource, amount) "
                "values ($1, 0, 1, 'cpu', 1)",
                "insert into corral.task_logs (at, task_id, user_id, message) "
                "select now(), t.id, j.user_id, 'x' "
                "from corral.tasks t join corral.jobs j on j.id = t.job_id where t.id = $1",
                "insert into corral.task_usage (at, node_id, task_id, fence, cpu_millis, mem_mib) "
                "values (now(), $1, $1, 1, 1, 1)",
            ):
                await owner.execute(statement, task)
            await owner.execute(
                "insert into corral.job_metrics (at, job_id, name, value) values (now(), $1, 'loss', 1)", job
            )
            await owner.execute(
                "insert into corral.system_events (event_type, severity, source, message, job_id) "
                "values ('x', 'info', 'y', 'z', $1)",
                job,
            )
    opened: list[asyncpg.Connection] = []

    async def login(name: str) -> asyncpg.Connection:
        parts = urlsplit(postgres_dsn)
        netloc = f"{name}_{suffix}:{password}@{parts.hostname}:{parts.port}"
        opened.append(await asyncpg.connect(parts._replace(netloc=netloc).geturl()))
        return opened[-1]

    yield login
    for connection in opened:
        await connection.close()
    await owner.execute("delete from corral.jobs")
    await owner.execute("delete from corral.nodes")
    for table in ("task_logs", "task_usage", "job_metrics", "system_events"):
        await owner.execute(f"delete from corral.{table}")
    await owner.execute("delete from corral.users")
    for name in roles:
        await owner.execute(f"drop role {name}_{suffix}")
    await owner.close()


@pytest.mark.contract("S2.100", "S2.101", "S2.99")
async def test_a_user_sees_their_own_rows_only(people: Login) -> None:
    alice = await people("alice")
    for table in (*OF_JOBS, *OF_JOBS_IN_TIME):
        assert await alice.fetchval(f"select count(*) from corral.{table}") == 1, table
    assert await alice.fetchval("select name from corral.jobs") == "alice"


async def test_no_setting_changes_that(people: Login) -> None:
    alice = await people("alice")
    await alice.execute("set app.current_user_id = '00000000-0000-0000-0000-000000000000'")
    await alice.execute("set search_path = pg_temp, corral, public")
    await alice.execute("create temporary table users (id uuid, db_role name, status text, role text)")
    await alice.execute("insert into users values (gen_random_uuid(), session_user, 'active', 'admin')")
    assert await alice.fetchval("select count(*) from corral.jobs") == 1
    for statement in ("set row_security = off; select * from corral.jobs", "set role corral_coordinator"):
        with pytest.raises(asyncpg.PostgresError):
            await alice.execute(statement)


async def test_operators_and_admins_see_everything_and_readonly_their_own(people: Login) -> None:
    for name in ("olga", "adam"):
        connection = await people(name)
        for table in (*OF_JOBS, *OF_JOBS_IN_TIME):
            assert await connection.fetchval(f"select count(*) from corral.{table}") == 2, (name, table)
    rita = await people("rita")
    assert await rita.fetchval("select count(*) from corral.jobs") == 0
    assert await rita.fetchval("select count(*) from corral.nodes") == 2


@pytest.mark.parametrize("name", ["alice", "olga", "adam", "rita"])
async def test_nobody_reads_credentials_or_writes(people: Login, name: str) -> None:
    connection = await people(name)
    for statement in (
        "select password_hash from corral.users",
        "select * from corral.user_tokens",
        "select * from corral.secrets",
        "select * from corral.dedupe_keys",
        "update corral.jobs set priority = 10",
        "delete from corral.tasks",
        "insert into corral.audit (actor, action) values ('x', 'y')",
        "update corral.leadership set epoch = 0",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)


async def test_a_suspended_user_sees_nothing(people: Login, postgres_dsn: str) -> None:
    alice = await people("alice")
    owner = await asyncpg.connect(postgres_dsn)
    await owner.execute("update corral.users set status = 'suspended' where username = 'alice'")
    await owner.close()
    assert await alice.fetchval("select count(*) from corral.jobs") == 0


async def test_the_audit_is_append_only(corral: Contract) -> None:
    await corral.run("insert into corral.audit (actor, action) values ('x', 'y')")
    for statement in (
        "update corral.audit set actor = 'z'",
        "delete from corral.audit",
        "truncate corral.audit",
    ):
        assert "append-only" in await corral.refused(statement)


async def test_security_is_forced_on_what_hangs_from_jobs(corral: Contract) -> None:
    forced = await corral.rows("select relname from pg_class where relforcerowsecurity and relrowsecurity")
    assert {name for (name,) in forced} >= {
        "jobs", "tasks", "attempts", "allocations", "task_events", "task_dependencies", "checkpoints",
        "replicas", "artifacts", "dedupe_keys", "storage_volumes", "jobs_archive",
    }  # fmt: skip
