-- Views and functions for people. Each runs with the rights of whoever asks (security_invoker), so that
-- row-level security holds behind it.

-- What the counters of a job should be, from its task rows alone. An untouched range counts what remains.
create function corral.rollup_counts(job uuid)
returns table (total bigint, pending bigint, queued bigint, assigned bigint, running bigint, completed bigint,
               failed bigint, cancelled bigint)
language sql stable
begin atomic
    select
        coalesce(sum(remaining), 0),
        coalesce(sum(remaining) filter (where state = 'pending'), 0),
        coalesce(sum(remaining) filter (where state in ('queued', 'retrying', 'reassigned')), 0),
        coalesce(sum(remaining) filter (where state = 'assigned'), 0),
        coalesce(sum(remaining) filter (where state = 'running'), 0),
        coalesce(sum(remaining) filter (where state = 'completed'), 0),
        coalesce(sum(remaining) filter (where state in ('failed', 'timeout')), 0),
        coalesce(sum(remaining) filter (where state = 'cancelled'), 0)
    from corral.tasks where job_id = job;
end;

-- The state of a job from its task rows: what jobs.state must always equal.
create function corral.rollup(job uuid) returns text
language sql stable
begin atomic
    select corral.job_state(
        c.total::integer, c.assigned::integer, c.running::integer, c.completed::integer, c.failed::integer,
        c.cancelled::integer, j.paused, j.cancel_requested)
    from corral.jobs j, corral.rollup_counts(j.id) c
    where j.id = job;
end;

-- Every task of an array as a row of its own, whether touched or not.
create view corral.tasks_expanded with (security_invoker = true) as
select
    t.id, t.job_id, j.number as job_number, t.index, t.range_id, t.group_name, t.type, t.priority, t.state,
    t.node_id, t.fence, t.retries, t.max_retries, t.exit_code, t.signal, t.error_message, t.created_at,
    t.updated_at, t.started_at, t.completed_at, t.latency_ms,
    format('%s.%s', j.number, t.index) as name,
    case when t.fence > 0 then format('%s.%s/%s', j.number, t.index, t.fence) end as logs_path
from corral.tasks t join corral.jobs j on j.id = t.job_id
where t.count = 1
union all
select
    t.id, t.job_id, j.number, i.index, t.id, t.group_name, t.type, t.priority, t.state,
    null, 0, 0, t.max_retries, null, null, null, t.created_at,
    t.updated_at, null, null, null,
    format('%s.%s', j.number, i.index),
    null
from corral.tasks t
    join corral.jobs j on j.id = t.job_id
    cross join lateral generate_series(t.index, t.index + t.count - 1) as i(index)
where t.count > 1
    and t.remaining > 0
    and not exists (select from corral.tasks e where e.job_id = t.job_id and e.index = i.index and e.id <> t.id);

-- The nodes that a job's attempts ran on.
create view corral.job_nodes with (security_invoker = true) as
select t.job_id, a.node_id, a.node_name, min(a.assigned_at) as first_assigned_at, count(*) as attempts
from corral.attempts a join corral.tasks t on t.id = a.task_id
group by t.job_id, a.node_id, a.node_name;

-- A node with its five capacities side by side.
create view corral.node_overview with (security_invoker = true) as
select
    n.id, n.number, n.name, n.hostname, n.ip, n.kind, n.health, n.admin, n.roles, n.labels, n.architecture,
    n.cpu_cores, n.last_heartbeat_at,
    max(r.total) filter (where r.resource = 'cpu') as cpu_millis,
    max(r.total) filter (where r.resource = 'memory') as mem_mib,
    max(r.total) filter (where r.resource = 'gpu') as gpus,
    max(r.total) filter (where r.resource = 'storage') as storage_mib,
    max(r.total) filter (where r.resource = 'network') as net_mbps,
    max(r.available) filter (where r.resource = 'cpu') as cpu_millis_available,
    max(r.available) filter (where r.resource = 'memory') as mem_mib_available,
    max(r.available) filter (where r.resource = 'gpu') as gpus_available
from corral.nodes n left join corral.node_resources r on r.node_id = n.id
group by n.id;

-- Where the ledger and the active allocations disagree: must be empty.
create view corral.ledger_mismatches with (security_invoker = true) as
select r.node_id, r.resource, r.allocated, coalesce(a.amount, 0) as held
from corral.node_resources r
    left join (
        select node_id, resource, sum(amount) as amount
        from corral.allocations where status = 'active' group by node_id, resource
    ) a using (node_id, resource)
where r.allocated <> coalesce(a.amount, 0);

create view corral.active_tools_with_nodes with (security_invoker = true) as
select t.id as tool_id, t.name, t.version, t.category, n.id as node_id, n.name as node, n.kind, n.roles, n.address
from corral.tools t left join corral.nodes n on n.id = t.target_node_id
where t.status = 'enabled' and t.current;

create view corral.tools_with_tags with (security_invoker = true) as
select t.id as tool_id, t.name, t.version, t.category, t.status,
    coalesce(array_agg(g.tag_name order by g.tag_name) filter (where g.tag_name is not null), '{}') as tags
from corral.tools t left join corral.tool_tags g on g.tool_id = t.id
where t.current
group by t.id;

create view corral.artifacts_with_tools with (security_invoker = true) as
select a.id as artifact_id, a.file_name, a.mime_type, a.storage_pointer, a.size_bytes, a.sha256, a.created_at,
    t.id as tool_id, t.name as tool, t.category
from corral.artifacts a left join corral.tools t on t.id = a.created_by_tool_id;

create function corral.get_tools_by_tag(tag_search text)
returns table (tool_id uuid, name varchar, description text, category text, version text)
language sql stable
begin atomic
    select t.id, t.name, t.description, t.category, t.version
    from corral.tools t join corral.tool_tags g on g.tool_id = t.id
    where g.tag_name = tag_search and t.current
    order by t.name;
end;

create function corral.get_node_statistics()
returns table (kind text, admin text, health text, nodes bigint)
language sql stable
begin atomic
    select n.kind, n.admin, n.health, count(*) from corral.nodes n group by n.kind, n.admin, n.health;
end;

-- Tools whose input schema has one property and, where asked for, whose output schema has another.
create function corral.search_tools_by_schema(input_property text, output_property text default null)
returns table (tool_id uuid, name varchar, category text, input_schema jsonb, output_schema jsonb)
language sql stable
begin atomic
    select t.id, t.name, t.category, t.input_schema, t.output_schema
    from corral.tools t
    where t.current
        and t.input_schema -> 'properties' ? input_property
        and (output_property is null or t.output_schema -> 'properties' ? output_property)
    order by t.name;
end;
