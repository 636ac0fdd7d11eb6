"""Views, functions, seeds, and the queries that the sources give as examples."""

from __future__ import annotations

from datetime import datetime

import pytest

from tests.contract.conftest import Contract


@pytest.mark.contract("S4.33", "S4.34", "S4.32", "S0.23")
async def test_task_types(corral: Contract) -> None:
    sums = "select count(*), sum(avg_duration_seconds) from corral.task_types where standard"
    assert [(count, str(total)) for count, total in await corral.rows(sums)] == [(13, "455.00")]
    own = await corral.rows("select name from corral.task_types where not standard")
    assert {name for (name,) in own} >= {"shell", "wordcount", "python", "container", "train", "render"}
    parallel = "select parallel from corral.task_types where name in ('wordcount', 'train') order by name"
    assert await corral.rows(parallel) == [("gang",), ("array",)]


@pytest.mark.contract("S3.25", "S3.26", "S3.27", "S3.28", "S3.29", "S3.30", "S3.5")
async def test_tools_and_their_views(corral: Contract) -> None:
    roles = ["tool_executor", "analysis"]
    node = await corral.node(address="http://worker-2:8000", roles=roles, admin="active")
    tool = await corral.value(
        "insert into corral.tools (name, category, target_node_id, input_schema, output_schema) "
        "values ('text_analyzer', 'analysis', $1, $2, $3) returning id",
        node,
        '{"type": "object", "properties": {"file_path": {"type": "string"}}}',
        '{"type": "object", "properties": {"keywords": {"type": "array"}}}',
    )
    await corral.run(
        "insert into corral.tools (name, category, status) values ('off', 'storage', 'disabled')"
    )
    await corral.run(
        "insert into corral.tool_tags (tool_id, tag_name) values ($1, 'nlp'), ($1, 'analysis')", tool
    )
    await corral.run(
        "insert into corral.artifacts "
        "(file_name, mime_type, storage_pointer, size_bytes, created_by_tool_id) values "
        "('a.json', 'application/json', 'corral://a', 1, $1), ('b', 'text/plain', 'corral://b', 1, null)",
        tool,
    )
    assert await corral.rows("select name, node from corral.active_tools_with_nodes") == [
        ("text_analyzer", "n1")
    ]
    tags = await corral.rows("select name, tags from corral.tools_with_tags order by name")
    assert tags == [("off", []), ("text_analyzer", ["analysis", "nlp"])]
    made = await corral.rows("select file_name, tool from corral.artifacts_with_tools order by file_name")
    assert made == [("a.json", "text_analyzer"), ("b", None)]
    assert await corral.rows("select name from corral.get_tools_by_tag('analysis')") == [("text_analyzer",)]
    assert await corral.rows("select name from corral.get_tools_by_tag('''')") == []
    statistics = await corral.rows("select * from corral.get_node_statistics()")
    assert statistics == [("compute", "active", "healthy", 1)]
    search = "select name from corral.search_tools_by_schema"
    assert await corral.rows(f"{search}('file_path')") == [("text_analyzer",)]
    assert await corral.rows(f"{search}('file_path', 'keywords')") == [("text_analyzer",)]
    assert await corral.rows(f"{search}('file_path', 'none')") == []
    assert await corral.rows(f"{search}('keywords')") == []


@pytest.mark.contract("S0.21", "S0.38")
async def test_rollup_counts_what_is_left_of_a_range(corral: Contract) -> None:
    job = await corral.job(total=10, pending=0, queued=8, assigned=1, completed=1)
    whole = await corral.task(job, count=10, remaining=8, state="queued")
    path = ["queued", "assigned", "running", "completed"]
    await corral.task(job, index=2, range_id=whole, state="assigned", path=path[:2])
    await corral.task(job, index=3, range_id=whole, state="queued")
    await corral.run(
        "update corral.tasks set state = 'completed', path = $2, started_at = now(), "
        "completed_at = now() where job_id = $1 and index = 3",
        job,
        path,
    )
    assert await corral.rows("select queued, assigned, completed from corral.rollup_counts($1)", job) == [
        (8, 1, 1)
    ]
    assert await corral.value("select corral.rollup($1)", job) == "running"
    rows = await corral.rows(
        "select index, state from corral.tasks_expanded where job_id = $1 order by index", job
    )
    assert [index for index, _ in rows] == list(range(10))


@pytest.mark.contract(
    "S4.54", "S4.58", "S4.59", "S4.60", "S4.61", "S4.62", "S4.64", "S4.65", "S4.67", "S4.63"
)
@pytest.mark.parametrize(
    "question",
    [
        "select type, count(*), avg(execution_time), "
        "percentile_cont(0.5) within group (order by execution_time), "
        "percentile_cont(0.95) within group (order by execution_time) from corral.tasks "
        "where created_at >= now() - interval '24 hours' group by type",
        "select id from corral.tasks where state = 'pending' order by priority desc, created_at limit 100",
        "select id, extract(epoch from now() - started_at) from corral.tasks where state = 'running'",
        "select id from corral.tasks where state = 'failed' and retries < max_retries order by created_at",
        "select state, round(count(*) * 100.0 / sum(count(*)) over (), 2) from corral.tasks group by state",
        "select t.id from corral.tasks t join corral.task_types y on y.name = t.type where state = 'running' "
        "and now() - started_at > make_interval(secs => 3 * coalesce(y.avg_duration_seconds, 100)::float8)",
        "select round(count(*) filter (where state = 'completed') * 100.0 / nullif(count(*), 0), 2) "
        "from corral.tasks",
        "select id from corral.tasks where input ? 'text' and input ->> 'language' = 'en'",
        "select id from corral.tasks where input -> 'analysis_types' @> '[\"sentiment\"]'",
        "select id from corral.tasks where (input ->> 'max_length')::integer > 100",
        'select id from corral.tasks where input @> \'{"model": "m"}\' '
        "and (input ->> 'temperature')::float8 < 0.8",
        "select pg_size_pretty(pg_column_size(input)::bigint) from corral.tasks "
        "where pg_column_size(input) > 102400",
        "select date_bin('1 minute', at, 'epoch'), max(value) from corral.cluster_metrics "
        "where name = 'queue_depth' group by 1 order by 1",
    ],
)
async def test_the_sources_questions_run(corral: Contract, question: str) -> None:
    assert await corral.rows(question) in ([], [(None,)])
    job = await corral.job()
    await corral.task(job, input='{"text": "t", "language": "en", "max_length": 200, "temperature": 0.5}')
    await corral.rows(question)


@pytest.mark.contract("S1.17", "S1.13", "S1.10", "S1.6")
async def test_the_training_task_of_the_source(corral: Contract) -> None:
    task = await corral.task(
        type="train",
        cpu_millis=4000,
        mem_mib=8192,
        gpus=1,
        input='{"model": "mnist_model"}',
        parameters='{"batch_size": 32, "learning_rate": 0.001, "epochs": 10, "distributed": true, '
        '"n_clients": 3}',
        output='{"metrics": {"loss": 0.0023, "accuracy": 0.982}}',
    )
    await corral.run(
        "insert into corral.task_results (task_id, fence, progress, metrics) "
        """values ($1, 1, 45.5, '{"loss": 0.0023, "accuracy": 0.982}')""",
        task,
    )
    question = (
        "select r.progress, output #>> '{metrics,accuracy}', parameters ->> 'n_clients' "
        "from corral.tasks join corral.task_results r on r.task_id = id where id = $1"
    )
    assert await corral.rows(question, task) == [(45.5, "0.982", "3")]


@pytest.mark.contract("S0.36", "S4.21", "S4.22", "S2.21")
async def test_generated_columns(corral: Contract) -> None:
    generated = await corral.rows(
        "select table_name, column_name from information_schema.columns "
        "where table_schema = 'corral' and is_generated = 'ALWAYS'"
    )
    assert set(generated) >= {
        ("tasks", "execution_time"), ("tasks", "wait_time"), ("tasks", "latency_ms"), ("jobs", "state"),
        ("node_resources", "available"),
    }  # fmt: skip


@pytest.mark.contract("S4.9", "S2.57", "S2.60", "S2.62", "S0.41")
async def test_time_series_are_cut_by_time(corral: Contract) -> None:
    cut = await corral.rows("select table_name, native from corral.timeseries order by 1")
    assert {name for name, _ in cut} == {
        "cluster_metrics", "cluster_metrics_hours", "cluster_metrics_minutes", "gpu_usage", "gpu_usage_hours",
        "gpu_usage_minutes", "job_metrics",
        "learning_experiences", "node_logs", "node_metrics", "node_usage", "node_usage_hours",
        "node_usage_minutes", "system_events", "task_events", "task_logs", "task_usage",
    }  # fmt: skip
    if await corral.value("select corral.timeseries_edition()") == "none":
        parts = "select count(*) from pg_inherits where inhparent = ('corral.' || $1)::regclass"
        assert all([await corral.value(parts, name) >= 2 for name, _ in cut])
        assert await corral.value("select corral.make_partitions(now(), now() + interval '9 days')") > 0
        assert await corral.value("select corral.make_partitions(now(), now() + interval '9 days')") == 0
    else:
        hypertables = await corral.rows("select hypertable_name from timescaledb_information.hypertables")
        assert {name for (name,) in hypertables} == {name for name, native in cut if not native}


@pytest.mark.contract("S4.4")
async def test_experiences(corral: Contract) -> None:
    insert = (
        "insert into corral.learning_experiences (policy_version, state, action, reward, next_state, done) "
        "values ('p1', '{}', '{}', 1, $1, $2)"
    )
    await corral.run(insert, "{}", False)
    await corral.run(insert, None, True)
    await corral.refused(insert, None, False)


@pytest.mark.contract("S4.68")
async def test_states_are_checked_text_not_an_enum(corral: Contract) -> None:
    enums = (
        "select count(*) from pg_type t join pg_namespace n on n.oid = t.typnamespace "
        "where t.typtype = 'e' and n.nspname = 'corral'"
    )
    assert await corral.value(enums) == 0


@pytest.mark.contract("S1.43")
async def test_active_tasks_and_their_nodes(corral: Contract) -> None:
    node, job = await corral.node(), await corral.job(number=1043, name="train")
    on = {"node_id": node, "state": "running", "priority": 5}
    hours = "2026-11-22T1{}:00Z"
    for index, (changes, at) in enumerate(
        [({}, 2), ({}, 1), ({"priority": 9}, 3), ({"state": "assigned"}, 0), ({"state": "completed"}, 0)]
    ):
        at_s = datetime.fromisoformat(hours.format(at))
        columns = on | {"created_at": at_s} | changes
        paths = {
            "assigned": ["queued", "assigned"],
            "running": ["queued", "assigned", "running"],
            "completed": ["queued", "assigned", "running", "completed"],
        }
        await corral.task(job, index=index, path=paths[str(columns["state"])], **columns)
    await corral.task(job, index=5, count=9, remaining=9)
    assert await corral.rows("select name, job, state, node, health from corral.active_tasks") == [
        ("1043.2", "train", "running", "n1", "healthy"),
        ("1043.3", "train", "assigned", "n1", "healthy"),
        ("1043.1", "train", "running", "n1", "healthy"),
        ("1043.0", "train", "running", "n1", "healthy"),
    ]


@pytest.mark.contract("S2.38")
async def test_the_nodes_of_a_job(corral: Contract) -> None:
    node, job = await corral.node(), await corral.job()
    await corral.attempt(await corral.task(job), node_id=node)
    assert await corral.rows("select node_id, attempts from corral.job_nodes where job_id = $1", job) == [
        (node, 1)
    ]


@pytest.mark.contract("S0.37")
async def test_the_address_of_a_tasks_output(corral: Contract) -> None:
    job = await corral.job(number=1042)
    await corral.task(job, index=7, fence=2)
    assert await corral.rows("select name, logs_path from corral.tasks_expanded") == [("1042.7", "1042.7/2")]


@pytest.mark.contract("S3.35", "S3.36", "S3.37", "S3.38")
async def test_the_questions_about_tools_have_answers(corral: Contract) -> None:
    """Active tools with their nodes, by category, by tag, and how they are used."""
    node = await corral.node("n1", admin="active")
    added = "insert into corral.tools (name, category, target_node_id) values ($1, $2, $3) returning id"
    tool = await corral.value(added, "text_analyzer", "analysis", node)
    other = await corral.value(added, "resize", "processing", None)
    await corral.run("insert into corral.tool_tags (tool_id, tag_name) values ($1, 'nlp')", tool)
    active = "select name, node from corral.active_tools_with_nodes order by name"
    assert await corral.rows(active) == [("resize", None), ("text_analyzer", "n1")]
    await corral.run("update corral.nodes set admin = 'draining'")
    assert await corral.rows(active) == [("resize", None)], "its node takes no work"
    await corral.run("update corral.nodes set admin = 'active'")
    assert await corral.rows(active) == [("resize", None), ("text_analyzer", "n1")]
    by_category = "select category, count(*) from corral.tools group by category order by category"
    assert await corral.rows(by_category) == [("analysis", 1), ("processing", 1)]
    assert await corral.rows("select tool_id from corral.get_tools_by_tag('nlp')") == [(tool,)]
    job = await corral.job()
    called = '{"called": "resize@1.0.0"}'
    range_row = await corral.task(job, count=3, remaining=1, parameters=called)
    await corral.task(job, index=1, range_id=range_row, output='{"n": 1}')
    await corral.task(job, index=7, parameters=called)
    await corral.task(job, index=8)
    calls = "select called, count(*), sum(output_bytes) from corral.tool_calls group by called"
    assert await corral.rows(calls) == [("resize@1.0.0", 2, 8)], "the range's row itself is no call"
    assert other is not None
