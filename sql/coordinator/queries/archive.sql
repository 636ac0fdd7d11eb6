-- Jobs that are over, and where they go when they are old. $1, $2, $3: before which instant a completed, failed or
-- cancelled one must have ended; null: never.

-- name: count
-- How many are old enough, by how they ended: without those that must wait for one that came from them.
with recursive staying(number) as (
    select parent_job
    from corral.jobs
    where parent_job is not null and (ended_at < to_timestamp(case state
        when 'completed' then $1::double precision
        when 'failed' then $2::double precision
        when 'cancelled' then $3::double precision
    end)) is not true
    union
    select j.parent_job
    from staying join corral.jobs j using (number)
    where j.parent_job is not null
)
select state, count(*) as jobs, sum(total) as tasks
from corral.jobs
where ended_at < to_timestamp(greatest($1::double precision, $2::double precision, $3::double precision))
    and ended_at < to_timestamp(case state
        when 'completed' then $1::double precision
        when 'failed' then $2::double precision
        when 'cancelled' then $3::double precision
    end)
    and number not in (select number from staying)
group by state;

-- name: oldest
-- The oldest of them that may go now, but for some ($4), $5 at most. A job that others came from may once they have gone.
select number, total
from corral.jobs j
where ended_at < to_timestamp(greatest($1::double precision, $2::double precision, $3::double precision))
    and ended_at < to_timestamp(case state
        when 'completed' then $1::double precision
        when 'failed' then $2::double precision
        when 'cancelled' then $3::double precision
    end)
    and number <> all($4::bigint[])
    and not exists (select from corral.jobs c where c.parent_job = j.number)
order by ended_at
limit $5;

-- name: move
-- Of the jobs $4 those that are still old enough and that no other came from, while epoch $5 leads: their rows into the
-- archive, with what they count, so that their numbers and ends are known for ever; away with their tasks and all that
-- hangs from those. By $6.
with gone as (
    delete from corral.jobs j
    where number = any($4::bigint[])
        and not exists (select from corral.jobs c where c.parent_job = j.number)
        and ended_at < to_timestamp(case state
            when 'completed' then $1::double precision
            when 'failed' then $2::double precision
            when 'cancelled' then $3::double precision
        end)
        and exists (select from corral.leadership where epoch = $5)
    returning *
), kept as (
    insert into corral.jobs_archive (
        id, number, user_id, name, kind, priority, application, image, network_policy, max_runtime_s, spec, metadata,
        dedupe_key, digest, total, pending, queued, assigned, running, completed, failed, cancelled, held, paused,
        cancel_requested, exit_code, reason, created_at, updated_at, started_at, ended_at, held_by, held_at, paused_by,
        paused_at, completed_tasks)
    select
        id, number, user_id, name, kind, priority, application, image, network_policy, max_runtime_s, spec, metadata,
        dedupe_key, digest, total, pending, queued, assigned, running, completed, failed, cancelled, held, paused,
        cancel_requested, exit_code, reason, created_at, updated_at, started_at, ended_at, held_by, held_at, paused_by,
        paused_at, case when state <> 'completed' and total <= 100000 then corral.completed_tasks(id) end
    from gone
    returning number, state, total
), told as (
    insert into corral.audit (actor, action, object, details)
    select
        $6, 'cluster.gc', format('%s to %s', min(number), max(number)),
        jsonb_build_object('jobs', count(*), 'tasks', sum(total))
    from kept
    having count(*) > 0
)
select state, count(*) as jobs, sum(total) as tasks from kept group by state;
