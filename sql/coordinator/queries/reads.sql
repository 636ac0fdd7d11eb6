-- name: find_jobs
-- Jobs by number, id, or start of the id, the newest first after the one of that number. $1: whose jobs may be
-- seen, null for everybody's.
select j.number
from corral.jobs j join corral.users o on o.id = j.user_id
where ($1::text is null or o.username = $1)
    and (j.number = $2::bigint or (j.id >= $3::uuid and j.id <= $4::uuid))
order by (j.number = $2) is true desc, j.number desc
limit 6;

-- name: last_job
-- The newest job that a user submitted.
select max(j.number) as number
from corral.jobs j join corral.users o on o.id = j.user_id
where o.username = $1;

-- name: task_by_id
-- The task that has a row with an id. $1: whose tasks may be seen, null for everybody's.
select j.number, t.index
from corral.tasks t
    join corral.jobs j on j.id = t.job_id
    join corral.users o on o.id = j.user_id
where ($1::text is null or o.username = $1) and t.id = $2;

-- name: show_job
-- One job with its spec.
select
    j.number, j.id::text as id, j.name, o.username as "user", j.kind, j.priority, j.state, j.held,
    j.total as tasks, j.pending, j.queued, j.assigned, j.running, j.completed, j.failed, j.cancelled,
    j.created_at as submitted, j.started_at as started, j.ended_at as ended, j.exit_code as exit,
    case when j.reason <> '' then j.reason when j.held then 'held by ' || j.held_by
        when j.paused then 'paused by ' || j.paused_by else '' end as reason,
    coalesce(j.parent, '') as parent, j.spec::text
from corral.jobs j join corral.users o on o.id = j.user_id
where ($1::text is null or o.username = $1) and j.number = $2;

-- name: show_task
-- One task, or the range that it lies in untouched. Its own row comes before the range's. $4: whose of its ranks is shown
-- what it told.
select
    t.id as row_id, t.count, t.index, t.group_name as name, t.state, n.name as node, t.fence as attempt,
    t.retries, j.priority, t.cpu_millis as cpu, t.mem_mib as memory, t.gpus * 1000 + t.gpu_milli as gpus, t.storage_mib as storage,
    t.net_mbps as net, t.created_at as submitted, t.started_at as started, t.completed_at as ended,
    t.exit_code as exit, t.signal, coalesce(t.error_message, '') as message, t.output::text,
    r.fence as told_by, r.progress, r.step, r.message as told, r.metrics::text, r.faults, r.fault, r.updated_at as told_at,
    coalesce((t.parameters -> 'gang' ->> 'size')::integer, 0) as ranks
from corral.tasks t
    join corral.jobs j on j.id = t.job_id
    join corral.users o on o.id = j.user_id
    left join corral.nodes n on n.id = t.node_id
    left join corral.task_results r on r.task_id = t.id and r.rank = $4::smallint and r.fence = t.fence
where ($1::text is null or o.username = $1) and j.number = $2 and t.index <= $3 and t.index + t.count > $3
order by (t.range_id is not null) desc
limit 1;

-- name: attempts_of_task
-- The tries of a task, first to last; of a gang, the ranks of each.
select
    fence, rank, node_name, state, exit_code, signal, message, explanation::text, assigned_at, started_at, ended_at
from corral.attempts
where task_id = $1
order by fence, rank;

-- name: attempt_place
-- Where an attempt's output lies ($4: its fence, 0 for the newest; $5: its rank), and whether it is over.
select a.node_name, a.fence, a.state not in ('assigned', 'running') as ended
from corral.attempts a
    join corral.tasks t on t.id = a.task_id
    join corral.jobs j on j.id = t.job_id
    join corral.users o on o.id = j.user_id
where ($1::text is null or o.username = $1) and j.number = $2 and t.index = $3
    and ($4::integer = 0 or a.fence = $4) and a.rank = $5
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
