"""What the sources' tables must refuse, and what they must take although a source's own check would not."""

from __future__ import annotations

import pytest

from tests.contract.conftest import Contract

ZERO = "00000000-0000-0000-0000-000000000000"


@pytest.mark.contract("S0.5", "S0.6", "S0.12", "S2.9", "S2.10", "S2.11", "S3.4", "S3.5", "S3.6")
@pytest.mark.parametrize(
    "change",
    [
        "ip = null", "ip = '999.1.1.1'", "hostname = null", "hostname = 'a b'", "hostname = 'a_b'",
        "port = 0", "port = 70000", "health = 'Bogus'", "kind = 'XYZ'", "admin = 'gone'",
        "roles = '{XYZ}'", "address = 'javascript:alert(1)'", "labels = '[]'", "name = 'A'",
        "name = E'a\\n'", "last_heartbeat_at = null", "cpu_cores = 0",
    ],
)  # fmt: skip
async def test_nodes(corral: Contract, change: str) -> None:
    node = await corral.node()
    await corral.refused(f"update corral.nodes set {change} where id = $1", node)


@pytest.mark.contract("S2.19", "S2.22", "S2.23", "S2.24", "S2.25", "S0.7", "S4.71")
async def test_the_ledger(corral: Contract) -> None:
    node = await corral.node()
    insert = "insert into corral.node_resources (node_id, resource, total, reserved) values ($1, $2, $3, $4)"
    await corral.run(insert, node, "cpu", 8000, 500)
    assert "node_resources_pkey" in await corral.refused(insert, node, "cpu", 1, 0)
    await corral.refused(insert, node, "disk", 1, 0)
    update = "update corral.node_resources set allocated = $2 where node_id = $1"
    for too_much in (7501, 8001, -1):
        assert "within_capacity" in await corral.refused(update, node, too_much)
    await corral.run(update, node, 7500)
    available = "select available, unit from corral.node_resources where node_id = $1"
    assert await corral.rows(available, node) == [(500, "millicore")]
    await corral.refused("update corral.node_resources set unit = 'core' where node_id = $1", node)


@pytest.mark.contract("S2.28", "S2.30", "S2.35", "S2.27", "S2.31")
@pytest.mark.parametrize(
    "change",
    [
        "image = 'x; rm'", "image = '$(id)'", "priority = 0", "priority = 11", "kind = 'other'",
        "max_runtime_s = 0", "network_policy = 'all'", "spec = '[]'", "user_id = null", "name = null",
    ],
)  # fmt: skip
async def test_jobs(corral: Contract, change: str) -> None:
    job = await corral.job()
    await corral.refused(f"update corral.jobs set {change} where id = $1", job)


@pytest.mark.contract(
    "S0.25", "S0.27", "S0.28", "S0.35", "S1.16", "S2.32", "S4.14", "S4.19", "S4.24", "S4.25", "S4.26",
    "S4.27", "S4.28", "S4.29", "S4.30", "S4.31",
)  # fmt: skip
@pytest.mark.parametrize(
    "change",
    [
        "cpu_millis = -1", "mem_mib = -1", "gpus = -1", "storage_mib = -1", "net_mbps = -1",
        "cpu_millis = null", "cpu_limit_millis = 1", "mem_limit_mib = 1", f"job_id = '{ZERO}'",
        "job_id = null", "state = 'done'", "priority = 0", "priority = 11", "input = '{}'",
        "input = '[]'", "input = '\"x\"'", "input = 'null'", "input = null", "input = '{bad'",
        "parameters = '{bad'", "output = '{bad'", "retries = 4", "retries = -1", "max_retries = 11",
        "max_retries = -1", "parent_task_id = id", "started_at = created_at - interval '1 s'",
        "completed_at = now()", "started_at = now(), completed_at = now() - interval '1 s'",
        "type = 'unknown'", f"agent_id = '{ZERO}'", f"node_id = '{ZERO}'", "remaining = 2",
        "count = 0", "index = -1",
        "input = (select jsonb_object_agg(i, md5(i::text)) from generate_series(1, 33000) as i)",
    ],
)  # fmt: skip
async def test_tasks(corral: Contract, change: str) -> None:
    task = await corral.task()
    await corral.refused(f"update corral.tasks set {change} where id = $1", task)


@pytest.mark.contract("S4.23")
@pytest.mark.parametrize("name", ["AB", "ab", "a" * 51, "a b", "abc\n", "ABC", ""])
async def test_names_of_task_types(corral: Contract, name: str) -> None:
    insert = "insert into corral.task_types (name, description, agent_type) values ($1, 'x', 'NodeAgent')"
    await corral.refused(insert, name)
    await corral.refused("update corral.tasks set type = $2 where id = $1", await corral.task(), name)


@pytest.mark.contract("S4.29")
async def test_a_task_may_end_without_a_start(corral: Contract) -> None:
    task = await corral.task(state="queued")
    await corral.run("update corral.tasks set state = 'cancelled', completed_at = now() where id = $1", task)
    other = await corral.task(state="queued")
    end = "update corral.tasks set state = 'failed', path = $2, completed_at = now() where id = $1"
    await corral.run(end, other, ["queued", "assigned", "failed"])


@pytest.mark.contract("S1.24", "S1.19", "S1.21", "S1.26")
async def test_one_live_attempt_a_rank(corral: Contract) -> None:
    task = await corral.task()
    await corral.attempt(task, fence=1, state="lost")
    await corral.attempt(task, fence=2)
    insert = "insert into corral.attempts (task_id, fence, node_name) values ($1, $2, 'n1')"
    assert "attempts_live" in await corral.refused(insert, task, 3)
    assert "attempts_pkey" in await corral.refused(insert, task, 1)
    await corral.refused("update corral.attempts set state = 'training' where task_id = $1", task)
    await corral.refused("update corral.attempts set metrics = '{bad' where task_id = $1", task)
    await corral.run("update corral.attempts set state = 'lost' where task_id = $1", task)
    await corral.run(insert, task, 3)


@pytest.mark.contract("S2.42", "S2.43")
async def test_allocations(corral: Contract) -> None:
    task = await corral.task()
    await corral.attempt(task)
    insert = (
        "insert into corral.allocations (task_id, rank, fence, resource, amount) values ($1, 0, $2, $3, $4)"
    )
    await corral.run(insert, task, 1, "memory", 64)
    assert await corral.value("select unit from corral.allocations where task_id = $1", task) == "mib"
    await corral.refused(insert, task, 1, "memory", 64)
    await corral.refused(insert, task, 2, "memory", 64)
    await corral.refused(insert, task, 1, "cpu", 0)
    await corral.refused(insert, task, 1, "disk", 1)
    await corral.refused("update corral.allocations set status = 'released' where task_id = $1", task)
    await corral.refused("update corral.allocations set status = 'gone' where task_id = $1", task)


@pytest.mark.contract("S0.45", "S0.46", "S0.47")
async def test_replicas(corral: Contract) -> None:
    task, one, two = await corral.task(), await corral.node("n1"), await corral.node("n2")
    columns = "task_id, primary_node_id, replica_node_id, state"
    insert = f"insert into corral.replicas ({columns}) values ($1, $2, $3, $4)"
    await corral.run(insert, task, one, two, "active")
    await corral.refused(insert, task, one, one, "active")
    await corral.refused(insert, task, one, None, "active")
    await corral.refused(insert, task, one, two, "OutOfSync?")


@pytest.mark.contract("S0.49", "S0.50", "S0.51", "S0.52")
async def test_ai_state(corral: Contract) -> None:
    columns = "q_table, epsilon, model_weights, weights_format"
    insert = f"insert into corral.ai_state ({columns}) values ($1, $2, $3, $4)"
    await corral.run(insert, "{}", 0.5, None, None)
    await corral.refused(insert, "{}", 1.5, None, None)
    await corral.refused(insert, "{}", 0.5, b"x", None)
    await corral.refused(insert, "{}", 0.5, b"x", "pickle")
    assert "append-only" in await corral.refused("update corral.ai_state set epsilon = 0")


@pytest.mark.contract("S2.61", "S2.63")
async def test_system_events(corral: Contract) -> None:
    insert = (
        "insert into corral.system_events (event_type, severity, source, message) values ('x', $1, 'y', 'z')"
    )
    await corral.run(insert, "critical")
    await corral.refused(insert, "fatal")
    await corral.refused("update corral.system_events set resolved_at = now()")
    user = await corral.user()
    await corral.run("update corral.system_events set resolved_at = now(), resolved_by = $1", user)


@pytest.mark.contract("S3.8", "S3.9", "S3.10", "S3.11", "S3.12", "S3.15", "S3.16")
async def test_tools_tags_and_artifacts(corral: Contract) -> None:
    insert = "insert into corral.tools (name, category, version, current) values ($1, $2, $3, $4)"
    await corral.run(insert, "text_analyzer", "analysis", "1.0.0", True)
    assert "tools_name" in await corral.refused(insert, "text_analyzer", "analysis", "1.1.0", True)
    await corral.run(insert, "text_analyzer", "analysis", "0.9.0", False)
    await corral.refused(insert, "text_analyzer", "analysis", "0.9.0", False)
    await corral.refused(insert, "other", "other", "1.0.0", True)
    await corral.refused(insert, "other", "analysis", "one", True)
    await corral.refused("update corral.tools set status = 'off'")
    await corral.refused("update corral.tools set input_schema = '{bad'")
    tag = "insert into corral.tool_tags (tool_id, tag_name) select id, $1 from corral.tools where current"
    await corral.run(tag, "nlp")
    await corral.refused(tag, "nlp")
    await corral.refused(tag, "N L P")
    columns = "file_name, mime_type, storage_pointer, size_bytes"
    artifact = f"insert into corral.artifacts ({columns}) values ($1, $2, $3, $4)"
    good = ("analysis_result.json", "application/json", "s3://bucket/results/analysis_result.json", 2048)
    await corral.run(artifact, *good)
    await corral.refused(artifact, *good[:3], -1)
    await corral.refused(artifact, *good[:2], "http://169.254.169.254/", 1)
    await corral.refused(artifact, good[0], "json", *good[2:])
    await corral.refused(artifact, "../x", *good[1:])


@pytest.mark.contract("S4.48", "S4.49", "S4.51", "S4.52")
async def test_required_input_keys(corral: Contract) -> None:
    job = await corral.job()
    required = {
        "text_analysis": ["text"], "text_generation": ["prompt"], "translation": ["text",
        "source_lang",
        "target_lang"], "code_generation": ["specification"], "code_analysis": ["code"],
        "data_processing": ["data"], "data_analysis": ["data"],
    }  # fmt: skip
    insert = "insert into corral.tasks (job_id, index, type, input) values ($1, $2, $3, $4) returning id"
    for index, (type_name, keys) in enumerate(required.items()):
        whole = dict.fromkeys(keys, "x")
        for missing in keys:
            some = {key: value for key, value in whole.items() if key != missing} or {"other": "x"}
            message = await corral.refused(insert, job, index, type_name, str(some).replace("'", '"'))
            assert message == f'Missing required input key "{missing}" for task type "{type_name}"'
        await corral.value(insert, job, index, type_name, str(whole).replace("'", '"'))
    await corral.value(insert, job, 20, "research", '{"any": 1}')
    changed = "update corral.tasks set type = 'translation' where job_id = $1 and type = 'text_analysis'"
    assert 'key "source_lang"' in await corral.refused(changed, job)


@pytest.mark.contract("S4.5")
async def test_dependencies_have_no_cycle(corral: Contract) -> None:
    job = await corral.job()
    a, b, c = [await corral.task(job, index=index) for index in range(3)]
    insert = "insert into corral.task_dependencies (task_id, depends_on, kind) values ($1, $2, 'ok')"
    await corral.refused(insert, a, a)
    await corral.run(insert, b, a)
    await corral.run(insert, c, b)
    assert "wait for itself" in await corral.refused(insert, a, c)


@pytest.mark.contract("S4.6")
async def test_capabilities(corral: Contract) -> None:
    await corral.run("insert into corral.agents (id, types) values ('a1', '{NLPAgent}')")
    insert = "insert into corral.agent_capabilities values ('a1', $1, $2)"
    await corral.run(insert, "translation", 0.5)
    await corral.refused(insert, "translation", 0.5)
    await corral.refused(insert, "research", 1.5)
    await corral.refused("insert into corral.agents (id, types) values ('a2', '{XAgent}')")


@pytest.mark.contract("S4.11", "S4.53", "S0.2", "S4.70")
async def test_any_uuid_and_the_defaults(corral: Contract) -> None:
    explicit = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
    task = await corral.task(id=explicit)
    assert str(task) == explicit
    row = await corral.rows(
        "select state, priority, retries, max_retries, gpus from corral.tasks where id = $1", task
    )
    assert row == [("pending", 5, 0, 3, 0)]
    assert await corral.rows("select priority, kind, state from corral.jobs") == [(5, "batch", "pending")]
