"""Foreign keys, what they do when the other end goes, and the indexes behind every question."""

from __future__ import annotations

import pytest

from sql import queries
from tests.contract.conftest import Contract


@pytest.mark.contract("S2.41", "S1.18", "S3.19", "S4.7", "S0.63")
async def test_every_foreign_key_has_an_index(corral: Contract) -> None:
    assert await corral.rows(queries("catalogue")["unindexed_foreign_keys"]) == []


@pytest.mark.contract("S0.63", "S3.18", "S4.30", "S0.26", "S1.19", "S2.26", "S2.42")
async def test_the_relations_of_the_sources(corral: Contract) -> None:
    keys = await corral.connection.fetch(queries("catalogue")["foreign_keys"])
    found = {(row["table_name"], row["target"], *row["columns"]) for row in keys}
    assert found >= {
        ("tasks", "jobs", "job_id"),
        ("tasks", "nodes", "node_id"),
        ("tasks", "task_types", "type"),
        ("tasks", "agents", "agent_id"),
        ("tasks", "tasks", "parent_task_id"),
        ("tasks", "tasks", "range_id"),
        ("replicas", "tasks", "task_id"),
        ("replicas", "nodes", "primary_node_id"),
        ("attempts", "tasks", "task_id"),
        ("attempts", "nodes", "node_id"),
        ("jobs", "users", "user_id"),
        ("allocations", "nodes", "node_id"),
        ("tools", "nodes", "target_node_id"),
        ("tool_tags", "tools", "tool_id"),
        ("artifacts", "tools", "created_by_tool_id"),
        ("agents", "nodes", "node_id"),
        ("node_resources", "nodes", "node_id"),
    }


@pytest.mark.contract("S1.8", "S1.19", "S3.13", "S2.56")
async def test_a_removed_node_takes_no_history_with_it(corral: Contract) -> None:
    node = await corral.node()
    task = await corral.task(node_id=node)
    await corral.attempt(task, node_id=node)
    await corral.run(
        "insert into corral.tools (name, category, target_node_id) values ('t1', 'analysis', $1)", node
    )
    await corral.run(
        "insert into corral.node_metrics (at, node_id, name, value) values (now(), $1, 'load', 1)", node
    )
    await corral.run(
        "insert into corral.node_resources (node_id, resource, total) values ($1, 'cpu', 1)", node
    )
    await corral.run("delete from corral.nodes where id = $1", node)
    assert await corral.rows("select node_id from corral.tasks where id = $1", task) == [(None,)]
    assert await corral.rows("select node_id, node_name from corral.attempts") == [(None, "n1")]
    assert await corral.rows("select target_node_id from corral.tools") == [(None,)]
    assert await corral.value("select count(*) from corral.node_metrics where node_id = $1", node) == 1
    assert await corral.value("select count(*) from corral.node_resources where node_id = $1", node) == 0


@pytest.mark.contract("S4.18")
async def test_tasks_follow_a_renamed_agent(corral: Contract) -> None:
    await corral.run("insert into corral.agents (id) values ('old')")
    task = await corral.task(agent_id="old")
    await corral.run("update corral.agents set id = 'new' where id = 'old'")
    assert await corral.value("select agent_id from corral.tasks where id = $1", task) == "new"
    await corral.run("delete from corral.agents")
    assert await corral.value("select agent_id from corral.tasks where id = $1", task) is None


@pytest.mark.contract("S0.25", "S4.19")
async def test_children_go_with_their_parent(corral: Contract) -> None:
    job = await corral.job()
    parent = await corral.task(job)
    await corral.task(job, index=1, parent_task_id=parent)
    await corral.run("delete from corral.tasks where id = $1", parent)
    assert await corral.value("select count(*) from corral.tasks where job_id = $1", job) == 0
    await corral.task(job)
    await corral.run("delete from corral.jobs where id = $1", job)
    assert await corral.value("select count(*) from corral.tasks where job_id = $1", job) == 0


@pytest.mark.contract("S4.30")
async def test_a_used_task_type_stays_and_may_be_renamed(corral: Contract) -> None:
    task = await corral.task(type="python")
    assert "foreign key" in await corral.refused("delete from corral.task_types where name = 'python'")
    await corral.run("update corral.task_types set name = 'python3' where name = 'python'")
    assert await corral.value("select type from corral.tasks where id = $1", task) == "python3"


INDEXES = {
    "S0.14": ["nodes USING gin (labels)"],
    "S1.15": ["tasks USING btree (state", "(priority DESC, created_at)", "tasks USING brin (created_at)"],
    "S1.25": ["attempts USING btree (task_id, rank", "attempts USING btree (node_id, state)"],
    "S1.32": ["agents USING btree (status)", "agents USING btree (last_seen_at)"],
    "S2.18": [
        "nodes USING btree (admin)",
        "nodes USING btree (kind)",
        "nodes USING btree (last_heartbeat_at)",
    ],
    "S2.25": ["node_resources USING btree (node_id, resource)", "node_resources USING btree (resource)"],
    "S2.40": [
        "jobs USING btree (user_id",
        "jobs USING btree (state)",
        "jobs USING btree (kind)",
        "jobs USING btree (created_at)",
        "tasks USING btree (node_id)",
    ],
    "S2.44": [
        "allocations USING btree (task_id",
        "allocations USING btree (node_id, status)",
        "allocations USING btree (status)",
    ],
    "S2.58": ["node_metrics USING btree (node_id, at DESC)", "node_metrics USING btree (name)"],
    "S2.60": ["job_metrics USING btree (job_id, at DESC)", "job_metrics USING btree (name)"],
    "S2.62": [
        "system_events USING btree (event_type)",
        "system_events USING btree (severity)",
        "system_events USING btree (at DESC)",
    ],
    "S3.20": [
        "nodes USING btree (kind)",
        "nodes USING btree (health)",
        "nodes USING btree (created_at)",
        "nodes USING gin (roles)",
    ],
    "S3.21": ["tools USING btree (name)", "tools USING btree (category)", "tools USING btree (status)"],
    "S3.22": ["tool_tags USING btree (tag_name)"],
    "S3.23": [
        "artifacts USING btree (file_name)",
        "artifacts USING btree (mime_type)",
        "artifacts USING btree (created_at)",
    ],
    "S3.24": [
        "tools USING gin (input_schema jsonb_path_ops)",
        "tools USING gin (output_schema jsonb_path_ops)",
    ],
    "S4.54": ["tasks USING btree (type)"],
    "S4.55": ["tasks USING btree (state, created_at DESC)"],
    "S4.56": ["WHERE (state = ANY (ARRAY['pending'::text, 'queued'::text"],
    "S4.57": ["WHERE ((state = ANY (ARRAY['failed'::text, 'timeout'::text])) AND (retries >= max_retries))"],
    "S4.66": [
        "tasks USING gin (input jsonb_path_ops)",
        "((input ->> 'language'::text))",
        "(type, ((input ->> 'model'::text)))",
    ],
}


@pytest.mark.contract(
    "S0.14", "S1.15", "S1.25", "S1.32", "S2.18", "S2.25", "S2.40", "S2.44", "S2.58", "S2.60", "S2.62",
    "S3.20", "S3.21", "S3.22", "S3.23", "S3.24", "S4.54", "S4.55", "S4.56", "S4.57", "S4.66",
)  # fmt: skip
@pytest.mark.parametrize("row", INDEXES)
async def test_the_indexes_of_the_sources(corral: Contract, row: str) -> None:
    definitions = [definition for _, _, definition in await corral.rows(queries("catalogue")["indexes"])]
    for wanted in INDEXES[row]:
        assert any(wanted in definition.replace("corral.", "") for definition in definitions), wanted


@pytest.mark.contract("S4.66", "S3.24", "S1.15")
@pytest.mark.parametrize(
    ("question", "index"),
    [
        ('select id from corral.tasks where input @> \'{"model": "m"}\'', "tasks_input"),
        ("select id from corral.tasks where input ->> 'language' = 'en'", "tasks_input_language"),
        ("select id from corral.tasks where type = 'shell' and input ->> 'model' = 'm'", "tasks_input_model"),
        ("select id from corral.tools where input_schema @> '{\"a\": 1}'", "tools_input_schema"),
        (
            "select id from corral.tasks where state in ('pending', 'queued') "
            "order by priority desc, created_at limit 9",
            "tasks_queue",
        ),
    ],
)
async def test_the_planner_can_use_them(corral: Contract, question: str, index: str) -> None:
    await corral.run("set local enable_seqscan = off")
    await corral.run("set local enable_sort = off")
    plan = "\n".join(line for (line,) in await corral.rows(f"explain {question}"))
    assert index in plan


@pytest.mark.contract("S1.9", "S1.20", "S2.17", "S2.39", "S3.7", "S3.14", "S4.8", "S4.20")
async def test_updated_at_follows_every_change(corral: Contract) -> None:
    node, job = await corral.node(), await corral.job()
    task = await corral.task(job)
    await corral.attempt(task)
    await corral.run("insert into corral.tools (name, category) values ('t1', 'analysis')")
    changes = {
        "nodes": f"set annotations = '{{}}' where id = '{node}'",
        "jobs": f"set held = true where id = '{job}'",
        "tasks": f"set priority = 1 where id = '{task}'",
        "attempts": f"set message = 'x' where task_id = '{task}'",
        "tools": "set description = 'x'",
    }
    for table, change in changes.items():
        await corral.run(f"update corral.{table} {change}")
        assert await corral.value(
            f"select bool_and(updated_at > created_at) from corral.{table}".replace(
                "created_at", "assigned_at" if table == "attempts" else "created_at"
            )
        ), table
