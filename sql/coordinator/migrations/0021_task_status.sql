-- Whose fault it was: a task that failed by itself, and one that the cluster failed, are two things to its owner.

create view corral.task_status with (security_invoker = true) as
select
    t.id, t.job_id, t.job_number, t.index, t.name, t.state,
    case
        when t.state = 'running' then 'running'
        when t.state = 'completed' then 'completed'
        when t.state = 'failed' and newest.state = 'lost' then 'error'
        when t.state in ('failed', 'timeout', 'cancelled') then 'failed'
        else 'pending'
    end as status,
    newest.node_name, t.error_message as message
from corral.tasks_expanded t
    left join lateral (
        select a.state, a.node_name from corral.attempts a where a.task_id = t.id order by a.fence desc limit 1
    ) newest on true;
comment on view corral.task_status is
    'Every task as pending, running, completed, failed (by itself) or error (its node was lost, or could not start it)';

grant select on corral.task_status to corral_coordinator, corral_readonly, corral_user, corral_operator, corral_admin;
