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
