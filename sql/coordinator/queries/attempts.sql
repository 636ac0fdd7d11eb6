-- name: live
-- Attempts that a node has or may have; then, of gangs that are live, the ranks that are over as they ended.
select
    j.number, t.index, a.rank, a.fence, a.task_id, a.node_name, a.node_id, a.state, a.waiting, a.cpu_millis, a.mem_mib,
    a.gpus, a.gpu_milli, a.storage_mib, a.net_mbps, a.holding, a.gpu_uuids,
    extract(epoch from a.assigned_at)::double precision as assigned_at,
    extract(epoch from a.started_at)::double precision as started_at,
    extract(epoch from a.ended_at)::double precision as ended_at, a.exit_code, a.signal, a.message, a.cancelling,
    a.yielding, a.explanation ->> 'order' as "order", a.explanation ->> 'policy' as policy,
    a.explanation ->> 'rule' as rule, coalesce((a.explanation -> 'explored')::boolean, false) as explored,
    coalesce((a.explanation -> 'epsilon')::double precision, 0) as epsilon,
    coalesce(a.explanation -> 'state', '[]')::text as situation
from (
    select * from corral.attempts where state in ('assigned', 'running')
    union all
    select over.*
    from corral.tasks live join corral.attempts over on over.task_id = live.id and over.fence = live.fence
    where live.state in ('assigned', 'running') and over.state not in ('assigned', 'running')
) a
    join corral.tasks t on t.id = a.task_id
    join corral.jobs j on j.id = t.job_id
order by a.ended_at nulls first, j.number, t.index, a.rank, a.fence;

-- name: losses
-- Where and when live tasks were lost since they were last tried anew, except for nobody's fault (message $1).
-- Ranks that a gang lost with one node are one loss. A refusal: it did not begin, and the node said why, in words
-- that are none of $2.
select
    j.number, t.index, a.node_name, extract(epoch from min(a.ended_at))::double precision as ended_at,
    extract(epoch from max(a.ended_at) filter (where a.started_at is null and a.message <> all ($2::text[])))
        ::double precision as refused_at,
    (array_agg(a.message order by a.ended_at desc, a.rank desc)
        filter (where a.started_at is null and a.message <> all ($2::text[])))[1] as refusal
from corral.jobs j
    join corral.tasks t on t.job_id = j.id
    join corral.attempts a on a.task_id = t.id
where j.state not in ('completed', 'failed', 'cancelled')
    and t.state not in ('completed', 'failed', 'timeout', 'cancelled')
    and t.count = 1 and t.fence > 0 and a.state = 'lost' and a.message <> $1
    and a.ended_at > coalesce(
        (select max(e.at) from corral.task_events e where e.task_id = t.id and e.new_state = 'retrying'),
        '-infinity')
group by j.number, t.index, a.fence, a.node_name
order by j.number, t.index, a.fence, min(a.ended_at);
