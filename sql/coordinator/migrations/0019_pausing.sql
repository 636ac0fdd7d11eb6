-- Jobs that are paused, attempts that make room, nodes that are drained by a deadline or towards maintenance.

alter table corral.jobs add column paused_by text not null default '', add column paused_at timestamptz;
alter table corral.jobs_archive add column paused_by text not null default '', add column paused_at timestamptz;
comment on column corral.jobs.paused_by is 'Who paused it; empty when it is not paused';

alter table corral.attempts add column yielding boolean not null default false;
comment on column corral.attempts.yielding is 'Asked to end so that its task is queued again: a requeue, a drain or a preemption';
alter table corral.attempts drop constraint attempts_state_check;
alter table corral.attempts add constraint attempts_state_check check (state in (
    'assigned', 'running', 'completed', 'failed', 'timeout', 'cancelled', 'lost', 'returned', 'preempted'));

alter table corral.nodes
    add column admin_goal text check (admin_goal = 'maintenance'), add column admin_deadline timestamptz;
comment on column corral.nodes.admin_goal is 'What it becomes once it is drained';
comment on column corral.nodes.admin_deadline is 'When what still runs on a draining node is queued again elsewhere';

-- What a batch may say besides: see 0013 and 0015.

alter type corral.job_change add attribute paused_by text, add attribute paused double precision;
alter type corral.attempt_row add attribute yielding boolean;
alter type corral.attempt_change add attribute yielding boolean;
alter type corral.node_state add attribute goal text, add attribute deadline double precision;

create or replace function corral.change_nodes(changes corral.node_state[]) returns void
language plpgsql
as $$
declare
    written bigint;
begin
    with changed as (
        update corral.nodes n
        set health = u.health, admin = u.admin, admin_reason = u.reason, admin_by = u.changed_by,
            admin_at = to_timestamp(u.changed), admin_goal = u.goal, admin_deadline = to_timestamp(u.deadline),
            last_heartbeat_at = greatest(n.last_heartbeat_at, to_timestamp(u.last_heartbeat)),
            updated_at = clock_timestamp()
        from unnest(changes) u
        where n.id = u.id
        returning n.id, n.health, n.last_heartbeat_at
    ), agents as (
        update corral.agents a
        set status = case when c.health = 'unreachable' then 'inactive' else 'active' end,
            last_seen_at = c.last_heartbeat_at
        from changed c where a.node_id = c.id
    )
    select count(*) into written from changed;
    perform corral.expect(written, cardinality(changes), 'changed nodes');
end $$;

create or replace function corral.change_jobs(changes corral.job_change[]) returns void
language plpgsql
as $$
declare
    written bigint;
begin
    with changed as (
        update corral.jobs j
        set pending = u.pending, queued = u.queued, assigned = u.assigned, running = u.running,
            completed = u.completed, failed = u.failed, cancelled = u.cancelled,
            cancel_requested = u.cancel_requested, held = u.held_by <> '', held_by = u.held_by,
            held_at = to_timestamp(u.held), paused = u.paused_by <> '', paused_by = u.paused_by,
            paused_at = to_timestamp(u.paused),
            started_at = case when u.started is not null then greatest(to_timestamp(u.started), j.created_at) end,
            ended_at = case when u.ended is not null
                then greatest(to_timestamp(u.ended), to_timestamp(u.started), j.created_at) end,
            exit_code = u.exit_code, reason = u.reason, updated_at = clock_timestamp()
        from unnest(changes) u
        where j.id = u.id
        returning corral.expect_state(j.number, j.state, u.state)
    )
    select count(*) into written from changed;
    perform corral.expect(written, cardinality(changes), 'changed jobs');
end $$;

create or replace function corral.insert_attempts(attempts corral.attempt_row[]) returns void
language plpgsql
as $$
begin
    insert into corral.attempts (
        task_id, rank, fence, node_id, node_name, state, waiting, cpu_millis, mem_mib, gpus, storage_mib, net_mbps,
        holding, gpu_uuids, assigned_at, started_at, ended_at, exit_code, signal, message, explanation, cancelling,
        yielding, updated_at)
    select
        task_id, rank, fence, node_id, node_name, state, waiting, cpu_millis, mem_mib, gpus, storage_mib, net_mbps,
        holding, gpu_uuids, to_timestamp(assigned), to_timestamp(started), to_timestamp(ended),
        exit_code, signal, message, explanation, cancelling, yielding, clock_timestamp()
    from unnest(attempts);
    insert into corral.allocations (task_id, rank, fence, resource, node_id, amount, allocated_at)
    select u.task_id, u.rank, u.fence, r.resource, u.node_id, r.amount, clock_timestamp()
    from unnest(attempts) u
        cross join lateral (values
            ('cpu', u.cpu_millis), ('memory', u.mem_mib), ('gpu', u.gpus), ('storage', u.storage_mib),
            ('network', u.net_mbps)
        ) as r (resource, amount)
    where u.holding and r.amount > 0;
end $$;

create or replace function corral.change_attempts(changes corral.attempt_change[]) returns void
language plpgsql
as $$
declare
    written bigint;
begin
    insert into corral.allocations (task_id, rank, fence, resource, node_id, amount, allocated_at)
    select a.task_id, a.rank, a.fence, r.resource, a.node_id, r.amount, clock_timestamp()
    from unnest(changes) u
        join corral.attempts a on a.task_id = u.task_id and a.rank = u.rank and a.fence = u.fence
        cross join lateral (values
            ('cpu', a.cpu_millis), ('memory', a.mem_mib), ('gpu', a.gpus), ('storage', a.storage_mib),
            ('network', a.net_mbps)
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
end $$;
