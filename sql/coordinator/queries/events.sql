-- What event.list chooses from: four sources with a column for each field of bus/fields.py, completed by
-- coordinator/store/conditions.py. Jobs and tasks are their own history; system_events has the rest.
-- An id begins with its place among those of one instant: a job is accepted, something is noticed, which changes
-- tasks, and by the last of them the job ends.

-- name: task_changes
-- Every change of a task's state. Of an array's untouched elements: the change of all of them, under the first.
select
    -- at one instant, in the order in which it happened to a task
    format('2:%s:%s:%s', e.task_id, lpad(e.version::text, 10, '0'), e.step) collate "C" as id, e.at,
    'task_' || e.new_state as kind,
    case
        when e.new_state in ('failed', 'timeout') then 'error'
        -- what is handed on before it started went on waiting elsewhere: nothing was lost
        when e.new_state = 'retrying' or e.new_state = 'reassigned' and e.old_state <> 'assigned' then 'warning'
        else 'info'
    end as severity,
    (select o.username from corral.users o where o.id = j.user_id) as "user",
    j.number as job, format('%s.%s', j.number, t.index) as task,
    coalesce((select n.name from corral.nodes n where n.id = e.node_id), '') as node,
    format('%s -> %s', e.old_state, e.new_state)
    || case
        when e.new_state in ('failed', 'timeout') then coalesce((
            select ': ' || a.message from corral.attempts a
            where a.task_id = e.task_id and a.rank = 0 and a.fence = e.fence and a.message <> ''), '')
        else ''
    end as message,
    json_build_object('from', e.old_state, 'to', e.new_state, 'attempt', e.fence, 'tasks', t.count)::text as details,
    e.node_id, j.user_id as owner_id, t.index as task_index, false as is_everybodys,
    false as resolved, null::timestamptz as resolved_at, null as resolved_by, null as resolution
from corral.task_events e
    join corral.tasks t on t.id = e.task_id
    join corral.jobs j on j.id = t.job_id;

-- name: job_submissions
-- Every job that was accepted.
select
    format('0:%s', j.id) collate "C" as id, j.created_at as at, 'job_submitted' as kind,
    'info' as severity, (select o.username from corral.users o where o.id = j.user_id) as "user",
    j.number as job, '' as task, '' as node, j.name as message,
    json_build_object('tasks', j.total)::text as details,
    null::uuid as node_id, j.user_id as owner_id, null::integer as task_index, false as is_everybodys,
    false as resolved, null::timestamptz as resolved_at, null as resolved_by, null as resolution
from corral.jobs j;

-- name: job_ends
-- Every job that is over.
select
    format('3:%s', j.id) collate "C" as id, j.ended_at as at, 'job_' || j.state as kind,
    case j.state when 'failed' then 'error' else 'info' end as severity,
    (select o.username from corral.users o where o.id = j.user_id) as "user",
    j.number as job, '' as task, '' as node, j.reason as message,
    json_build_object('exit', j.exit_code, 'completed', j.completed, 'failed', j.failed,
                      'cancelled', j.cancelled)::text as details,
    null::uuid as node_id, j.user_id as owner_id, null::integer as task_index, false as is_everybodys,
    false as resolved, null::timestamptz as resolved_at, null as resolved_by, null as resolution
from corral.jobs j
where j.ended_at is not null and j.state in ('completed', 'failed', 'cancelled');

-- name: notices
-- What was noticed: nodes that come, fall silent and are steered, jobs held, agents refused. Everybody's is what is
-- about a node and about no job.
select
    format('1:%s', e.id) collate "C" as id, e.at, e.event_type as kind, e.severity,
    coalesce((select o.username from corral.users o where o.id = e.user_id), '') as "user",
    j.number as job, coalesce(e.details ->> 'task', '') as task,
    coalesce((select n.name from corral.nodes n where n.id = e.node_id), e.details ->> 'node', '') as node,
    e.message, e.details::text as details,
    e.node_id, coalesce(j.user_id, e.user_id) as owner_id, null::integer as task_index,
    e.job_id is null and e.node_id is not null as is_everybodys,
    e.resolved_at is not null as resolved, e.resolved_at,
    (select o.username from corral.users o where o.id = e.resolved_by) as resolved_by, e.resolution,
    e.id as notice_id
from corral.system_events e left join corral.jobs j on j.id = e.job_id;

-- name: resolve
-- Notice $1 is dealt with, says $2, in the words of $3; answers the row of the audit. The first who says so stays.
with changed as (
    update corral.system_events e
    set resolved_at = clock_timestamp(), resolved_by = u.id, resolution = $3
    from corral.users u
    where e.id = $1 and e.resolved_at is null and u.username = $2
    returning e.id, e.event_type)
insert into corral.audit (actor, action, object, details)
select $2, 'event.resolve', format('1:%s', id), jsonb_build_object('kind', event_type, 'note', $3::text)
from changed
returning id;

-- name: node_id
-- The id of a node.
select id from corral.nodes where name = $1;
