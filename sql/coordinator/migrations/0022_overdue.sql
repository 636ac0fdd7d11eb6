-- What people ask first when something hangs: who is gone, and what takes far too long.

-- Agents that have been away for five minutes. Their nodes were unreachable after ten seconds already.
create view corral.inactive_agents with (security_invoker = true) as
select a.id, n.name as node, a.version, a.last_seen_at, n.health, n.admin
from corral.agents a left join corral.nodes n on n.id = a.node_id
where a.status = 'inactive' and a.last_seen_at < now() - interval '5 minutes';

-- Running tasks beyond three times what was to be expected: the mean of what is done of their group, else of their
-- type. Where neither is known nothing is expected.
create view corral.stuck_tasks with (security_invoker = true) as
with running as (
    select t.id, t.job_id, t.index, t.group_name, t.type, t.node_id, t.started_at
    from corral.tasks t where t.state = 'running'
), done as (
    select e.job_id, e.group_name, avg(e.execution_time) as mean_s
    from corral.tasks e
        join (select distinct job_id, group_name from running) r
            on r.job_id = e.job_id and r.group_name = e.group_name
    where e.state = 'completed'
    group by e.job_id, e.group_name
), expected as (
    select
        r.id, j.number as job, r.index, r.type, n.name as node, r.started_at,
        extract(epoch from now() - r.started_at)::double precision as running_s,
        coalesce(d.mean_s, y.avg_duration_seconds)::double precision as expected_s
    from running r
        join corral.jobs j on j.id = r.job_id
        join corral.task_types y on y.name = r.type
        left join done d on d.job_id = r.job_id and d.group_name = r.group_name
        left join corral.nodes n on n.id = r.node_id
)
select id, job, index, type, node, started_at, running_s, expected_s
from expected
where expected_s is not null and running_s > 3 * greatest(expected_s, 1);

grant select on corral.inactive_agents, corral.stuck_tasks
    to corral_coordinator, corral_readonly, corral_user, corral_operator, corral_admin;
