-- name: gangs
-- Gangs of a job ($2), or one of its tasks ($3), from behind index $4 on, $5 at most: how far they are, what they told,
-- and what they saved. $1: whose may be seen, null for everybody's.
select
    p.task_id, j.number, p.index, p.group_name, p.state, p.fence, p.completed_at, p.required_ranks, p.active_nodes,
    p.live_ranks, p.running_ranks, p.completed_ranks,
    r.progress, coalesce(r.message, '') as told, coalesce(r.metrics, '{}')::text as metrics,
    saved.step as saved_step, saved.completed_at as saved_at, saving.step as saving_step,
    coalesce(saving.ranks, 0) as saving_ranks
from corral.gang_progress p
    join corral.jobs j on j.id = p.job_id
    join corral.users o on o.id = j.user_id
    left join corral.task_results r on r.task_id = p.task_id and r.rank = 0 and r.fence = p.fence
    left join lateral (
        select c.step, c.completed_at from corral.checkpoints c
        where c.task_id = p.task_id and c.complete
        order by c.completed_at desc
        limit 1) saved on true
    left join lateral (
        select c.step, (
            select count(distinct f.rank) from corral.checkpoint_files f where f.checkpoint_id = c.id) as ranks
        from corral.checkpoints c
        where c.task_id = p.task_id and c.fence = p.fence and c.sharded and not c.complete
        order by c.step desc
        limit 1) saving on true
where ($1::text is null or o.username = $1) and j.number = $2 and ($3::integer is null or p.index = $3)
    and p.index > $4
order by p.index
limit $5;

-- name: ranks
-- The ranks of the newest try ($2) of a gang, in order, with what each told in it.
select
    a.rank, a.node_name, a.state, a.assigned_at, a.started_at, a.ended_at, a.exit_code, a.signal, a.message as why,
    coalesce(a.checkpoint_path, '') as checkpoint_path, coalesce(a.metrics, '{}')::text as saved_metrics,
    r.fence as told_by, r.progress, r.step, r.message as told, r.metrics::text, r.faults, r.fault,
    r.updated_at as told_at
from corral.attempts a
    left join corral.task_results r on r.task_id = a.task_id and r.rank = a.rank and r.fence = a.fence
where a.task_id = $1 and a.fence = $2
order by a.rank;

-- name: available
-- The ranks of a gang that nobody has.
select rank from corral.available_ranks($1) as rank;
