-- A batch of the coordinator in one call: corral.write_batch. A statement a table as before, in the order that
-- the foreign keys ask for, but no round trip between them. Each part counts what it wrote: a row that is not as
-- the coordinator believes (another version, an unknown user) undoes the whole call instead of being skipped.
-- Rows come as arrays of the types below. Instants are seconds of the Unix epoch.

-- `state` is the one that the coordinator derives: the database's own must agree.
create type corral.job_row as (
    id uuid, number bigint, owner text, name text, kind text, priority smallint, spec jsonb, metadata jsonb,
    dedupe_key text, digest bytea, total integer, created double precision, state text, pending integer,
    queued integer, assigned integer, running integer, completed integer, failed integer, cancelled integer,
    cancel_requested boolean, started double precision, ended double precision, exit_code integer, reason text);

create type corral.job_change as (
    id uuid, state text, pending integer, queued integer, assigned integer, running integer, completed integer,
    failed integer, cancelled integer, cancel_requested boolean, started double precision, ended double precision,
    exit_code integer, reason text);

-- `node` is a name. `path`: the states passed through, the stored one (of a new row the first) before the others.
create type corral.task_row as (
    id uuid, job_id uuid, index integer, count integer, remaining integer, range_id uuid, group_name text, type text,
    input jsonb, parameters jsonb, priority smallint, cpu_millis bigint, mem_mib bigint, gpus integer,
    storage_mib bigint, net_mbps bigint, max_retries integer, created double precision, version bigint, path text[],
    node text, fence integer, retries integer, started double precision, completed double precision,
    exit_code integer, signal integer, message text, output jsonb, changed double precision);

-- `steps`: by how much `version` exceeds the stored one. `output` null: as it was.
create type corral.task_change as (
    id uuid, version bigint, steps integer, path text[], remaining integer, node text, fence integer, retries integer,
    started double precision, completed double precision, exit_code integer, signal integer, message text,
    output jsonb, changed double precision);

create type corral.attempt_row as (
    task_id uuid, rank integer, fence integer, node_id uuid, node_name text, state text, waiting boolean,
    cpu_millis bigint, mem_mib bigint, gpus integer, storage_mib bigint, net_mbps bigint, holding boolean,
    gpu_uuids text[], assigned double precision, started double precision, ended double precision, exit_code integer,
    signal integer, message text, explanation jsonb, cancelling boolean);

create type corral.attempt_change as (
    task_id uuid, rank integer, fence integer, state text, waiting boolean, holding boolean, gpu_uuids text[],
    started double precision, ended double precision, exit_code integer, signal integer, message text,
    cancelling boolean);

create type corral.node_state as (id uuid, health text, admin text, last_heartbeat double precision);

create type corral.node_ledger as (
    node_id uuid, cpu bigint, memory bigint, gpu bigint, storage bigint, network bigint);

create function corral.expect(written bigint, meant integer, what text) returns void
language plpgsql
as $$
begin
    if written <> meant then
        raise exception '% of % % could be written', written, meant, what using errcode = 'CR002';
    end if;
end $$;

-- First in every write: we lead (and nobody takes over before this transaction ends), and the batch is new.
-- Answers whether it is; CR001 when another epoch leads.
create function corral.claim_batch(leader_epoch bigint, batch_number bigint) returns boolean
language plpgsql
as $$
begin
    update corral.batches b
    set number = batch_number, committed_at = clock_timestamp()
    from (select l.epoch from corral.leadership l where l.epoch = leader_epoch for key share) l
    where b.epoch = l.epoch and b.number < batch_number;
    if found then
        return true;
    end if;
    perform from corral.leadership l where l.epoch = leader_epoch;
    if not found then
        raise exception 'epoch % is over', leader_epoch using errcode = 'CR001';
    end if;
    return false;
end $$;

-- Health, admin state and last heartbeat of nodes that are known.
create function corral.change_nodes(changes corral.node_state[]) returns void
language plpgsql
as $$
declare
    written bigint;
begin
    with changed as (
        update corral.nodes n
        set health = u.health, admin = u.admin,
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

-- What live attempts hold, absolute. The table's check refuses more than there is.
create function corral.write_ledgers(ledgers corral.node_ledger[]) returns void
language plpgsql
as $$
begin
    update corral.node_resources r
    set allocated = case r.resource
            when 'cpu' then u.cpu when 'memory' then u.memory when 'gpu' then u.gpu when 'storage' then u.storage
            else u.network
        end,
        updated_at = clock_timestamp()
    from unnest(ledgers) u
    where r.node_id = u.node_id;
end $$;

create function corral.expect_state(number bigint, derived text, meant text) returns void
language plpgsql
as $$
begin
    if derived <> meant then
        raise exception 'job % is % for the core, % for the database', number, meant, derived using errcode = 'CR002';
    end if;
end $$;

-- New jobs with the counters they have at the end of their first batch, and their dedupe keys.
create function corral.insert_jobs(jobs corral.job_row[]) returns void
language plpgsql
as $$
declare
    written bigint;
begin
    with new as (
        select u.*, o.id as user_id, to_timestamp(u.created) as created_at
        from unnest(jobs) u join corral.users o on o.username = u.owner
    ), inserted as (
        insert into corral.jobs (
            id, number, user_id, name, kind, priority, spec, metadata, dedupe_key, digest, total, pending, queued,
            assigned, running, completed, failed, cancelled, cancel_requested, exit_code, reason, created_at,
            updated_at, started_at, ended_at)
        select
            id, number, user_id, name, kind, priority, spec, metadata, dedupe_key, digest, total, pending, queued,
            assigned, running, completed, failed, cancelled, cancel_requested, exit_code, reason, created_at,
            created_at,
            case when started is not null then to_timestamp(greatest(started, created)) end,
            case when ended is not null then to_timestamp(greatest(ended, started, created)) end
        from new
        returning 1
    ), keys as (
        insert into corral.dedupe_keys (user_id, key, job_id, digest, created_at)
        select user_id, dedupe_key, id, digest, created_at from new where dedupe_key is not null
    )
    select count(*) into written from inserted;
    perform corral.expect(written, cardinality(jobs), 'new jobs (is every owner a user?)');
    perform corral.expect_state(j.number, j.state, u.state) from unnest(jobs) u join corral.jobs j on j.id = u.id;
end $$;

-- Absolute counters.
create function corral.change_jobs(changes corral.job_change[]) returns void
language plpgsql
as $$
declare
    written bigint;
begin
    with changed as (
        update corral.jobs j
        set pending = u.pending, queued = u.queued, assigned = u.assigned, running = u.running,
            completed = u.completed, failed = u.failed, cancelled = u.cancelled,
            cancel_requested = u.cancel_requested,
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

-- New rows for tasks, ranges and the elements that leave a range; with the steps they took in this batch.
-- Here and below, instants are put in order: a clock that was set back must not make a row unwritable.
create function corral.insert_tasks(tasks corral.task_row[]) returns void
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
            mem_mib, gpus, storage_mib, net_mbps, max_retries, version, state, path, node_id, fence, retries,
            exit_code, signal, error_message, output, created_at, updated_at, started_at, completed_at)
        select
            id, job_id, index, count, remaining, range_id, group_name, type, input, parameters, priority,
            cpu_millis, mem_mib, gpus, storage_mib, net_mbps, max_retries, version, path[cardinality(path)], path,
            node_id, fence, retries, exit_code, signal, nullif(message, ''), output,
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

-- Compare and swap on the version alone: a state in the condition would tempt the planner to the state index.
create function corral.change_tasks(changes corral.task_change[]) returns void
language plpgsql
as $$
declare
    written bigint;
begin
    with change as (
        select u.*, n.id as node_id from unnest(changes) u left join corral.nodes n on n.name = u.node
    ), changed as (
        update corral.tasks t
        set version = u.version, state = u.path[cardinality(u.path)], path = u.path, remaining = u.remaining,
            node_id = u.node_id, fence = u.fence, retries = u.retries, exit_code = u.exit_code, signal = u.signal,
            error_message = nullif(u.message, ''), output = coalesce(u.output, t.output),
            started_at = case when u.started is not null then greatest(to_timestamp(u.started), t.created_at) end,
            completed_at = case when u.completed is not null
                then greatest(to_timestamp(u.completed), to_timestamp(u.started), t.created_at) end,
            updated_at = greatest(to_timestamp(u.changed), t.created_at)
        from change u
        where t.id = u.id and t.version = u.version - u.steps
        returning t.id, t.version, u.path, u.changed, u.node_id, u.fence
    ), events as (
        insert into corral.task_events (task_id, version, step, at, old_state, new_state, node_id, fence)
        select id, version, step, to_timestamp(changed), path[step], path[step + 1], node_id, fence
        from changed, generate_series(1, cardinality(path) - 1) as step
    )
    select count(*) into written from changed;
    perform corral.expect(written, cardinality(changes), 'changed tasks (a version differs)');
end $$;

-- New attempts, as they stand at the end of their first batch, and what they take of their nodes.
create function corral.insert_attempts(attempts corral.attempt_row[]) returns void
language plpgsql
as $$
begin
    insert into corral.attempts (
        task_id, rank, fence, node_id, node_name, state, waiting, cpu_millis, mem_mib, gpus, storage_mib, net_mbps,
        holding, gpu_uuids, assigned_at, started_at, ended_at, exit_code, signal, message, explanation, cancelling,
        updated_at)
    select
        task_id, rank, fence, node_id, node_name, state, waiting, cpu_millis, mem_mib, gpus, storage_mib, net_mbps,
        holding, gpu_uuids, to_timestamp(assigned), to_timestamp(started), to_timestamp(ended),
        exit_code, signal, message, explanation, cancelling, clock_timestamp()
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

-- Attempts that changed; what they hold from now on is taken, and what they hold no longer is given back. The
-- fence is part of the key: a late word about an older attempt meets its own row.
create function corral.change_attempts(changes corral.attempt_change[]) returns void
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
        signal = u.signal, message = u.message, cancelling = u.cancelling, updated_at = clock_timestamp()
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

-- The rows of a batch, or of a piece of one, whose claim this transaction has.
create function corral.write_rows(
    node_states corral.node_state[], new_jobs corral.job_row[], new_tasks corral.task_row[],
    task_changes corral.task_change[], attempt_changes corral.attempt_change[], new_attempts corral.attempt_row[],
    ledgers corral.node_ledger[], job_changes corral.job_change[])
returns void
language plpgsql
as $$
begin
    if cardinality(node_states) > 0 then
        perform corral.change_nodes(node_states);
    end if;
    if cardinality(new_jobs) > 0 then
        perform corral.insert_jobs(new_jobs);
    end if;
    if cardinality(new_tasks) > 0 then
        perform corral.insert_tasks(new_tasks);
    end if;
    if cardinality(task_changes) > 0 then
        perform corral.change_tasks(task_changes);
    end if;
    -- the old attempt of a task ends before its next one begins: only one may be live
    if cardinality(attempt_changes) > 0 then
        perform corral.change_attempts(attempt_changes);
    end if;
    if cardinality(new_attempts) > 0 then
        perform corral.insert_attempts(new_attempts);
    end if;
    if cardinality(ledgers) > 0 then
        perform corral.write_ledgers(ledgers);
    end if;
    if cardinality(job_changes) > 0 then
        perform corral.change_jobs(job_changes);
    end if;
end $$;

-- A whole batch; nothing where it is written already.
create function corral.write_batch(
    leader_epoch bigint, batch_number bigint, node_states corral.node_state[], new_jobs corral.job_row[],
    new_tasks corral.task_row[], task_changes corral.task_change[], attempt_changes corral.attempt_change[],
    new_attempts corral.attempt_row[], ledgers corral.node_ledger[], job_changes corral.job_change[])
returns void
language plpgsql
as $$
begin
    if corral.claim_batch(leader_epoch, batch_number) then
        perform corral.write_rows(
            node_states, new_jobs, new_tasks, task_changes, attempt_changes, new_attempts, ledgers, job_changes);
    end if;
end $$;
