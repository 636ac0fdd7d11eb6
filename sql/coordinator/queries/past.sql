-- The cluster as it was at the moment $1: out of rows, and of the changes that task_events and system_events keep.
-- A row that has not changed since is as it was. Of an array, elements that nobody had touched by then are
-- counted with their range, whatever became of them later. Clocks of coordinator and database may differ by
-- ten seconds: jobs, which carry the database's, are looked at that much more closely.

-- name: jobs
-- Every job that there was. What cannot be known is as it is now: name, priority, and who asked to cancel.
select
    j.id as row_id, j.user_id as owner_id, j.number, j.id::text as id, j.name,
    (select o.username from corral.users o where o.id = j.user_id) as "user",
    j.kind, j.priority,
    corral.job_state(j.total, c.assigned, c.running, c.completed, c.failed, c.cancelled, c.paused,
                     j.cancel_requested) as state,
    c.held, j.total as tasks, c.pending, c.queued, c.assigned, c.running, c.completed, c.failed, c.cancelled,
    j.created_at as submitted,
    case when j.started_at <= to_timestamp($1) then j.started_at end as started,
    case when j.ended_at <= to_timestamp($1) then j.ended_at end as ended,
    case when j.started_at <= to_timestamp($1) then
        extract(epoch from least(j.ended_at, to_timestamp($1)) - j.started_at)::double precision end as runtime,
    case when j.ended_at <= to_timestamp($1) then j.exit_code end as exit,
    case when j.ended_at <= to_timestamp($1) then j.reason when c.held then 'held' when c.paused then 'paused'
        else '' end as reason,
    coalesce(j.parent, '') as parent, j.parent_job, j.updated_at as changed
from corral.jobs j
    cross join lateral (
        select j.pending, j.queued, j.assigned, j.running, j.completed, j.failed, j.cancelled, j.held, j.paused
        where j.updated_at < to_timestamp($1) - interval '10 seconds'
        union all
        select
            s.pending, s.queued, s.assigned, s.running, s.completed, s.failed, s.cancelled,
            case when j.ended_at <= to_timestamp($1) then j.held else coalesce(
                (select e.event_type = 'job_held' from corral.system_events e
                 where e.job_id = j.id and e.event_type in ('job_held', 'job_released')
                     and e.at between j.created_at - interval '10 seconds' and to_timestamp($1)
                 order by e.at desc limit 1),
                (select e.event_type = 'job_released' from corral.system_events e
                 where e.job_id = j.id and e.event_type in ('job_held', 'job_released') and e.at > to_timestamp($1)
                 order by e.at limit 1),
                j.held) end as held,
            case when j.ended_at <= to_timestamp($1) then j.paused else coalesce(
                (select e.event_type = 'job_paused' from corral.system_events e
                 where e.job_id = j.id and e.event_type in ('job_paused', 'job_resumed')
                     and e.at between j.created_at - interval '10 seconds' and to_timestamp($1)
                 order by e.at desc limit 1),
                (select e.event_type = 'job_resumed' from corral.system_events e
                 where e.job_id = j.id and e.event_type in ('job_paused', 'job_resumed')
                     and e.at > to_timestamp($1)
                 order by e.at limit 1),
                j.paused) end as paused
        from (
            with own as materialized (
                select
                    t.id, t.range_id, t.count,
                    case when t.updated_at <= to_timestamp($1) then t.state else coalesce(
                        (select e.old_state from corral.task_events e
                         where e.task_id = t.id and e.at > to_timestamp($1) order by e.version, e.step limit 1),
                        t.state) end as state,
                    t.range_id is null or t.updated_at <= to_timestamp($1) or exists (
                        select from corral.task_events e
                        where e.task_id = t.id
                            and e.at between j.created_at - interval '10 seconds' and to_timestamp($1)) as touched
                from corral.tasks t
                where t.job_id = j.id
            ), x as materialized (  -- else each of the sums below would look for the state anew
                select
                    o.state,
                    case when o.count = 1 then 1 else o.count - (
                        select count(*) from own y where y.range_id = o.id and y.touched) end as n
                from own o
                where o.touched
            )
            select
                coalesce(sum(n) filter (where x.state = 'pending'), 0)::integer as pending,
                coalesce(sum(n) filter (where x.state in ('queued', 'retrying', 'reassigned')), 0)::integer as queued,
                coalesce(sum(n) filter (where x.state = 'assigned'), 0)::integer as assigned,
                coalesce(sum(n) filter (where x.state = 'running'), 0)::integer as running,
                coalesce(sum(n) filter (where x.state = 'completed'), 0)::integer as completed,
                coalesce(sum(n) filter (where x.state in ('failed', 'timeout')), 0)::integer as failed,
                coalesce(sum(n) filter (where x.state = 'cancelled'), 0)::integer as cancelled
            from x
        ) s
        where j.updated_at >= to_timestamp($1) - interval '10 seconds'
    ) c
where j.created_at <= to_timestamp($1);

-- name: changed_jobs
-- The newest jobs below number $3 (0: of all) that changed since $1 and were there at $2, of user $4 (null: of anybody):
-- as many as have $5 tasks, or one; and whether there are more.
select number, more
from (
    select
        j.number, sum(j.total) over (order by j.number desc) - j.total as before,
        lead(j.number) over (order by j.number desc) is not null as more
    from corral.jobs j
    where j.updated_at > to_timestamp($1) - interval '10 seconds' and j.created_at <= to_timestamp($2)
        and ($3::bigint = 0 or j.number < $3) and ($4::uuid is null or j.user_id = $4)
) newest
where before < $5
order by number desc
limit $6;

-- name: tasks
-- The tasks of the job of number $2, each for itself.
with own as materialized (
    select
        t.*, t.updated_at <= to_timestamp($1) as same,
        case when t.updated_at <= to_timestamp($1) then t.state else e.new_state end as then_state,
        case when t.updated_at <= to_timestamp($1) then t.node_id else e.node_id end as then_node
    from corral.tasks t
        join corral.jobs j on j.id = t.job_id
        left join lateral (
            select e.new_state, e.node_id from corral.task_events e
            where t.updated_at > to_timestamp($1) and e.task_id = t.id
                and e.at between j.created_at - interval '10 seconds' and to_timestamp($1)
            order by e.version desc, e.step desc limit 1
        ) e on true
    where j.number = $2 and j.created_at <= to_timestamp($1)
), known as (
    select
        o.*,
        coalesce(
            o.then_state,
            (select e.old_state from corral.task_events e where e.task_id = o.id
             order by e.version, e.step limit 1),
            o.state) as was
    from own o
    where o.range_id is null or o.then_state is not null
)
select
    k.id as row_id, 1 as count, 1 as remaining, i.index, k.group_name as name, k.was as state,
    coalesce((select n.name from corral.nodes n where n.id = k.then_node), '') as node,
    coalesce(a.fence, 0) as attempt,
    case when k.same then k.retries else (
        select count(*) from corral.task_events e
        where e.task_id = k.id and e.new_state = 'retrying' and e.at <= to_timestamp($1))::integer end as retries,
    k.priority, k.cpu_millis as cpu, k.mem_mib as memory, k.gpus * 1000 + k.gpu_milli as gpus,
    k.storage_mib as storage, k.net_mbps as net, k.created_at as submitted, x.started, x.ended,
    extract(epoch from coalesce(x.ended, to_timestamp($1)) - x.started)::double precision as runtime,
    case when k.same then k.exit_code when x.over then a.exit_code end as exit,
    case when k.same then k.signal when x.over then a.signal end as signal,
    case when k.same then coalesce(k.error_message, '') when x.over then coalesce(a.message, '') else '' end as message
from known k
    cross join lateral (
        select k.index as index where k.count = 1
        union all
        select g as index from generate_series(k.index, k.index + k.count - 1) g
        where k.count > 1 and g not in (select y.index from own y where y.range_id = k.id and y.then_state is not null)
    ) i
    left join lateral (
        select a.fence, a.started_at, a.ended_at, a.exit_code, a.signal, a.message
        from corral.attempts a
        where k.count = 1 and a.task_id = k.id and a.assigned_at <= to_timestamp($1)
        order by a.fence desc limit 1
    ) a on true
    cross join lateral (
        select
            case when k.same then k.started_at
                when a.started_at <= to_timestamp($1) then a.started_at end as started,
            k.was not in ('pending', 'queued', 'assigned', 'running') and a.ended_at <= to_timestamp($1) as over,
            case when k.same then k.completed_at
                when k.was in ('completed', 'failed', 'timeout', 'cancelled') and a.ended_at <= to_timestamp($1)
                then a.ended_at end as ended
    ) x;

-- name: every_task
-- The tasks of all jobs, as `lists.every_task` has those of now: what nobody had touched of an array by then is one row.
-- What only the rows of a page are asked for stands in subqueries, which cost nothing where they are not read.
select
    k.id as row_id, k.count, k.left_then as remaining, k.index, k.group_name as name, k.was as state, j.number as job,
    j.user_id as owner_id, (select o.username from corral.users o where o.id = j.user_id) as "user",
    j.number * 2097152 + k.index * 2 + (k.count > 1)::integer as place,
    coalesce((select n.name from corral.nodes n where n.id = k.then_node), '') as node,
    case when k.same then k.fence else coalesce((k.attempt).fence, 0) end as attempt,
    case when k.same then k.retries else (
        select count(*) from corral.task_events e
        where e.task_id = k.id and e.new_state = 'retrying' and e.at <= to_timestamp($1))::integer end as retries,
    j.priority, k.cpu_millis as cpu, k.mem_mib as memory, k.gpus * 1000 + k.gpu_milli as gpus,
    k.storage_mib as storage, k.net_mbps as net, k.created_at as submitted, x.started, x.ended,
    extract(epoch from coalesce(x.ended, to_timestamp($1)) - x.started)::double precision as runtime,
    case when k.same then k.exit_code when x.over then (k.attempt).exit_code end as exit,
    case when k.same then k.signal when x.over then (k.attempt).signal end as signal,
    case when k.same then coalesce(k.error_message, '') when x.over then coalesce((k.attempt).message, '') else '' end
        as message
from corral.jobs j
    cross join lateral (
        with own as materialized (
            select
                t.id, t.range_id, t.count, t.remaining, t.index, t.group_name, t.state, t.fence, t.retries, t.cpu_millis,
                t.mem_mib, t.gpus, t.gpu_milli, t.storage_mib, t.net_mbps, t.created_at, t.started_at, t.completed_at,
                t.exit_code, t.signal, t.error_message, t.updated_at <= to_timestamp($1) as same,
                case when t.updated_at <= to_timestamp($1) then t.state else e.new_state end as then_state,
                case when t.updated_at <= to_timestamp($1) then t.node_id else e.node_id end as then_node
            from corral.tasks t
                left join lateral (
                    select e.new_state, e.node_id from corral.task_events e
                    where t.updated_at > to_timestamp($1) and e.task_id = t.id
                        and e.at between j.created_at - interval '10 seconds' and to_timestamp($1)
                    order by e.version desc, e.step desc limit 1
                ) e on true
            where t.job_id = j.id
        )
        select
            o.*,
            coalesce(
                o.then_state,
                (select e.old_state from corral.task_events e where e.task_id = o.id order by e.version, e.step limit 1),
                o.state) as was,
            case when o.count = 1 then 1 when o.same then o.remaining else o.count - (
                select count(*)::integer from own y where y.range_id = o.id and y.then_state is not null)
            end as left_then,
            (select a from corral.attempts a
             where not o.same and o.count = 1 and a.task_id = o.id and a.assigned_at <= to_timestamp($1)
             order by a.fence desc limit 1) as attempt
        from own o
        where o.range_id is null or o.then_state is not null
    ) k
    cross join lateral (
        select
            case when k.same then k.started_at
                when (k.attempt).started_at <= to_timestamp($1) then (k.attempt).started_at end as started,
            k.was not in ('pending', 'queued', 'assigned', 'running')
                and (k.attempt).ended_at <= to_timestamp($1) as over,
            case when k.same then k.completed_at
                when k.was in ('completed', 'failed', 'timeout', 'cancelled')
                    and (k.attempt).ended_at <= to_timestamp($1) then (k.attempt).ended_at end as ended
    ) x
where j.created_at <= to_timestamp($1) and k.left_then > 0;

-- name: nodes
-- Every node that there was, its health and what it was told to be: by the newest event about that; of a node of which
-- none is kept, as it is now, or as nodes begin if it changed since.
with health as (
    select distinct on (e.node_id) e.node_id,
        case e.event_type when 'node_degraded' then 'degraded' when 'node_unreachable' then 'unreachable'
            else 'healthy' end as state
    from corral.system_events e
    where e.event_type in ('node_joined', 'node_back', 'node_degraded', 'node_unreachable')
        and e.at <= to_timestamp($1) and e.node_id is not null
    order by e.node_id, e.at desc
), admin as (
    select distinct on (e.node_id) e.node_id,
        case e.event_type when 'node_cordoned' then 'inactive' when 'node_quarantined' then 'failed'
            when 'node_undrained' then 'active' else substr(e.event_type, 6) end as state
    from corral.system_events e
    where e.event_type in ('node_cordoned', 'node_quarantined', 'node_undrained', 'node_draining', 'node_maintenance',
                           'node_inactive', 'node_failed')
        and e.at <= to_timestamp($1) and e.node_id is not null
    order by e.node_id, e.at desc
), later as (
    select distinct e.node_id from corral.system_events e where e.at > to_timestamp($1) and e.node_id is not null
)
select
    n.name, coalesce(h.state, case when l.node_id is null then n.health else 'healthy' end) as health,
    coalesce(a.state, case when l.node_id is null then n.admin else 'active' end) as admin,
    case when n.admin_at <= to_timestamp($1) then n.admin_reason else '' end as reason
from corral.nodes n
    left join health h on h.node_id = n.id
    left join admin a on a.node_id = n.id
    left join later l on l.node_id = n.id
where n.created_at <= to_timestamp($1);

-- name: held
-- What each node held: attempts that had been assigned and were not over. Prefilled ones hold nothing before they start.
-- That one started in the place of another, which then waited for it, is not kept: for so long both are counted.
select
    a.node_name as name,
    count(*) filter (where h.holds) as running, count(*) filter (where not h.holds) as waiting,
    coalesce(sum(a.cpu_millis) filter (where h.holds), 0)::bigint as cpu,
    coalesce(sum(a.mem_mib) filter (where h.holds), 0)::bigint as memory,
    coalesce(sum(a.gpus * 1000 + a.gpu_milli) filter (where h.holds), 0)::bigint as gpus,
    coalesce(sum(a.storage_mib) filter (where h.holds), 0)::bigint as storage,
    coalesce(sum(a.net_mbps) filter (where h.holds), 0)::bigint as net
from corral.attempts a
    cross join lateral (
        select coalesce(a.started_at <= to_timestamp($1), false) or not a.waiting and coalesce(
            nullif(a.explanation ->> 'rank', ''),
            (select o.explanation ->> 'rank'  -- those decided together keep it once
             from corral.tasks t
                join corral.tasks u on u.job_id = t.job_id and u.count = 1
                    and u.index = (a.explanation -> 'like' ->> 0)::integer
                join corral.attempts o on o.task_id = u.id and o.fence = (a.explanation -> 'like' ->> 1)::integer
             where t.id = a.task_id limit 1),
            '') <> 'prefill' as holds
    ) h
where a.assigned_at <= to_timestamp($1) and (a.ended_at is null or a.ended_at > to_timestamp($1))
group by a.node_name;

-- name: usage
-- The newest sample of each node's use, no older than $2 seconds then.
select distinct on (u.node_id)
    (select n.name from corral.nodes n where n.id = u.node_id) as name,
    extract(epoch from u.at)::double precision as at, u.cpu_millis, u.mem_mib, u.gpus, u.gpu_mem_mib, u.storage_mib,
    u.net_rx_mbps, u.net_tx_mbps, u.disk_read_mbps, u.disk_write_mbps, u.temperature_c, u.gpu_temperature_c, u.load
from corral.node_usage u
where u.at > to_timestamp($1) - $2 * interval '1 second' and u.at <= to_timestamp($1)
order by u.node_id, u.at desc;

-- name: snapshots
-- The newest $2 snapshots of what was learned by then, without their tables.
select
    number, extract(epoch from created_at)::double precision as at, reason, mode, policy_version, sequence, digest,
    epsilon, reward_avg, evidence
from corral.ai_state
where learner is not null and created_at <= to_timestamp($1)
order by number desc
limit $2;

-- name: happened
-- How many events of each kind there were from $1 to $2 of what $3 may see, and when the first was. null sees all.
select kind, sum(times)::bigint as times, min(first) as first
from (
    select 'task_' || e.new_state as kind, count(*) as times, min(e.at) as first
    from corral.task_events e
    where e.at > to_timestamp($1) and e.at <= to_timestamp($2)
        and ($3::uuid is null or exists (
            select from corral.tasks t join corral.jobs j on j.id = t.job_id
            where t.id = e.task_id and j.user_id = $3))
    group by e.new_state
    union all
    select e.event_type, count(*), min(e.at)
    from corral.system_events e
    where e.at > to_timestamp($1) and e.at <= to_timestamp($2)
        and ($3::uuid is null or e.node_id is not null and e.job_id is null or exists (
            select from corral.jobs j where j.id = e.job_id and j.user_id = $3))
    group by e.event_type
    union all
    select 'job_submitted', count(*), min(j.created_at)
    from corral.jobs j
    where j.created_at > to_timestamp($1) and j.created_at <= to_timestamp($2) and ($3::uuid is null or j.user_id = $3)
    union all
    select 'job_' || j.state, count(*), min(j.ended_at)
    from corral.jobs j
    where j.ended_at > to_timestamp($1) and j.ended_at <= to_timestamp($2) and ($3::uuid is null or j.user_id = $3)
    group by j.state
) all_kinds
where times > 0
group by kind
order by kind;

-- name: busy_jobs
-- The $5 jobs of which the most tasks changed from $1 to $2, and how many of them changed from $3 to $1.
select j.number, j.name, o.username as "user", b.times, b.first, (
    select count(*) from corral.task_events e join corral.tasks t on t.id = e.task_id
    where t.job_id = j.id and e.at > to_timestamp($3) and e.at <= to_timestamp($1)) as before
from (
    select t.job_id, count(*) as times, min(e.at) as first
    from corral.task_events e join corral.tasks t on t.id = e.task_id
    where e.at > to_timestamp($1) and e.at <= to_timestamp($2)
        and ($4::uuid is null or t.job_id in (select id from corral.jobs where user_id = $4))
    group by t.job_id
    order by times desc
    limit $5
) b join corral.jobs j on j.id = b.job_id join corral.users o on o.id = j.user_id;

-- name: loads
-- What each node used on average from $1 to $2, and from $3 to $1 with the deviation of its samples then.
select
    (select n.name from corral.nodes n where n.id = u.node_id) as name,
    avg(u.cpu_millis) filter (where u.at > to_timestamp($1)) as cpu,
    avg(u.cpu_millis) filter (where u.at <= to_timestamp($1)) as cpu_before,
    stddev_pop(u.cpu_millis) filter (where u.at <= to_timestamp($1)) as cpu_deviation,
    avg(u.mem_mib) filter (where u.at > to_timestamp($1)) as memory,
    avg(u.mem_mib) filter (where u.at <= to_timestamp($1)) as memory_before,
    stddev_pop(u.mem_mib) filter (where u.at <= to_timestamp($1)) as memory_deviation,
    avg(u.gpus) filter (where u.at > to_timestamp($1)) as gpus,
    avg(u.gpus) filter (where u.at <= to_timestamp($1)) as gpus_before,
    stddev_pop(u.gpus) filter (where u.at <= to_timestamp($1)) as gpus_deviation,
    avg(u.net_mbps) filter (where u.at > to_timestamp($1)) as net,
    avg(u.net_mbps) filter (where u.at <= to_timestamp($1)) as net_before,
    stddev_pop(u.net_mbps) filter (where u.at <= to_timestamp($1)) as net_deviation
from corral.node_usage u
where u.at > to_timestamp($3) and u.at <= to_timestamp($2)
group by u.node_id;
