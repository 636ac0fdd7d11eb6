-- Tasks: one row a task, or one row for a whole range of an array until its elements are touched.

-- The 20 moves that a task may make. coordinator/core/transitions.py has the same table.
create function corral.may_follow(old_state text, new_state text) returns boolean
language sql immutable parallel safe
return old_state || '>' || new_state in (
    'pending>queued', 'pending>cancelled',
    'queued>assigned', 'queued>cancelled',
    'assigned>running', 'assigned>failed', 'assigned>reassigned', 'assigned>cancelled',
    'running>completed', 'running>failed', 'running>timeout', 'running>reassigned', 'running>cancelled',
    'failed>retrying', 'failed>cancelled',
    'timeout>retrying',
    'retrying>queued', 'retrying>cancelled',
    'reassigned>queued', 'reassigned>cancelled');

create table corral.tasks (
    id uuid primary key default corral.uuid7(),
    job_id uuid not null references corral.jobs on delete cascade,
    index integer not null default 0 check (index >= 0),
    count integer not null default 1 check (count > 0),
    remaining integer not null default 1,
    range_id uuid references corral.tasks on delete cascade,
    parent_task_id uuid references corral.tasks on delete cascade on update cascade
        check (parent_task_id <> id),
    group_name text not null default '',
    type varchar(50) not null default 'shell' check (type ~ '^[a-z0-9_]{3,50}\Z')
        references corral.task_types on delete restrict on update cascade,
    input jsonb not null,
    output jsonb,
    parameters jsonb not null default '{}' check (jsonb_typeof(parameters) = 'object'),
    metadata jsonb not null default '{}' check (jsonb_typeof(metadata) = 'object'),
    progress real check (progress between 0 and 100),
    priority smallint not null default 5,
    cpu_millis bigint not null default 1000 check (cpu_millis >= 0),
    mem_mib bigint not null default 64 check (mem_mib >= 0),
    gpus integer not null default 0 check (gpus >= 0),
    storage_mib bigint not null default 0 check (storage_mib >= 0),
    net_mbps bigint not null default 0 check (net_mbps >= 0),
    cpu_limit_millis bigint check (cpu_limit_millis >= cpu_millis),
    mem_limit_mib bigint check (mem_limit_mib >= mem_mib),
    gpu_type text,
    state text not null default 'pending',
    path text[],
    version bigint not null default 1,
    node_id uuid references corral.nodes on delete set null,
    agent_id text references corral.agents on delete set null on update cascade,
    fence integer not null default 0 check (fence >= 0),
    retries integer not null default 0,
    max_retries integer not null default 3,
    exit_code integer,
    signal integer,
    error_message text,
    error_details jsonb,
    checkpoint_path text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    started_at timestamptz,
    completed_at timestamptz,
    execution_time numeric(12, 2) generated always as (extract(epoch from completed_at - started_at)) stored,
    wait_time numeric(12, 2) generated always as (extract(epoch from started_at - created_at)) stored,
    latency_ms bigint generated always as ((extract(epoch from completed_at - created_at) * 1000)::bigint) stored,
    constraint tasks_state_known check (state in (
        'pending', 'queued', 'assigned', 'running', 'completed', 'failed', 'timeout', 'cancelled', 'retrying',
        'reassigned')),
    constraint tasks_priority_range check (priority between 1 and 10),
    constraint tasks_input_not_empty check (jsonb_typeof(input) = 'object' and input <> '{}'),
    constraint tasks_input_size check (pg_column_size(input) <= 1048576),
    constraint tasks_remaining_range check (remaining between 0 and count),
    constraint tasks_max_retries_range check (max_retries between 0 and 10),
    constraint tasks_retries_range check (retries between 0 and max_retries),
    -- a task may end without a start: cancelled while it waited, or failed because it could not be prepared
    constraint tasks_times_ordered check (
        started_at >= created_at
        and completed_at >= coalesce(started_at, created_at)
        and (completed_at is null or started_at is not null or state in ('cancelled', 'failed')))
) with (fillfactor = 80);
comment on column corral.tasks.path is 'Only on the way in: the states passed through since the stored one; the trigger checks each step and clears it';
comment on column corral.tasks.remaining is 'Elements of a range that have no row of their own yet; 1 for a single task';
comment on column corral.tasks.version is 'Grows by one with every change: what batched updates compare and swap';

-- a range's row begins at the index of its first element, which may get a row of its own
create unique index tasks_place on corral.tasks (job_id, index, (count > 1));
create index tasks_range on corral.tasks (range_id) where range_id is not null;
create index tasks_parent on corral.tasks (parent_task_id) where parent_task_id is not null;
create index tasks_node on corral.tasks (node_id) where node_id is not null;
create index tasks_agent on corral.tasks (agent_id) where agent_id is not null;
create index tasks_type on corral.tasks (type);
create index tasks_state_created on corral.tasks (state, created_at desc);
create index tasks_created on corral.tasks using brin (created_at);
create index tasks_queue on corral.tasks (priority desc, created_at)
    where state in ('pending', 'queued', 'assigned', 'running', 'retrying', 'reassigned');
create index tasks_failed on corral.tasks (created_at desc)
    where state in ('failed', 'timeout') and retries >= max_retries;
create index tasks_input on corral.tasks using gin (input jsonb_path_ops);
create index tasks_input_model on corral.tasks (type, (input ->> 'model')) where input ->> 'model' is not null;
create index tasks_input_language on corral.tasks ((input ->> 'language')) where input ->> 'language' is not null;

-- Every step of the path must be allowed. Without a path the pair (stored, new) is the whole path; a new row
-- starts as pending or queued.
create function corral.check_transition() returns trigger
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
        if passed[step - 1] = 'timeout' then
            perform from corral.jobs where id = new.job_id and spec -> 'retry_on' ? 'timeout';
            if not found then
                raise exception 'Invalid status transition: % -> %', passed[step - 1], passed[step]
                    using errcode = 'check_violation';
            end if;
        end if;
    end loop;
    new.path := null;
    return new;
end $$;

create trigger tasks_transition_insert before insert on corral.tasks
    for each row execute function corral.check_transition();
create trigger tasks_transition_update before update on corral.tasks
    for each row when (old.state is distinct from new.state or new.path is not null)
    execute function corral.check_transition();
create trigger tasks_touch before update on corral.tasks
    for each row when (old.updated_at = new.updated_at) execute function corral.touch_updated_at();

create function corral.check_input_schema() returns trigger
language plpgsql
as $$
declare
    missing text;
begin
    select key into missing
    from corral.task_types t, unnest(t.required_input) with ordinality as r(key, position)
    where t.name = new.type and not new.input ? key
    order by position
    limit 1;
    if found then
        raise exception 'Missing required input key "%" for task type "%"', missing, new.type
            using errcode = 'check_violation';
    end if;
    return new;
end $$;

-- Not for plain commands, which need no keys and are most of the rows, nor for the elements of a range,
-- whose common input stands in the range's row.
create trigger tasks_input_schema before insert or update of input, type on corral.tasks
    for each row when (new.type <> 'shell' and new.range_id is null)
    execute function corral.check_input_schema();

create table corral.task_dependencies (
    task_id uuid not null references corral.tasks on delete cascade,
    depends_on uuid not null references corral.tasks on delete cascade,
    kind text not null default 'ok' check (kind in ('ok', 'any', 'failed', 'same_index')),
    created_at timestamptz not null default now(),
    primary key (task_id, depends_on),
    check (task_id <> depends_on)
);
create index task_dependencies_depends_on on corral.task_dependencies (depends_on);

create function corral.refuse_dependency_cycle() returns trigger
language plpgsql
as $$
begin
    if exists (
        with recursive before(id) as (
            select new.depends_on
            union
            select d.depends_on from corral.task_dependencies d join before b on d.task_id = b.id
        )
        select from before where id = new.task_id)
    then
        raise exception 'Task % would wait for itself', new.task_id using errcode = 'check_violation';
    end if;
    return new;
end $$;

create trigger task_dependencies_no_cycle before insert or update on corral.task_dependencies
    for each row execute function corral.refuse_dependency_cycle();

-- Every change of state, in order: `version` as of the change that made it, `step` within that change.
-- Without a foreign key: it is written only together with its task, and history outlives the task.
create table corral.task_events (
    task_id uuid not null,
    version bigint not null,
    step smallint not null,
    at timestamptz not null,
    old_state text not null,
    new_state text not null,
    node_id uuid,
    fence integer not null,
    primary key (task_id, version, step, at)
);
call corral.make_timeseries('task_events', 'at', keep => interval '12 months', step => interval '1 month',
                            always_native => true);
create index task_events_at on corral.task_events using brin (at);
