-- GPUs by model, by memory, and in shares: a task may have a part of one GPU beside other tasks.

alter table corral.tasks
    add column gpu_milli integer not null default 0 check (gpu_milli between 0 and 999),
    add column gpu_mem_mib bigint not null default 0 check (gpu_mem_mib >= 0),
    add constraint tasks_gpus_whole_or_shared check (gpus = 0 or gpu_milli = 0);
comment on column corral.tasks.gpu_milli is 'Thousandths of one GPU that it shares with others';
comment on column corral.tasks.gpu_type is 'Models of which any will do, parted by commas';
comment on column corral.tasks.gpu_mem_mib is 'What each of its GPUs must have';

alter table corral.attempts
    add column gpu_milli integer not null default 0 check (gpu_milli between 0 and 999),
    add constraint attempts_gpus_whole_or_shared check (gpus = 0 or gpu_milli = 0);

-- What of each GPU is taken: the total of a node does not say whether two tasks have the same one.
alter table corral.gpus
    add column shareable boolean not null default false,
    add column taken_milli integer not null default 0,
    add constraint gpus_within_one check (taken_milli between 0 and 1000);
comment on column corral.gpus.taken_milli is 'By live attempts that hold it, in thousandths: all of it, or their shares';
update corral.gpus g
set taken_milli = 1000
where exists (
    select from corral.attempts a
    where a.node_id = g.node_id and a.state in ('assigned', 'running') and a.holding and g.uuid = any (a.gpu_uuids));

-- The ledger counts GPUs in thousandths.
alter table corral.node_resources drop column unit;
alter table corral.node_resources add column unit text not null generated always as (
    case resource
        when 'cpu' then 'millicore' when 'gpu' then 'milligpu' when 'network' then 'mbps' else 'mib'
    end) stored;
update corral.node_resources
set total = total * 1000, reserved = reserved * 1000, allocated = allocated * 1000
where resource = 'gpu';
alter table corral.allocations drop column unit;
alter table corral.allocations add column unit text not null generated always as (
    case resource
        when 'cpu' then 'millicore' when 'gpu' then 'milligpu' when 'network' then 'mbps' else 'mib'
    end) stored;
update corral.allocations set amount = amount * 1000 where resource = 'gpu';

create or replace view corral.node_overview with (security_invoker = true) as
select
    n.id, n.number, n.name, n.hostname, n.ip, n.kind, n.health, n.admin, n.roles, n.labels, n.architecture,
    n.cpu_cores, n.last_heartbeat_at,
    max(r.total) filter (where r.resource = 'cpu') as cpu_millis,
    max(r.total) filter (where r.resource = 'memory') as mem_mib,
    max(r.total) filter (where r.resource = 'gpu') / 1000 as gpus,
    max(r.total) filter (where r.resource = 'storage') as storage_mib,
    max(r.total) filter (where r.resource = 'network') as net_mbps,
    max(r.available) filter (where r.resource = 'cpu') as cpu_millis_available,
    max(r.available) filter (where r.resource = 'memory') as mem_mib_available,
    max(r.available) filter (where r.resource = 'gpu') / 1000 as gpus_available,
    max(r.available) filter (where r.resource = 'gpu') as gpu_millis_available
from corral.nodes n left join corral.node_resources r on r.node_id = n.id
group by n.id;

-- What live attempts hold of each GPU of these nodes, counted anew: a GPU that was away and is back is right at once.
create function corral.count_gpus(nodes uuid[]) returns void
language plpgsql
as $$
begin
    with held as (
        select a.node_id, x.uuid, sum(case when a.gpu_milli > 0 then a.gpu_milli else 1000 end) as milli
        from corral.attempts a cross join lateral unnest(a.gpu_uuids) as x (uuid)
        where a.node_id = any (nodes) and a.state in ('assigned', 'running') and a.holding
        group by a.node_id, x.uuid
    )
    update corral.gpus g
    set taken_milli = coalesce(h.milli, 0)
    from corral.gpus o left join held h on h.node_id = o.node_id and h.uuid = o.uuid
    where o.node_id = any (nodes) and g.node_id = o.node_id and g.uuid = o.uuid
        and g.taken_milli <> coalesce(h.milli, 0);
end $$;

-- What a batch may say besides: see 0013 and 0019.

alter type corral.task_row
    add attribute gpu_milli integer, add attribute gpu_type text, add attribute gpu_mem_mib bigint;
alter type corral.attempt_row add attribute gpu_milli integer;

create or replace function corral.insert_tasks(tasks corral.task_row[]) returns void
language plpgsql
as $$
declare
    written bigint;
begin
    with new as (
        select
            u.*, n.id as node_id, to_timestamp(u.created) as created_at,
            case when u.started is not null then to_timestamp(greatest(u.started, u.created)) end as started_at,
            case when u.completed is not null
                then to_timestamp(greatest(u.completed, u.started, u.created)) end as completed_at
        from unnest(tasks) u left join corral.nodes n on n.name = u.node
    ), inserted as (
        insert into corral.tasks (
            id, job_id, index, count, remaining, range_id, group_name, type, input, parameters, priority, cpu_millis,
            mem_mib, gpus, gpu_milli, gpu_type, gpu_mem_mib, storage_mib, net_mbps, max_retries, version, state, path,
            node_id, fence, retries, exit_code, signal, error_message, output, created_at, updated_at, started_at,
            completed_at)
        select
            id, job_id, index, count, remaining, range_id, group_name, type, input, parameters, priority,
            cpu_millis, mem_mib, gpus, gpu_milli, gpu_type, gpu_mem_mib, storage_mib, net_mbps, max_retries, version,
            path[cardinality(path)], path, node_id, fence, retries, exit_code, signal, nullif(message, ''), output,
            created_at, greatest(to_timestamp(changed), created_at), started_at, completed_at
        from new
        returning 1
    ), events as (
        insert into corral.task_events (task_id, version, step, at, old_state, new_state, node_id, fence)
        select id, version, step, to_timestamp(changed), path[step], path[step + 1], node_id, fence
        from new, generate_series(1, cardinality(path) - 1) as step
    )
    select count(*) into written from inserted;
    perform corral.expect(written, cardinality(tasks), 'new tasks');
end $$;

create or replace function corral.insert_attempts(attempts corral.attempt_row[]) returns void
language plpgsql
as $$
declare
    sharing uuid[] := array(select distinct u.node_id from unnest(attempts) u where cardinality(u.gpu_uuids) > 0);
begin
    insert into corral.attempts (
        task_id, rank, fence, node_id, node_name, state, waiting, cpu_millis, mem_mib, gpus, gpu_milli, storage_mib,
        net_mbps, holding, gpu_uuids, assigned_at, started_at, ended_at, exit_code, signal, message, explanation,
        cancelling, yielding, updated_at)
    select
        task_id, rank, fence, node_id, node_name, state, waiting, cpu_millis, mem_mib, gpus, gpu_milli, storage_mib,
        net_mbps, holding, gpu_uuids, to_timestamp(assigned), to_timestamp(started), to_timestamp(ended),
        exit_code, signal, message, explanation, cancelling, yielding, clock_timestamp()
    from unnest(attempts);
    insert into corral.allocations (task_id, rank, fence, resource, node_id, amount, allocated_at)
    select u.task_id, u.rank, u.fence, r.resource, u.node_id, r.amount, clock_timestamp()
    from unnest(attempts) u
        cross join lateral (values
            ('cpu', u.cpu_millis), ('memory', u.mem_mib), ('gpu', u.gpus * 1000 + u.gpu_milli),
            ('storage', u.storage_mib), ('network', u.net_mbps)
        ) as r (resource, amount)
    where u.holding and r.amount > 0;
    if cardinality(sharing) > 0 then
        perform corral.count_gpus(sharing);
    end if;
end $$;

create or replace function corral.change_attempts(changes corral.attempt_change[]) returns void
language plpgsql
as $$
declare
    written bigint;
    sharing uuid[];
begin
    insert into corral.allocations (task_id, rank, fence, resource, node_id, amount, allocated_at)
    select a.task_id, a.rank, a.fence, r.resource, a.node_id, r.amount, clock_timestamp()
    from unnest(changes) u
        join corral.attempts a on a.task_id = u.task_id and a.rank = u.rank and a.fence = u.fence
        cross join lateral (values
            ('cpu', a.cpu_millis), ('memory', a.mem_mib), ('gpu', a.gpus * 1000 + a.gpu_milli),
            ('storage', a.storage_mib), ('network', a.net_mbps)
        ) as r (resource, amount)
    where u.holding and not a.holding and r.amount > 0
    -- a place given back before the start (the node chose another order) may be taken again
    on conflict (task_id, rank, fence, resource) do update
    set status = 'active', released_at = null, allocated_at = excluded.allocated_at;
    update corral.attempts a
    set state = u.state, waiting = u.waiting, holding = u.holding, gpu_uuids = u.gpu_uuids,
        started_at = to_timestamp(u.started), ended_at = to_timestamp(u.ended), exit_code = u.exit_code,
        signal = u.signal, message = u.message, cancelling = u.cancelling, yielding = u.yielding,
        updated_at = clock_timestamp()
    from unnest(changes) u
    where a.task_id = u.task_id and a.rank = u.rank and a.fence = u.fence;
    get diagnostics written = row_count;
    perform corral.expect(written, cardinality(changes), 'changed attempts');
    -- not asking for status: its index would be walked instead of the key's
    update corral.allocations a
    set status = 'released', released_at = clock_timestamp()
    from unnest(changes) u
    where not u.holding and a.task_id = u.task_id and a.rank = u.rank and a.fence = u.fence
        and a.released_at is null;
    if exists (select from unnest(changes) u where cardinality(u.gpu_uuids) > 0) then
        sharing := array(
            select distinct a.node_id
            from unnest(changes) u
                join corral.attempts a on a.task_id = u.task_id and a.rank = u.rank and a.fence = u.fence
            where cardinality(u.gpu_uuids) > 0);
        perform corral.count_gpus(sharing);
    end if;
end $$;
