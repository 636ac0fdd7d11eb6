-- Steering: jobs that are held, nodes that are cordoned or drained, failed tasks that are queued again on
-- request; who asked for it, in the rows themselves and in the audit, written with the change.

alter table corral.jobs add column held_by text not null default '', add column held_at timestamptz;
alter table corral.jobs_archive add column held_by text not null default '', add column held_at timestamptz;
comment on column corral.jobs.held_by is 'Who holds it; empty when it is not held';

alter table corral.nodes
    add column admin_reason text not null default '', add column admin_by text not null default '',
    add column admin_at timestamptz;
comment on column corral.nodes.admin_reason is 'Why it is not active, in the words of admin_by';

-- A node comes out of maintenance or failure empty: there is nothing to drain.
-- coordinator/core/transitions.py has the same table.
create function corral.admin_may_follow(old_admin text, new_admin text) returns boolean
language sql immutable parallel safe
return old_admin || '>' || new_admin in (
    'active>draining', 'active>inactive', 'active>maintenance', 'active>failed',
    'draining>active', 'draining>inactive', 'draining>maintenance', 'draining>failed',
    'inactive>active', 'inactive>draining', 'inactive>maintenance', 'inactive>failed',
    'maintenance>active', 'maintenance>inactive', 'maintenance>failed',
    'failed>active', 'failed>inactive', 'failed>maintenance');

create function corral.check_admin_transition() returns trigger
language plpgsql
as $$
begin
    if corral.admin_may_follow(old.admin, new.admin) is not true then
        raise exception 'Invalid admin transition: % -> %', old.admin, new.admin using errcode = 'check_violation';
    end if;
    return new;
end $$;

create trigger nodes_admin_transition before update on corral.nodes
    for each row when (old.admin is distinct from new.admin) execute function corral.check_admin_transition();

-- Whoever asks for a retry may have a timeout retried, too.

alter table corral.tasks add column asked_by text;
comment on column corral.tasks.asked_by is 'Only on the way in: who asked for the failed task to be queued again; kept in task_events';
alter table corral.task_events add column asked_by text;

create or replace function corral.check_transition() returns trigger
language plpgsql
as $$
declare
    passed text[] := new.path;
    step integer;
begin
    if passed is null then
        passed := case
            when tg_op = 'INSERT' then array[new.state]
            when old.state = new.state then array[new.state]
            else array[old.state, new.state]
        end;
    elsif passed[cardinality(passed)] is distinct from new.state then
        raise exception 'Path ends in %, state is %', passed[cardinality(passed)], new.state
            using errcode = 'check_violation';
    end if;
    if tg_op = 'UPDATE' then
        if passed[1] is distinct from old.state then
            raise exception 'Invalid status transition: % -> %', old.state, passed[1]
                using errcode = 'check_violation';
        end if;
    elsif passed[1] not in ('pending', 'queued') then
        raise exception 'Invalid status transition: % -> %', 'new', passed[1] using errcode = 'check_violation';
    end if;
    for step in 2 .. cardinality(passed) loop
        if corral.may_follow(passed[step - 1], passed[step]) is not true then
            raise exception 'Invalid status transition: % -> %', passed[step - 1], passed[step]
                using errcode = 'check_violation';
        end if;
        -- apart from the condition above: an expression with a query in it is planned and run as one
        if passed[step - 1] = 'timeout' and new.asked_by is null then
            perform from corral.jobs where id = new.job_id and spec -> 'retry_on' ? 'timeout';
            if not found then
                raise exception 'Invalid status transition: % -> %', passed[step - 1], passed[step]
                    using errcode = 'check_violation';
            end if;
        end if;
    end loop;
    new.path := null;
    new.asked_by := null;
    return new;
end $$;

-- What a batch may say besides: see 0013.

alter type corral.job_change add attribute held_by text, add attribute held double precision;
alter type corral.task_change add attribute asked_by text;
alter type corral.node_state
    add attribute reason text, add attribute changed_by text, add attribute changed double precision;

create type corral.audit_row as (at double precision, actor text, action text, object text, details jsonb);

create or replace function corral.change_nodes(changes corral.node_state[]) returns void
language plpgsql
as $$
declare
    written bigint;
begin
    with changed as (
        update corral.nodes n
        set health = u.health, admin = u.admin, admin_reason = u.reason, admin_by = u.changed_by,
            admin_at = to_timestamp(u.changed),
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
            held_at = to_timestamp(u.held),
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

-- `asked_by` belongs to the step into `retrying`, of which a batch has at most one that was asked for.
create or replace function corral.change_tasks(changes corral.task_change[]) returns void
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
            asked_by = u.asked_by, updated_at = greatest(to_timestamp(u.changed), t.created_at)
        from change u
        where t.id = u.id and t.version = u.version - u.steps
        returning t.id, t.version, u.path, u.changed, u.node_id, u.fence, u.asked_by
    ), events as (
        insert into corral.task_events (task_id, version, step, at, old_state, new_state, node_id, fence, asked_by)
        select
            id, version, step, to_timestamp(changed), path[step], path[step + 1], node_id, fence,
            case when path[step + 1] = 'retrying' then asked_by end
        from changed, generate_series(1, cardinality(path) - 1) as step
    )
    select count(*) into written from changed;
    perform corral.expect(written, cardinality(changes), 'changed tasks (a version differs)');
end $$;

create function corral.insert_audits(audits corral.audit_row[]) returns void
language sql
begin atomic
    insert into corral.audit (at, actor, action, object, details)
    select to_timestamp(at), actor, action, object, details from unnest(audits);
end;

drop function corral.write_batch(
    bigint, bigint, corral.node_state[], corral.job_row[], corral.task_row[], corral.task_change[],
    corral.attempt_change[], corral.attempt_row[], corral.node_ledger[], corral.job_change[]);
drop function corral.write_rows(
    corral.node_state[], corral.job_row[], corral.task_row[], corral.task_change[], corral.attempt_change[],
    corral.attempt_row[], corral.node_ledger[], corral.job_change[]);

create function corral.write_rows(
    node_states corral.node_state[], new_jobs corral.job_row[], new_tasks corral.task_row[],
    task_changes corral.task_change[], attempt_changes corral.attempt_change[], new_attempts corral.attempt_row[],
    ledgers corral.node_ledger[], job_changes corral.job_change[], audits corral.audit_row[])
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
    if cardinality(audits) > 0 then
        perform corral.insert_audits(audits);
    end if;
end $$;

create function corral.write_batch(
    leader_epoch bigint, batch_number bigint, node_states corral.node_state[], new_jobs corral.job_row[],
    new_tasks corral.task_row[], task_changes corral.task_change[], attempt_changes corral.attempt_change[],
    new_attempts corral.attempt_row[], ledgers corral.node_ledger[], job_changes corral.job_change[],
    audits corral.audit_row[])
returns void
language plpgsql
as $$
begin
    if corral.claim_batch(leader_epoch, batch_number) then
        perform corral.write_rows(
            node_states, new_jobs, new_tasks, task_changes, attempt_changes, new_attempts, ledgers, job_changes,
            audits);
    end if;
end $$;
