-- What is on nodes now, in the order in which it would be looked at: the most urgent first, then the oldest.
create view corral.active_tasks with (security_invoker = true) as
select
    t.id as task_id, t.job_id, format('%s.%s', j.number, t.index) as name, j.name as job, t.type, t.state, t.priority,
    t.created_at, t.started_at, t.node_id, n.name as node, n.health, n.admin, n.last_heartbeat_at
from corral.tasks t
    join corral.jobs j on j.id = t.job_id
    left join corral.nodes n on n.id = t.node_id
where t.count = 1 and t.state in ('assigned', 'running')
order by t.priority desc, t.created_at, j.number, t.index;
comment on view corral.active_tasks is 'Tasks that a node has, with the node';
grant select on corral.active_tasks to corral_readonly, corral_user, corral_operator, corral_admin;
