-- The registry of tools. What changes something writes its row of the audit in the same statement.

-- name: every
-- All versions of all tools.
select t.id, t.name, t.version, t.current, t.description, t.category, t.status, t.spec::text, t.sha256,
    case when t.input_schema_text::jsonb = t.input_schema then t.input_schema_text
        else t.input_schema::text end as input_schema,
    case when t.output_schema_text::jsonb = t.output_schema then t.output_schema_text
        else t.output_schema::text end as output_schema,
    t.built_in, t.created_by, t.status_reason, t.status_by,
    extract(epoch from t.created_at)::double precision as created_at, n.name as node,
    coalesce((select array_agg(g.tag_name order by g.tag_name) from corral.tool_tags g where g.tool_id = t.id), '{}')
        as tags
from corral.tools t left join corral.nodes n on n.id = t.target_node_id
order by t.name, t.created_at;

-- name: types
-- All task types.
select t.name, t.description, t.agent_type, t.standard, t.avg_complexity::double precision as avg_complexity,
    t.avg_duration_seconds::double precision as avg_duration_s, t.required_input, t.input_schema::text
from corral.task_types t order by not t.standard, t.name;

-- name: ensure
-- A built-in tool, where this version is not there yet; it becomes the current one. One that is there gets the
-- order of its schemas' keys, where an older release wrote it without.
with older as (
    update corral.tools set current = false
    where name = $1 and current and version <> $2 and not exists (
        select from corral.tools where name = $1 and version = $2)),
made as (
    insert into corral.tools as t (name, version, description, category, spec, input_schema, output_schema, built_in,
        input_schema_text, output_schema_text)
    values ($1, $2, $3, $4, $5::text::jsonb, $6::text::jsonb, $7::text::jsonb, true, $6, $7)
    on conflict (name, version) do update
        set input_schema_text = excluded.input_schema_text, output_schema_text = excluded.output_schema_text
        where t.built_in and t.input_schema_text is null
    returning id)
insert into corral.tool_tags (tool_id, tag_name) select id, tag from made, unnest($8::text[]) as tag
on conflict do nothing;

-- name: uncurrent!
-- Before a higher version is added: the one that the bare name meant so far.
update corral.tools set current = false where name = $1 and current;

-- name: add
-- A version of a tool.
with made as (
    insert into corral.tools (name, version, current, description, category, spec, sha256, input_schema,
        output_schema, target_node_id, created_by, input_schema_text, output_schema_text)
    values ($1, $2, $3, $4, $5, $6::text::jsonb, $7, $8::text::jsonb, $9::text::jsonb,
        (select id from corral.nodes where name = $10), $11, $8, $9)
    returning id, name, version),
tagged as (
    insert into corral.tool_tags (tool_id, tag_name) select id, tag from made, unnest($12::text[]) as tag)
insert into corral.audit (actor, action, object)
select $11, 'tool.add', name || '@' || version from made;

-- name: tag
-- Of every version of a tool; those that are there already stay.
with gone as (
    delete from corral.tool_tags g using corral.tools t
    where g.tool_id = t.id and t.name = $1 and g.tag_name = any($3::text[]) and g.tag_name <> all($2::text[])),
made as (
    insert into corral.tool_tags (tool_id, tag_name)
    select t.id, tag from corral.tools t, unnest($2::text[]) as tag where t.name = $1
    on conflict do nothing)
insert into corral.audit (actor, action, object, details)
values ($4, 'tool.tag', $1, jsonb_build_object('add', $2::text[], 'remove', $3::text[]));

-- name: steer
-- Enable or disable one version.
with done as (
    update corral.tools set status = $3, status_reason = $4, status_by = $5
    where name = $1 and version = $2
    returning name, version)
insert into corral.audit (actor, action, object, details)
select $5, case $3 when 'enabled' then 'tool.enable' else 'tool.disable' end, name || '@' || version,
    jsonb_strip_nulls(jsonb_build_object('reason', nullif($4, '')))
from done;

-- name: remove
-- Forget one version; $4 is what the bare name means from now on, "" if nothing.
with gone as (
    delete from corral.tools where name = $1 and version = $2 returning name, version)
insert into corral.audit (actor, action, object)
select $3, 'tool.remove', name || '@' || version from gone;

-- name: promote!
-- What the bare name means from now on.
update corral.tools set current = version = $2 where name = $1 and current <> (version = $2);

-- name: add_type
-- A task type of the cluster's own.
with made as (
    insert into corral.task_types (name, description, agent_type, required_input, input_schema)
    values ($1, $2, $3, $4, $5::text::jsonb) returning name)
insert into corral.audit (actor, action, object) select $6, 'type.add', name from made;

-- name: use
-- Calls by tool and version of the last $1 seconds; $2 one tool (NAME or NAME@VERSION), "" all.
select called as tool,
    count(*) filter (where state in ('completed', 'failed', 'timeout', 'cancelled')) as calls,
    count(*) filter (where state = 'completed') as completed,
    count(*) filter (where state in ('failed', 'timeout')) as failed,
    count(*) filter (where state = 'cancelled') as cancelled,
    count(*) filter (where state not in ('completed', 'failed', 'timeout', 'cancelled')) as live,
    percentile_cont(0.5) within group (order by seconds) filter (where state = 'completed') as p50_s,
    percentile_cont(0.95) within group (order by seconds) filter (where state = 'completed') as p95_s,
    avg(seconds) filter (where state = 'completed') as mean_s,
    coalesce(sum(output_bytes), 0)::bigint as output_bytes,
    extract(epoch from max(completed_at))::double precision as last_at,
    coalesce((select count(*) from corral.artifacts a join corral.tools u on u.id = a.created_by_tool_id
        where u.name || '@' || u.version = called), 0) as artifacts,
    coalesce((select sum(a.size_bytes) from corral.artifacts a join corral.tools u on u.id = a.created_by_tool_id
        where u.name || '@' || u.version = called), 0)::bigint as artifact_bytes
from corral.tool_calls
where coalesce(completed_at, now()) > now() - make_interval(secs => $1)
    and ($2 = '' or called = $2 or split_part(called, '@', 1) = $2)
group by called order by called;

-- name: type_use
-- How tasks of each type went in the last 30 days.
select t.type as name, count(*) filter (where t.state = 'completed') as completed,
    count(*) filter (where t.state in ('failed', 'timeout')) as failed,
    avg(extract(epoch from t.completed_at - t.started_at)) filter (where t.state = 'completed') as seen_s
from corral.tasks t
where t.count = 1 and t.completed_at > now() - interval '30 days'
group by t.type;

-- name: refresh_types
-- What tasks of the cluster's own types took on average; the standard figures stay as they are.
with seen as (
    select t.type, avg(extract(epoch from t.completed_at - t.started_at)) as seconds, count(*) as calls
    from corral.tasks t join corral.task_types k on k.name = t.type and not k.standard
    where t.count = 1 and t.state = 'completed' and t.completed_at > now() - interval '30 days'
    group by t.type)
update corral.task_types k set avg_duration_seconds = round(least(seen.seconds, 99999999)::numeric, 2)
from seen where seen.type = k.name and k.avg_duration_seconds is distinct from round(least(seen.seconds, 99999999)::numeric, 2);
