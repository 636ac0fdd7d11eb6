-- name: hear
-- What one attempt told; see corral.hear_result.
select * from corral.hear_result(
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::text[], $12::double precision[], $13::bigint[],
    $14::double precision[]);

-- name: metrics
-- The newest $4 values of each metric of a task, oldest first. $1: whose tasks may be seen, null for everybody's;
-- $5: which metrics, null for all.
with task as (
    select t.id, r.metrics
    from corral.tasks t
        join corral.jobs j on j.id = t.job_id
        join corral.users o on o.id = j.user_id
        join corral.task_results r on r.task_id = t.id
    where ($1::text is null or o.username = $1) and j.number = $2 and t.index = $3 and t.count = 1
), named as (
    select task.id, key as name
    from task cross join lateral jsonb_object_keys(task.metrics) as key
    where $5::text[] is null or key = any ($5)
)
select named.name, v.at, v.value, v.step
from named cross join lateral (
    select m.at, m.value, (m.labels ->> 'step')::bigint as step
    from corral.job_metrics m
    where m.task_id = named.id and m.name = named.name
    order by m.at desc
    limit $4
) v
order by named.name, v.at, v.step;

-- name: speaker
-- Whose task it is, where this attempt is its newest, was at the node that speaks, and was not lost. Of a gang,
-- rank 0 speaks.
select u.username as owner
from corral.jobs j
    join corral.users u on u.id = j.user_id
    join corral.tasks t on t.job_id = j.id and t.index = $3 and t.count = 1 and t.fence = $4
    join corral.attempts a on a.task_id = t.id and a.fence = t.fence and a.rank = 0
where j.number = $2 and a.node_name = $1
    and a.state in ('assigned', 'running', 'completed', 'failed', 'timeout');
