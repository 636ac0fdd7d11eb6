-- What ran where and when, and what else kept nodes from work, between $1 and $2 (seconds of the Unix epoch).

-- name: attempts
-- Attempts that touch the window, oldest first. $3: on these nodes, null for all; $4: of this job, null for all.
with near as (
    select * from corral.attempts where assigned_at < to_timestamp($2) and ended_at > to_timestamp($1)
    union all
    select * from corral.attempts
    where state in ('assigned', 'running') and ended_at is null and assigned_at < to_timestamp($2)
)
select
    a.node_name, extract(epoch from a.assigned_at)::double precision as assigned_at,
    extract(epoch from a.started_at)::double precision as started_at,
    extract(epoch from a.ended_at)::double precision as ended_at,
    a.cpu_millis, a.mem_mib, a.gpus, a.storage_mib, a.net_mbps, a.gpu_milli, a.fence, a.state, a.waiting,
    a.exit_code, a.message, t.index, j.number, j.name, o.username
from near a
    join corral.tasks t on t.id = a.task_id
    join corral.jobs j on j.id = t.job_id
    join corral.users o on o.id = j.user_id
where ($3::text[] is null or a.node_name = any ($3)) and ($4::bigint is null or j.number = $4)
order by a.assigned_at, a.node_name, j.number, t.index, a.fence
limit $5;

-- name: node_events
-- What nodes were told and how they fared in the window, and the last such word on each before it. $3: of these
-- nodes, null for all; $4, $5: the kinds of events that tell of health, and of what somebody wanted of the node.
select w.name as node, extract(epoch from w.created_at)::double precision as created_at, e.kind, e.message,
    extract(epoch from e.at)::double precision as at
from corral.nodes w
    left join lateral (
        (select s.at, s.event_type as kind, s.message from corral.system_events s
         where s.node_id = w.id and s.at < to_timestamp($1) and s.event_type = any ($4::text[])
         order by s.at desc limit 1)
        union all
        (select s.at, s.event_type, s.message from corral.system_events s
         where s.node_id = w.id and s.at < to_timestamp($1) and s.event_type = any ($5::text[])
         order by s.at desc limit 1)
        union all
        (select s.at, s.event_type, s.message from corral.system_events s
         where s.node_id = w.id and s.at >= to_timestamp($1) and s.at < to_timestamp($2)
             and s.event_type = any ($4::text[] || $5::text[])
         order by s.at desc limit 500)
    ) e on true
where $3::text[] is null or w.name = any ($3)
order by w.name, e.at;

-- name: brakes
-- When replacing what was lost was stopped and allowed again, and the last such word before the window.
(select event_type as kind, message, extract(epoch from at)::double precision as at
 from corral.system_events
 where event_type in ('brake_on', 'brake_off') and at < to_timestamp($1)
 order by corral.system_events.at desc limit 1)
union all
select event_type, message, extract(epoch from at)::double precision
from corral.system_events
where event_type in ('brake_on', 'brake_off') and at >= to_timestamp($1) and at < to_timestamp($2)
order by at;

-- name: reservations
-- For whom room was kept on nodes while others ran ahead, as those that ran ahead remember it.
with near as (
    select * from corral.attempts where assigned_at < to_timestamp($2) and ended_at > to_timestamp($1)
    union all
    select * from corral.attempts
    where state in ('assigned', 'running') and ended_at is null and assigned_at < to_timestamp($2)
)
select
    b ->> 'node' as node, b ->> 'behind' as behind,
    extract(epoch from min(a.assigned_at))::double precision as start_at,
    max((b ->> 'reserved_s')::double precision) as until_at
from near a cross join lateral (select a.explanation -> 'backfill') as x (b)
where b ->> 'node' is not null and ($3::text[] is null or b ->> 'node' = any ($3))
group by 1, 2
order by 1, 3
limit 2000;

-- name: waiting
-- Times in which tasks waited, by state and by what they asked for. A task that left its state later than $3 and
-- was touched since is not seen. Elements of a range were in the range's state before they had a row.
with seen as materialized (
    select
        e.task_id, e.old_state, e.new_state, e.at,
        lag(e.at) over (partition by e.task_id order by e.version, e.step) as entered_at
    from corral.task_events e
    where e.at >= to_timestamp($1) and e.at < to_timestamp($3)
), queued as (
    select task_id, max(at) as at from seen where new_state = 'queued' group by task_id
), waits as (
    select s.old_state as state, t.id, coalesce(s.entered_at, r.at, t.created_at) as from_at, s.at as to_at
    from seen s
        join corral.tasks t on t.id = s.task_id
        left join queued r on r.task_id = t.range_id and s.old_state = 'queued' and r.at <= s.at
    where s.old_state in ('queued', 'pending')
    union all
    select t.state, t.id, case when t.state = 'queued' then coalesce(q.at, t.created_at) else t.created_at end, null
    from corral.tasks t
        join corral.jobs j on j.id = t.job_id
        left join queued q on q.task_id = t.id
    where t.state in ('queued', 'pending') and t.remaining > 0 and not j.held and not j.paused
        and j.state not in ('completed', 'failed', 'cancelled')
), shaped as (
    select
        w.state, t.cpu_millis, t.mem_mib, t.gpus, t.storage_mib, t.net_mbps, t.gpu_milli,
        range_agg(tstzrange(greatest(w.from_at, to_timestamp($1)), least(w.to_at, to_timestamp($2)))) as times
    from waits w join corral.tasks t on t.id = w.id
    where greatest(w.from_at, to_timestamp($1)) < least(w.to_at, to_timestamp($2))
    group by 1, 2, 3, 4, 5, 6, 7
    order by sum(extract(epoch from least(w.to_at, to_timestamp($2)) - greatest(w.from_at, to_timestamp($1)))) desc
    limit $4
)
select
    dense_rank() over (
        order by s.state, s.cpu_millis, s.mem_mib, s.gpus, s.storage_mib, s.net_mbps, s.gpu_milli) as shape,
    s.state, s.cpu_millis, s.mem_mib, s.gpus, s.storage_mib, s.net_mbps, s.gpu_milli,
    extract(epoch from lower(x.span))::double precision as from_at,
    extract(epoch from upper(x.span))::double precision as to_at
from shaped s cross join lateral unnest(s.times) as x (span)
order by 1, 9
limit 20000;
