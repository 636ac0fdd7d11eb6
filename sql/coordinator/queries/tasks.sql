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

-- name: failed_of_job
-- Tasks of a job that failed or ran out of time, from index $2 on, as many as $3.
select
    t.id, j.number, t.index, t.count, t.remaining, t.state, t.version, n.name as node, t.fence, t.retries,
    extract(epoch from t.updated_at)::double precision as changed_at,
    extract(epoch from t.started_at)::double precision as started_at
from corral.tasks t
    join corral.jobs j on j.id = t.job_id
    left join corral.nodes n on n.id = t.node_id
where j.number = $1 and t.count = 1 and t.index >= $2 and t.state in ('failed', 'timeout')
order by t.index
limit $3;

-- name: ended_by_group
-- How the tasks of a job ended that have rows of their own: by the first index of their group.
select coalesce(r.index, t.index) as first, t.state, count(*) as tasks
from corral.tasks t left join corral.tasks r on r.id = t.range_id
where t.job_id = (select j.id from corral.jobs j where j.number = $1) and t.count = 1
group by 1, 2
order by 1, 2;

-- name: ranges_of_job
-- What stands for the elements of a job's ranges that nothing happened to.
select t.index as first, t.state, t.version, t.remaining
from corral.tasks t
where t.job_id = (select j.id from corral.jobs j where j.number = $1) and t.count > 1
order by t.index;
