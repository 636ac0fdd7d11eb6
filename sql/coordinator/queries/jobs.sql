-- name: live
-- Every job that is not over.
select
    j.id, j.number, o.username as owner, j.name, j.kind, j.priority, j.spec::text, j.metadata::text, j.dedupe_key,
    j.digest, j.total, extract(epoch from j.created_at)::double precision as created_at, j.state, j.pending,
    j.queued, j.assigned, j.running, j.completed, j.failed, j.cancelled, j.cancel_requested,
    extract(epoch from j.started_at)::double precision as started_at,
    extract(epoch from j.ended_at)::double precision as ended_at, j.exit_code, j.reason, j.held_by,
    extract(epoch from j.held_at)::double precision as held_at, j.paused_by,
    extract(epoch from j.paused_at)::double precision as paused_at,
    case when j.parent_job is not null then
        (select t.parent_task_id from corral.tasks t where t.job_id = j.id and t.index = 0 limit 1) end as parent_id
from corral.jobs j join corral.users o on o.id = j.user_id
where j.state not in ('completed', 'failed', 'cancelled')
order by j.number;

-- name: one
-- A job, over or not.
select
    j.id, j.number, o.username as owner, j.name, j.kind, j.priority, j.spec::text, j.metadata::text, j.dedupe_key,
    j.digest, j.total, extract(epoch from j.created_at)::double precision as created_at, j.state, j.pending,
    j.queued, j.assigned, j.running, j.completed, j.failed, j.cancelled, j.cancel_requested,
    extract(epoch from j.started_at)::double precision as started_at,
    extract(epoch from j.ended_at)::double precision as ended_at, j.exit_code, j.reason, j.held_by,
    extract(epoch from j.held_at)::double precision as held_at, j.paused_by,
    extract(epoch from j.paused_at)::double precision as paused_at,
    case when j.parent_job is not null then
        (select t.parent_task_id from corral.tasks t where t.job_id = j.id and t.index = 0 limit 1) end as parent_id
from corral.jobs j join corral.users o on o.id = j.user_id
where j.number = $1;

-- name: next_number
-- One more than any job ever had.
select greatest(
    (select coalesce(max(number), 0) from corral.jobs),
    (select coalesce(max(number), 0) from corral.jobs_archive)) + 1;

-- name: by_dedupe_key
-- The job that a user submitted under a key.
select j.number, j.id, d.digest, j.total
from corral.dedupe_keys d
    join corral.users o on o.id = d.user_id
    join corral.jobs j on j.id = d.job_id
where o.username = $1 and d.key = $2;

-- name: ended_before_live
-- The jobs that are over and that one which is not may wait for: by the numbers in its `after`. What another corresponds
-- to also by its tasks that completed, if there are at most $1 tasks.
with earlier as (
    select split_part(entry, ':', 1)::bigint as number, bool_or(entry like '%:corresponding') as one_by_one
    from corral.jobs j cross join lateral jsonb_array_elements_text(j.spec -> 'after') as entry
    where j.state not in ('completed', 'failed', 'cancelled') and j.pending > 0 and j.spec ? 'after'
    group by 1
)
select
    number, state, total,
    case when one_by_one and state <> 'completed' and total <= $1 then corral.completed_tasks(id)::text end as done
from corral.jobs join earlier using (number)
where state in ('completed', 'failed', 'cancelled')
union all
select number, state, total, completed_tasks::text from corral.jobs_archive join earlier using (number);

-- name: standing
-- Which of some jobs there are, among those of a user (or anybody), and how they are; of those in $3 that did not complete
-- and have at most $4 tasks also which of these did.
select
    j.number, j.state, j.total,
    case
        when j.number = any($3::bigint[]) and j.state in ('failed', 'cancelled') and j.total <= $4
        then corral.completed_tasks(j.id)::text
    end as done
from corral.jobs j join corral.users o on o.id = j.user_id
where j.number = any($2::bigint[]) and ($1::text is null or o.username = $1)
union all
select a.number, a.state, a.total, a.completed_tasks::text
from corral.jobs_archive a join corral.users o on o.id = a.user_id
where a.number = any($2::bigint[]) and ($1::text is null or o.username = $1);

-- name: completed_tasks
-- Of a job ($1) with at most $2 tasks, those that completed.
select number, state, total, corral.completed_tasks(id)::text as done
from corral.jobs
where number = $1 and total <= $2;
