-- What must be true of the database alone. Each answers what breaks it (`object`, `what`), $1 rows at most.

-- name: snapshot
-- The first statement of a transaction: from here on it sees one instant.
select corral.timeseries_edition();

-- name: sizes
-- How much there is to check.
select
    (select count(*) from corral.jobs) as jobs,
    (select count(*) from corral.tasks) as tasks,
    (select count(*) from corral.attempts) as attempts,
    (select count(*) from corral.allocations where status = 'active') as allocations,
    (select count(*) from corral.nodes) as nodes;

-- name: lost_tasks
-- Every task of a job has a row, or a range's row counts it.
select j.number::text as object, format('has %s tasks, and rows for %s', j.total, coalesce(s.tasks, 0)) as what
from corral.jobs j
    left join (select job_id, sum(remaining) as tasks from corral.tasks group by job_id) s on s.job_id = j.id
where j.total <> coalesce(s.tasks, 0)
order by j.number
limit $1;

-- name: counters
-- A job's counters are what its task rows say.
with counted as (
    select
        job_id,
        array[
            sum(remaining) filter (where state = 'pending'),
            sum(remaining) filter (where state in ('queued', 'retrying', 'reassigned')),
            sum(remaining) filter (where state = 'assigned'), sum(remaining) filter (where state = 'running'),
            sum(remaining) filter (where state = 'completed'),
            sum(remaining) filter (where state in ('failed', 'timeout')),
            sum(remaining) filter (where state = 'cancelled')] as tasks
    from corral.tasks
    group by job_id
), compared as (
    select
        j.number,
        array[j.pending, j.queued, j.assigned, j.running, j.completed, j.failed, j.cancelled] as counts,
        array(select coalesce(n, 0)::integer from unnest(c.tasks) with ordinality as u (n, place) order by place)
            as tasks
    from corral.jobs j join counted c on c.job_id = j.id
)
select
    number::text as object,
    format('counts %s as pending, queued, assigned, running, completed, failed, cancelled; its tasks are %s',
           counts, tasks) as what
from compared
where counts <> tasks
order by number
limit $1;

-- name: ends
-- A job that is over says when; one that is not does not.
select number::text as object, format('is %s, and its end is %s', state, coalesce(ended_at::text, 'nowhere')) as what
from corral.jobs
where (state in ('completed', 'failed', 'cancelled')) <> (ended_at is not null)
order by number
limit $1;

-- name: keys
-- The dedupe key of a live job leads to it.
select j.number::text as object, format('was submitted under %L, which leads elsewhere', j.dedupe_key) as what
from corral.jobs j left join corral.dedupe_keys d on d.user_id = j.user_id and d.key = j.dedupe_key
where j.state not in ('completed', 'failed', 'cancelled') and j.dedupe_key is not null
    and d.job_id is distinct from j.id
order by j.number
limit $1;

-- name: orphans
-- Tasks belong to jobs, attempts to tasks, allocations to attempts.
(select t.id::text as object, 'is a task of no job' as what
 from corral.tasks t where not exists (select from corral.jobs j where j.id = t.job_id) limit $1)
union all
(select format('%s#%s', a.task_id, a.fence), 'is an attempt of no task'
 from corral.attempts a where not exists (select from corral.tasks t where t.id = a.task_id) limit $1)
union all
(select format('%s#%s', l.task_id, l.fence), format('holds %s %s %s for no attempt', l.amount, l.unit, l.resource)
 from corral.allocations l
 where l.status = 'active' and not exists (
     select from corral.attempts a where a.task_id = l.task_id and a.rank = l.rank and a.fence = l.fence)
 limit $1);

-- name: two_live
-- A task has one live attempt.
select
    format('%s.%s', j.number, t.index) as object,
    format('has %s live attempts: %s', count(*), string_agg(format('#%s on %s', a.fence, a.node_name), ', '
           order by a.fence)) as what
from corral.attempts a join corral.tasks t on t.id = a.task_id join corral.jobs j on j.id = t.job_id
where a.state in ('assigned', 'running')
group by j.number, t.index, a.rank
having count(*) > 1
order by j.number, t.index
limit $1;

-- name: fences
-- A live attempt is its task's newest, and no attempt is newer than its task knows.
select
    format('%s.%s#%s', j.number, t.index, a.fence) as object,
    format('is %s on %s; its task knows attempt %s on %s', a.state, a.node_name, t.fence, coalesce(n.name, 'no node'))
        as what
from corral.attempts a
    join corral.tasks t on t.id = a.task_id
    join corral.jobs j on j.id = t.job_id
    left join corral.nodes n on n.id = t.node_id
where a.fence > t.fence
    or a.state in ('assigned', 'running') and (a.fence <> t.fence or t.node_id is distinct from a.node_id)
order by j.number, t.index, a.fence
limit $1;

-- name: alive_though_over
-- A task that is over has no live attempt.
select
    format('%s.%s#%s', j.number, t.index, a.fence) as object,
    format('is %s on %s; its task is %s', a.state, a.node_name, t.state) as what
from corral.attempts a join corral.tasks t on t.id = a.task_id join corral.jobs j on j.id = t.job_id
where a.state in ('assigned', 'running') and t.state in ('completed', 'failed', 'timeout', 'cancelled')
order by j.number, t.index
limit $1;

-- name: alive_though_waiting
-- A task that waits has no live attempt: it would be given out twice.
select
    format('%s.%s#%s', j.number, t.index, a.fence) as object,
    format('is %s on %s; its task is %s', a.state, a.node_name, t.state) as what
from corral.attempts a join corral.tasks t on t.id = a.task_id join corral.jobs j on j.id = t.job_id
where a.state in ('assigned', 'running') and t.state in ('pending', 'queued', 'retrying', 'reassigned')
order by j.number, t.index
limit $1;

-- name: abandoned
-- A task that is with a node has a live attempt there: else nobody runs it and nobody will.
select
    format('%s.%s', j.number, t.index) as object, format('is %s, and has no live attempt', t.state) as what
from corral.tasks t join corral.jobs j on j.id = t.job_id
where t.state in ('assigned', 'running') and not exists (
    select from corral.attempts a where a.task_id = t.id and a.state in ('assigned', 'running'))
order by j.number, t.index
limit $1;

-- name: ledgers
-- What a node has given away is what its active allocations add up to, and no more than it has.
select
    n.name as object,
    format('%s: the ledger has %s, active allocations %s, the node %s', coalesce(r.resource, a.resource),
           coalesce(r.allocated::text, 'no row'), coalesce(a.amount, 0), coalesce(r.total - r.reserved, 0)) as what
from corral.node_resources r
    full join (
        select node_id, resource, sum(amount) as amount
        from corral.allocations where status = 'active' group by node_id, resource
    ) a on a.node_id = r.node_id and a.resource = r.resource
    left join corral.nodes n on n.id = coalesce(r.node_id, a.node_id)
where r.allocated is distinct from coalesce(a.amount, 0)
    or r.allocated not between 0 and r.total - r.reserved
order by n.name, 2
limit $1;

-- name: holdings
-- A live attempt that holds its request has an allocation of each amount; no other has any.
with held as (
    select a.task_id, a.rank, a.fence, r.resource, r.amount
    from corral.attempts a
        cross join lateral (values
            ('cpu', a.cpu_millis), ('memory', a.mem_mib), ('gpu', a.gpus * 1000::bigint + a.gpu_milli),
            ('storage', a.storage_mib), ('network', a.net_mbps)
        ) as r (resource, amount)
    where a.holding and a.state in ('assigned', 'running') and r.amount > 0
), active as (
    select task_id, rank, fence, resource, amount from corral.allocations where status = 'active'
), compared as (
    select
        coalesce(h.task_id, l.task_id) as task_id, coalesce(h.fence, l.fence) as fence,
        coalesce(h.resource, l.resource) as resource, h.amount as held, l.amount as allocated
    from held h full join active l
        on l.task_id = h.task_id and l.rank = h.rank and l.fence = h.fence and l.resource = h.resource
)
select
    format('%s.%s#%s', j.number, t.index, c.fence) as object,
    format('%s: holds %s, has %s allocated', c.resource, coalesce(c.held, 0), coalesce(c.allocated, 0)) as what
from compared c join corral.tasks t on t.id = c.task_id join corral.jobs j on j.id = t.job_id
where c.held is distinct from c.allocated
order by j.number, t.index, c.fence, c.resource
limit $1;

-- name: gpus
-- What is taken of a GPU is what live attempts hold of it, and never more than all of it.
with held as (
    select a.node_id, x.uuid, sum(case when a.gpu_milli > 0 then a.gpu_milli else 1000 end) as milli
    from corral.attempts a cross join lateral unnest(a.gpu_uuids) as x (uuid)
    where a.holding and a.state in ('assigned', 'running')
    group by a.node_id, x.uuid
)
select
    format('%s %s', n.name, g.uuid) as object,
    format('%s of 1000 are held, %s are marked as taken', coalesce(h.milli, 0), g.taken_milli) as what
from corral.gpus g
    join corral.nodes n on n.id = g.node_id
    left join held h on h.node_id = g.node_id and h.uuid = g.uuid
where coalesce(h.milli, 0) <> g.taken_milli or h.milli > 1000
order by n.name, g.uuid
limit $1;

-- name: transitions
-- Of live jobs, and those over for less than a day: every step was allowed, and the last one led where the task is.
with recent as (
    select t.id, t.index, t.state, t.version, j.number
    from corral.jobs j join corral.tasks t on t.job_id = j.id
    where j.ended_at is null or j.ended_at > now() - interval '1 day'
), steps as (
    select
        r.number, r.index, r.state, e.old_state, e.new_state,
        lead(e.old_state) over history as next_state,
        row_number() over (partition by e.task_id order by e.version desc, e.step desc) as age
    from recent r join corral.task_events e on e.task_id = r.id
    window history as (partition by e.task_id order by e.version, e.step)
)
select
    format('%s.%s', number, index) as object,
    case
        when not corral.may_follow(old_state, new_state) then format('went from %s to %s', old_state, new_state)
        when age = 1 then format('is %s, and went last to %s', state, new_state)
        else format('went to %s and on from %s', new_state, next_state)
    end as what
from steps
where not corral.may_follow(old_state, new_state)
    or age = 1 and new_state <> state
    or age > 1 and new_state <> next_state
order by number, index
limit $1;

-- name: stuck
-- Running tasks far beyond their expected time, the worst first, and how many there are.
select job, index, node, running_s, expected_s, count(*) over () as tasks
from corral.stuck_tasks
order by running_s / greatest(expected_s, 1) desc
limit $1;

-- name: leaders
-- One leads: the newest epoch, in which batches were written last.
select
    format('epoch %s', $2::bigint) as object,
    format('leads by its own account; the database says epoch %s, and batches up to epoch %s',
           coalesce((select max(epoch) from corral.leadership), 0), coalesce((select max(epoch) from corral.batches), 0))
        as what
where $2::bigint is distinct from (select max(epoch) from corral.leadership)
    or $2::bigint < (select max(epoch) from corral.batches)
limit $1;
