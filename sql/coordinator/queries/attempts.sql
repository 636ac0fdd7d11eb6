-- name: live
-- Attempts that a node has or may have.
select
    j.number, t.index, a.fence, a.task_id, a.node_name, a.node_id, a.state, a.waiting, a.cpu_millis, a.mem_mib,
    a.gpus, a.storage_mib, a.net_mbps, a.holding, a.gpu_uuids,
    extract(epoch from a.assigned_at)::double precision as assigned_at,
    extract(epoch from a.started_at)::double precision as started_at, a.message, a.cancelling,
    a.yielding
from corral.attempts a
    join corral.tasks t on t.id = a.task_id
    join corral.jobs j on j.id = t.job_id
where a.state in ('assigned', 'running')
order by j.number, t.index, a.fence;
