-- name: insert_tasks
-- New rows for tasks, ranges and the elements that leave a range; with the steps they took in this batch.
-- Here and below, instants are put in order: a clock that was set back must not make a row unwritable.
with new as (
    select
        u.*, string_to_array(u.passed, ' ') as path, n.id as node_id,
        to_timestamp(u.created) as created_at,
        case when u.started is not null then to_timestamp(greatest(u.started, u.created)) end as started_at,
        case when u.completed is not null
            then to_timestamp(greatest(u.completed, u.started, u.created)) end as completed_at
    from unnest(
        $1::uuid[], $2::uuid[], $3::integer[], $4::integer[], $5::integer[], $6::uuid[], $7::text[], $8::text[],
        $9::text[], $10::text[], $11::smallint[], $12::bigint[], $13::bigint[], $14::integer[], $15::bigint[],
        $16::bigint[], $17::integer[], $18::double precision[], $19::bigint[], $20::text[], $21::text[],
        $22::integer[], $23::integer[], $24::double precision[], $25::double precision[], $26::integer[],
        $27::integer[], $28::text[], $29::text[], $30::double precision[]
    ) as u (id, job_id, index, count, remaining, range_id, group_name, type, input, parameters, priority, cpu_millis,
            mem_mib, gpus, storage_mib, net_mbps, max_retries, created, version, passed, node, fence, retries,
            started, completed, exit_code, signal, message, output, changed)
        left join corral.nodes n on n.name = u.node
), inserted as (
    insert into corral.tasks (
        id, job_id, index, count, remaining, range_id, group_name, type, input, parameters, priority, cpu_millis,
        mem_mib, gpus, storage_mib, net_mbps, max_retries, version, state, path, node_id, fence, retries,
        exit_code, signal, error_message, output, created_at, updated_at, started_at, completed_at)
    select
        id, job_id, index, count, remaining, range_id, group_name, type, input::jsonb, parameters::jsonb, priority,
        cpu_millis, mem_mib, gpus, storage_mib, net_mbps, max_retries, version, path[cardinality(path)], path,
        node_id, fence, retries, exit_code, signal, nullif(message, ''), output::jsonb,
        created_at, greatest(to_timestamp(changed), created_at), started_at, completed_at
    from new
    returning id
), events as (
    insert into corral.task_events (task_id, version, step, at, old_state, new_state, node_id, fence)
    select id, version, step, to_timestamp(changed), path[step], path[step + 1], node_id, fence
    from new, generate_series(1, cardinality(path) - 1) as step
)
select count(*) from inserted;

-- name: update_tasks
-- Compare and swap on the version alone: a state in the condition would tempt the planner to the state index.
with change as (
    select u.*, string_to_array(u.passed, ' ') as path, n.id as node_id
    from unnest(
        $1::uuid[], $2::bigint[], $3::integer[], $4::text[], $5::integer[], $6::text[], $7::integer[], $8::integer[],
        $9::double precision[], $10::double precision[], $11::integer[], $12::integer[], $13::text[], $14::text[],
        $15::double precision[]
    ) as u (id, version, steps, passed, remaining, node, fence, retries, started, completed, exit_code, signal,
            message, output, changed)
        left join corral.nodes n on n.name = u.node
), changed as (
    update corral.tasks t
    set version = u.version, state = u.path[cardinality(u.path)], path = u.path, remaining = u.remaining,
        node_id = u.node_id, fence = u.fence, retries = u.retries, exit_code = u.exit_code, signal = u.signal,
        error_message = nullif(u.message, ''), output = coalesce(u.output::jsonb, t.output),
        started_at = case when u.started is not null then greatest(to_timestamp(u.started), t.created_at) end,
        completed_at = case when u.completed is not null
            then greatest(to_timestamp(u.completed), to_timestamp(u.started), t.created_at) end,
        updated_at = greatest(to_timestamp(u.changed), t.created_at)
    from change u
    where t.id = u.id and t.version = u.version - u.steps
    returning t.id, t.version, u.path, u.changed, u.node_id, u.fence
), events as (
    insert into corral.task_events (task_id, version, step, at, old_state, new_state, node_id, fence)
    select id, version, step, to_timestamp(changed), path[step], path[step + 1], node_id, fence
    from changed, generate_series(1, cardinality(path) - 1) as step
)
select count(*) from changed;

-- name: of_live_jobs
-- Every task row of the jobs that are not over.
select
    t.id, j.number, t.index, t.count, t.remaining, t.state, t.version, n.name as node, t.fence, t.retries,
    extract(epoch from t.updated_at)::double precision as changed_at,
    extract(epoch from t.started_at)::double precision as started_at
from corral.tasks t
    join corral.jobs j on j.id = t.job_id
    left join corral.nodes n on n.id = t.node_id
where j.state not in ('completed', 'failed', 'cancelled')
order by j.number, t.index;
