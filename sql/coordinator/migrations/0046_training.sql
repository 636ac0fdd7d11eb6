-- Gangs, rank by rank: how far they are, which ranks nobody has, and what each of them used.

alter table corral.task_usage add column rank integer not null default 0;
comment on column corral.task_usage.rank is 'Of a gang, each of whose ranks is measured on its own node';
create or replace view corral.my_task_usage with (security_barrier = true) as
select u.* from corral.task_usage u join corral.tasks t on t.id = u.task_id join corral.jobs j on j.id = t.job_id
where corral.session_sees_all() or j.user_id = corral.session_user_id();

-- How far distributed tasks are, by the ranks of their newest try.
create view corral.gang_progress with (security_invoker = true) as
select
    t.id as task_id, t.job_id, t.index, t.group_name, t.state, t.fence, t.completed_at,
    (t.parameters -> 'gang' ->> 'size')::integer as required_ranks,
    a.active_nodes, a.live_ranks, a.running_ranks, a.completed_ranks
from corral.tasks t
    cross join lateral (
        select
            count(distinct each.node_name) filter (where each.state in ('assigned', 'running')) as active_nodes,
            count(*) filter (where each.state in ('assigned', 'running')) as live_ranks,
            count(*) filter (where each.state = 'running') as running_ranks,
            count(*) filter (where each.state = 'completed') as completed_ranks
        from corral.attempts each
        where each.task_id = t.id and each.fence = t.fence) a
where t.parameters ? 'gang' and t.count = 1;
comment on view corral.gang_progress is 'A row a gang';
grant select on corral.gang_progress to corral_readonly, corral_user, corral_operator, corral_admin;

-- The ranks of a gang that nobody has now, from 0 to its size less one.
create function corral.available_ranks(of_task uuid) returns setof integer
language sql stable
as $$
    select r.rank
    from corral.tasks t
        cross join lateral generate_series(0, (t.parameters -> 'gang' ->> 'size')::integer - 1) as r(rank)
    where t.id = of_task and not exists (
        select from corral.attempts a
        where a.task_id = t.id and a.rank = r.rank and a.state in ('assigned', 'running'))
    order by r.rank
$$;
