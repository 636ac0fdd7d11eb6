-- The rows that job.list and task.list choose from: a column for each field of bus/fields.py, completed by
-- coordinator/store/conditions.py. What only some rows are asked for stands in subqueries, which cost nothing
-- where they are not read.

-- name: jobs
-- Every job. $1: now.
select
    j.id as row_id, j.user_id as owner_id, j.number, j.id::text as id, j.name,
    (select o.username from corral.users o where o.id = j.user_id) as "user",
    j.kind, j.priority, j.state, j.held, j.total as tasks, j.pending, j.queued, j.assigned, j.running,
    j.completed, j.failed, j.cancelled, j.created_at as submitted, j.started_at as started, j.ended_at as ended,
    extract(epoch from coalesce(j.ended_at, to_timestamp($1)) - j.started_at)::double precision as runtime,
    j.exit_code as exit,
    case when j.reason <> '' then j.reason when j.held then 'held by ' || j.held_by
        when j.paused then 'paused by ' || j.paused_by else '' end as reason,
    coalesce(j.parent, '') as parent, j.parent_job
from corral.jobs j;

-- name: tasks
-- Rows of a job's tasks: single ones, and ranges that have untouched elements. $1: now, $2: the job's number.
select
    t.id as row_id, t.count, t.remaining, t.index, t.group_name as name, t.state,
    coalesce((select n.name from corral.nodes n where n.id = t.node_id), '') as node,
    t.fence as attempt, t.retries,
    (select j.priority from corral.jobs j where j.number = $2) as priority, t.cpu_millis as cpu, t.mem_mib as memory,
    t.gpus * 1000 + t.gpu_milli as gpus, t.storage_mib as storage, t.net_mbps as net, t.created_at as submitted, t.started_at as started,
    t.completed_at as ended,
    extract(epoch from coalesce(t.completed_at, to_timestamp($1)) - t.started_at)::double precision as runtime,
    t.exit_code as exit, t.signal, coalesce(t.error_message, '') as message
from corral.tasks t
where t.job_id = (select j.id from corral.jobs j where j.number = $2) and t.remaining > 0;

-- name: every_task
-- The same for the tasks of all jobs. A place is unique: an index has 20 bits, and a range begins where its first
-- element does, which may have a row of its own. $1: now.
select
    t.id as row_id, t.count, t.remaining, t.index, t.group_name as name, t.state, j.number as job,
    j.user_id as owner_id, (select o.username from corral.users o where o.id = j.user_id) as "user",
    j.number * 2097152 + t.index * 2 + (t.count > 1)::integer as place,
    coalesce((select n.name from corral.nodes n where n.id = t.node_id), '') as node,
    t.fence as attempt, t.retries, j.priority, t.cpu_millis as cpu, t.mem_mib as memory,
    t.gpus * 1000 + t.gpu_milli as gpus, t.storage_mib as storage, t.net_mbps as net, t.created_at as submitted,
    t.started_at as started, t.completed_at as ended,
    extract(epoch from coalesce(t.completed_at, to_timestamp($1)) - t.started_at)::double precision as runtime,
    t.exit_code as exit, t.signal, coalesce(t.error_message, '') as message
from corral.tasks t join corral.jobs j on j.id = t.job_id
where t.remaining > 0;

-- name: owner
-- The id of a user.
select id from corral.users where username = $1;

-- name: gaps
-- The untouched stretches of range $1 that lie within the spans from $2 to $3, lowest first.
select s.low as first, s.high - s.low + 1 as count
from (
    select greatest(p.index + 1, w.low) as low, least(p.next - 1, w.high) as high
    from (
        select index, lead(index) over (order by index) as next
        from (
            select t.index
            from corral.tasks t
            where t.range_id = $1 and t.index between $4 and $5
            union all
            values ($4 - 1), ($5 + 1)
        ) touched
    ) p
        join unnest($2::integer[], $3::integer[]) as w (low, high) on p.index < w.high and p.next > w.low
) s
where s.low <= s.high
order by s.low
limit $6;

-- name: gaps_backwards
-- The same, highest first.
select s.low as first, s.high - s.low + 1 as count
from (
    select greatest(p.index + 1, w.low) as low, least(p.next - 1, w.high) as high
    from (
        select index, lead(index) over (order by index) as next
        from (
            select t.index
            from corral.tasks t
            where t.range_id = $1 and t.index between $4 and $5
            union all
            values ($4 - 1), ($5 + 1)
        ) touched
    ) p
        join unnest($2::integer[], $3::integer[]) as w (low, high) on p.index < w.high and p.next > w.low
) s
where s.low <= s.high
order by s.low desc
limit $6;

-- name: untouched
-- How many elements of range $1, which spans $4 to $5, lie untouched within the spans from $2 to $3.
select
    coalesce(sum(least(w.high, $5) - greatest(w.low, $4) + 1 - (
        select count(*)
        from corral.tasks t
        where t.range_id = $1 and t.index between greatest(w.low, $4) and least(w.high, $5)
    )), 0)::bigint as count
from unnest($2::integer[], $3::integer[]) as w (low, high)
where w.low <= $5 and w.high >= $4;
