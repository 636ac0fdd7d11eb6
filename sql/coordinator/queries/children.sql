-- Jobs that tasks submitted, for the task that waits for them.

-- name: refuse
-- The line that ends at $4, of attempt $3 of task $2 of job $1, was refused for $5. Some thousand are kept of one attempt.
insert into corral.refused_children (task_id, fence, place, reason)
select t.id, $3, $4, $5
from corral.tasks t join corral.jobs j on j.id = t.job_id
where j.number = $1 and t.index = $2 and t.count = 1
    and (select count(*) from corral.refused_children r where r.task_id = t.id and r.fence = $3) < $6
on conflict do nothing;

-- name: of_attempt
-- What became of the jobs of an attempt ($3) of task $2 of job $1: those that it submitted, and those with a key that
-- any attempt may have given ($4: how keys begin that were made of an attempt of the task). What did not complete comes
-- first, $5 at most. A job of number 0 was refused.
select
    number, name, case when starts_with(key, $4) then '' else key end as key, state, total, completed, failed, cancelled,
    exit_code, reason
from (
    select
        number, name, coalesce(dedupe_key, '') as key, state, total, completed, failed, cancelled, exit_code, reason
    from corral.jobs
    where parent_job = $1 and parent = $1::bigint || '.' || $2::integer
    union all
    select number, name, coalesce(dedupe_key, ''), state, total, completed, failed, cancelled, exit_code, reason
    from corral.jobs_archive
    where parent_job = $1 and parent = $1::bigint || '.' || $2::integer
    union all
    select 0, '', '', null, 0, 0, 0, 0, null, r.reason
    from corral.refused_children r
        join corral.tasks t on t.id = r.task_id
        join corral.jobs j on j.id = t.job_id
    where j.number = $1 and t.index = $2 and r.fence = $3
) children
where not starts_with(key, $4) or starts_with(key, $4::text || $3::integer || ':')
order by (state = 'completed') is true, number
limit $5;
