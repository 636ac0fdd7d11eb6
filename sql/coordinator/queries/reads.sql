-- name: find_jobs
-- Jobs by number, id, or start of the id. $1: whose jobs may be seen, null for everybody's.
select j.number
from corral.jobs j join corral.users o on o.id = j.user_id
where ($1::text is null or o.username = $1)
    and (j.number = $2::bigint or (j.id >= $3::uuid and j.id <= $4::uuid))
order by j.number
limit 10;

-- name: last_job
-- The newest job that a user submitted.
select max(j.number) as number
from corral.jobs j join corral.users o on o.id = j.user_id
where o.username = $1;

-- name: list_jobs
-- Newest first. $1: whose jobs may be seen, null for everybody's.
select
    j.number, j.id, j.name, o.username, j.kind, j.priority, j.state, j.total, j.pending, j.queued, j.assigned,
    j.running, j.completed, j.failed, j.cancelled, j.exit_code, j.reason,
    extract(epoch from j.created_at)::double precision as submitted_at,
    extract(epoch from j.started_at)::double precision as started_at,
    extract(epoch from j.ended_at)::double precision as ended_at
from corral.jobs j join corral.users o on o.id = j.user_id
where ($1::text is null or o.username = $1)
    and (cardinality($2::text[]) = 0 or j.state = any ($2))
    and ($3::bigint is null or j.number < $3)
order by j.number desc
limit $4;

-- name: show_job
-- One job with its spec.
select
    j.number, j.id, j.name, o.username, j.kind, j.priority, j.state, j.total, j.pending, j.queued, j.assigned,
    j.running, j.completed, j.failed, j.cancelled, j.exit_code, j.reason,
    extract(epoch from j.created_at)::double precision as submitted_at,
    extract(epoch from j.started_at)::double precision as started_at,
    extract(epoch from j.ended_at)::double precision as ended_at, j.spec::text
from corral.jobs j join corral.users o on o.id = j.user_id
where ($1::text is null or o.username = $1) and j.number = $2;

-- name: list_tasks
-- Single tasks of a job, and elements of its ranges that have rows of their own, by index.
select
    t.id, t.index, t.count, t.remaining, t.group_name, t.state, n.name as node, t.fence, t.retries, t.priority,
    t.cpu_millis, t.mem_mib, t.gpus, t.storage_mib, t.net_mbps, t.exit_code, t.signal, t.error_message,
    extract(epoch from t.created_at)::double precision as submitted_at,
    extract(epoch from t.started_at)::double precision as started_at,
    extract(epoch from t.completed_at)::double precision as ended_at
from corral.tasks t left join corral.nodes n on n.id = t.node_id
where t.job_id = (select j.id from corral.jobs j where j.number = $1)
    and t.count = 1
    and (cardinality($2::text[]) = 0 or t.state = any ($2))
    and t.index > $3
order by t.index
limit $4;

-- name: list_ranges
-- Ranges of a job that still have untouched elements above an index.
select
    t.id, t.index, t.count, t.remaining, t.group_name, t.state, n.name as node, t.fence, t.retries, t.priority,
    t.cpu_millis, t.mem_mib, t.gpus, t.storage_mib, t.net_mbps, t.exit_code, t.signal, t.error_message,
    extract(epoch from t.created_at)::double precision as submitted_at,
    extract(epoch from t.started_at)::double precision as started_at,
    extract(epoch from t.completed_at)::double precision as ended_at
from corral.tasks t left join corral.nodes n on n.id = t.node_id
where t.job_id = (select j.id from corral.jobs j where j.number = $1)
    and t.count > 1
    and t.remaining > 0
    and (cardinality($2::text[]) = 0 or t.state = any ($2))
    and t.index + t.count - 1 > $3
order by t.index
limit $4;

-- name: gaps
-- The untouched stretches of range $1 within [$2, $3]: what lies between its elements with rows of their own.
select index + 1 as first, next - index - 1 as count
from (
    select index, lead(index) over (order by index) as next
    from (
        select t.index from corral.tasks t where t.range_id = $1 and t.index between $2 and $3
        union all
        values ($2 - 1), ($3 + 1)
    ) touched
) pairs
where next > index + 1
order by index
limit $4;

-- name: show_task
-- One task, or the range that it lies in untouched. Its own row comes before the range's.
select
    t.id, t.index, t.count, t.remaining, t.group_name, t.state, n.name as node, t.fence, t.retries, t.priority,
    t.cpu_millis, t.mem_mib, t.gpus, t.storage_mib, t.net_mbps, t.exit_code, t.signal, t.error_message,
    extract(epoch from t.created_at)::double precision as submitted_at,
    extract(epoch from t.started_at)::double precision as started_at,
    extract(epoch from t.completed_at)::double precision as ended_at, t.output::text
from corral.tasks t
    join corral.jobs j on j.id = t.job_id
    join corral.users o on o.id = j.user_id
    left join corral.nodes n on n.id = t.node_id
where ($1::text is null or o.username = $1) and j.number = $2 and t.index <= $3 and t.index + t.count > $3
order by (t.range_id is not null) desc
limit 1;

-- name: attempts_of_task
-- The tries of a task, first to last.
select
    fence, node_name, state, exit_code, signal, message, explanation::text,
    extract(epoch from assigned_at)::double precision as assigned_at,
    extract(epoch from started_at)::double precision as started_at,
    extract(epoch from ended_at)::double precision as ended_at
from corral.attempts
where task_id = $1
order by fence;

-- name: attempt_place
-- Where an attempt's output lies ($4: its fence, 0 for the newest), and whether it is over.
select a.node_name, a.fence, a.state not in ('assigned', 'running') as ended
from corral.attempts a
    join corral.tasks t on t.id = a.task_id
    join corral.jobs j on j.id = t.job_id
    join corral.users o on o.id = j.user_id
where ($1::text is null or o.username = $1) and j.number = $2 and t.index = $3
    and ($4::integer = 0 or a.fence = $4)
order by a.fence desc
limit 1;

-- name: needed_outputs
-- Outputs of the completed tasks of some groups, by index: as many as fit into $4 bytes, but at least one;
-- with the number of candidates, of which there may be more than these.
select index, group_name, output, candidates
from (
    select index, group_name, output, count(*) over () as candidates,
        sum(octet_length(output)) over (order by index) as bytes,
        row_number() over (order by index) as position
    from (
        select t.index, t.group_name, coalesce(t.output::text, '') as output
        from corral.tasks t join corral.jobs j on j.id = t.job_id
        where j.number = $1 and t.group_name = any ($2::text[]) and t.index > $3 and t.state = 'completed'
        order by t.index
        limit 4096
    ) candidates
) summed
where bytes <= $4 or position = 1
order by index;

-- name: job_states
-- How many jobs are in each state.
select state, count(*) from corral.jobs group by state;

-- name: task_states
-- How many tasks are in each state, by the counters of the jobs.
select
    coalesce(sum(pending), 0) as pending, coalesce(sum(queued), 0) as queued,
    coalesce(sum(assigned), 0) as assigned, coalesce(sum(running), 0) as running,
    coalesce(sum(completed), 0) as completed, coalesce(sum(failed), 0) as failed,
    coalesce(sum(cancelled), 0) as cancelled
from corral.jobs;
