-- Attempts, and what each holds of its node.

create table corral.attempts (
    task_id uuid not null references corral.tasks on delete cascade,
    rank integer not null default 0 check (rank >= 0),
    fence integer not null check (fence > 0),
    node_id uuid references corral.nodes on delete set null,
    node_name text not null,
    state text not null default 'assigned' check (state in (
        'assigned', 'running', 'completed', 'failed', 'timeout', 'cancelled', 'lost', 'returned')),
    waiting boolean not null default false,
    cancelling boolean not null default false,
    cpu_millis bigint not null default 0 check (cpu_millis >= 0),
    mem_mib bigint not null default 0 check (mem_mib >= 0),
    gpus integer not null default 0 check (gpus >= 0),
    storage_mib bigint not null default 0 check (storage_mib >= 0),
    net_mbps bigint not null default 0 check (net_mbps >= 0),
    holding boolean not null default false,
    gpu_uuids text[] not null default '{}',
    explanation jsonb,
    metrics jsonb,
    checkpoint_path text,
    exit_code integer,
    signal integer,
    message text not null default '',
    assigned_at timestamptz not null default now(),
    started_at timestamptz,
    ended_at timestamptz,
    updated_at timestamptz not null default now(),
    primary key (task_id, rank, fence),
    check (not holding or state in ('assigned', 'running'))
) with (fillfactor = 80);
comment on column corral.attempts.waiting is 'Prefilled: lies at the node and starts when another attempt there ends';
comment on column corral.attempts.cancelling is 'Its end was asked for and answered; its node may not know yet';
comment on column corral.attempts.holding is 'Whether it holds its request in the node''s ledger';
create unique index attempts_live on corral.attempts (task_id, rank) where state in ('assigned', 'running');
create index attempts_node_state on corral.attempts (node_id, state);
create trigger attempts_touch before update on corral.attempts
    for each row when (old.updated_at = new.updated_at) execute function corral.touch_updated_at();

create table corral.allocations (
    task_id uuid not null,
    rank integer not null,
    fence integer not null,
    resource text not null check (resource in ('cpu', 'memory', 'gpu', 'storage', 'network')),
    node_id uuid references corral.nodes on delete set null,
    amount bigint not null check (amount > 0),
    unit text not null generated always as (
        case resource
            when 'cpu' then 'millicore' when 'gpu' then 'gpu' when 'network' then 'mbps' else 'mib'
        end) stored,
    status text not null default 'active' check (status in ('active', 'released', 'failed')),
    allocated_at timestamptz not null default now(),
    released_at timestamptz,
    primary key (task_id, rank, fence, resource),
    foreign key (task_id, rank, fence) references corral.attempts on delete cascade,
    check ((status = 'active') = (released_at is null))
) with (fillfactor = 80);
create index allocations_node_status on corral.allocations (node_id, status);
create index allocations_active on corral.allocations (status) where status = 'active';
