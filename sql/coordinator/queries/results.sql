-- name: hear
-- What one attempt told; see corral.hear_result.
select * from corral.hear_result(
    $1, $2, $3, $4::smallint, $5, $6, $7, $8, $9, $10, $11, $12::text[], $13::double precision[], $14::bigint[],
    $15::double precision[], $16::text[], $17::text[], $18::double precision[]);

-- name: logged
-- The newest $8 lines of a job's tasks ($3: of one of them, null for all). $1: whose may be seen, null for everybody's;
-- $4 and $5: from and until when; $6: severities; $7: the attempt, 0 for all; $9: the rank, null for all.
select
    extract(epoch from l.at)::double precision as at_s, l.severity, l.message, l.task_index, l.rank, l.fence, l.node_name
from corral.task_logs l
where l.job_number = $2 and ($3::integer is null or l.task_index = $3)
    and ($1::text is null or l.user_id = (select id from corral.users where username = $1))
    and l.at >= to_timestamp($4::double precision) and l.at < to_timestamp($5::double precision)
    and l.severity = any ($6::text[]) and ($7::integer = 0 or l.fence = $7)
    and ($9::integer is null or l.rank = $9)
order by l.at desc, l.task_index, l.rank, l.message
limit $8;

-- name: newest_logged
-- The newest $2 lines of a task; $3: of which of its ranks, null for all.
select extract(epoch from at)::double precision as at_s, severity, message, task_index, rank, fence, node_name
from corral.task_logs
where task_id = $1 and ($3::integer is null or rank = $3)
order by at desc, rank, message
limit $2;

-- name: metrics
-- The newest $4 values of each metric of a task, oldest first. $1: whose tasks may be seen, null for everybody's;
-- $5: which metrics, null for all; $6: of which rank.
with task as (
    select t.id, r.metrics
    from corral.tasks t
        join corral.jobs j on j.id = t.job_id
        join corral.users o on o.id = j.user_id
        join corral.task_results r on r.task_id = t.id and r.rank = $6::smallint
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
    where m.task_id = named.id and m.rank = $6::smallint and m.name = named.name
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
