-- What tasks leave behind, where it lies, and what the scheduler learns.

create table corral.artifacts (
    id uuid primary key default corral.uuid7(),
    file_name varchar(255) not null check (file_name <> '' and file_name !~ '[\x00-\x1f/]'),
    mime_type varchar(100) not null check (mime_type ~ '^[a-z0-9.+-]+/[A-Za-z0-9.+-]+\Z'),
    storage_pointer text not null check (storage_pointer ~ '^(corral|s3|file)://'),
    size_bytes bigint not null check (size_bytes >= 0),
    sha256 text check (sha256 ~ '^[0-9a-f]{64}\Z'),
    task_id uuid references corral.tasks on delete set null,
    fence integer,
    created_by_tool_id uuid references corral.tools on delete set null,
    created_at timestamptz not null default now()
);
create index artifacts_file_name on corral.artifacts (file_name);
create index artifacts_mime_type on corral.artifacts (mime_type);
create index artifacts_created on corral.artifacts (created_at);
create index artifacts_task on corral.artifacts (task_id);
create index artifacts_tool on corral.artifacts (created_by_tool_id);
create index artifacts_sha256 on corral.artifacts (sha256);

create table corral.model_versions (
    id uuid primary key default corral.uuid7(),
    name varchar(255) not null,
    version varchar(50) not null,
    url text not null,
    config jsonb not null default '{}',
    sha256 text check (sha256 ~ '^[0-9a-f]{64}\Z'),
    artifact_id uuid references corral.artifacts on delete set null,
    created_at timestamptz not null default now(),
    unique (name, version)
);
create index model_versions_artifact on corral.model_versions (artifact_id);

create table corral.checkpoints (
    id uuid primary key default corral.uuid7(),
    task_id uuid not null references corral.tasks on delete cascade,
    node_id uuid references corral.nodes on delete set null,
    rank integer not null default 0 check (rank >= 0),
    fence integer not null default 0,
    step bigint not null default 0 check (step >= 0),
    path text not null,
    kind text not null default 'regular' check (kind in ('regular', 'distributed', 'emergency', 'final')),
    complete boolean not null default false,
    size_bytes bigint not null default 0 check (size_bytes >= 0),
    sha256 text check (sha256 ~ '^[0-9a-f]{64}\Z'),
    metrics jsonb,
    created_at timestamptz not null default now()
);
create index checkpoints_task_kind on corral.checkpoints (task_id, kind);
create index checkpoints_node on corral.checkpoints (node_id);

create table corral.replicas (
    id uuid primary key default corral.uuid7(),
    task_id uuid not null references corral.tasks on delete cascade,
    checkpoint_id uuid references corral.checkpoints on delete cascade,
    blob_sha256 text check (blob_sha256 ~ '^[0-9a-f]{64}\Z'),
    primary_node_id uuid not null references corral.nodes on delete cascade,
    replica_node_id uuid not null references corral.nodes on delete cascade,
    state text not null default 'active' check (state in ('active', 'out_of_sync', 'failed')),
    verified_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    check (primary_node_id <> replica_node_id)
);
create index replicas_task on corral.replicas (task_id);
create index replicas_checkpoint on corral.replicas (checkpoint_id);
create index replicas_primary on corral.replicas (primary_node_id);
create index replicas_replica on corral.replicas (replica_node_id);
create trigger replicas_touch before update on corral.replicas
    for each row when (old.updated_at = new.updated_at) execute function corral.touch_updated_at();

create table corral.storage_pools (
    id uuid primary key default corral.uuid7(),
    name text not null unique,
    pool_type text not null check (pool_type in ('local', 'distributed', 'replicated', 'erasure_coded')),
    total_mib bigint not null check (total_mib >= 0),
    used_mib bigint not null default 0 check (used_mib >= 0),
    available_mib bigint generated always as (total_mib - used_mib) stored,
    replication_factor integer not null default 1,
    compression_enabled boolean not null default true,
    encryption_enabled boolean not null default true,
    performance_tier text not null default 'standard' check (
        performance_tier in ('nvme', 'ssd', 'standard', 'cold')),
    node_ids uuid[] not null,
    policies jsonb not null default '{}',
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    check (used_mib <= total_mib),
    check (replication_factor between 1 and greatest(cardinality(node_ids), 1))
);
create index storage_pools_type on corral.storage_pools (pool_type);
create index storage_pools_tier on corral.storage_pools (performance_tier);
create trigger storage_pools_touch before update on corral.storage_pools
    for each row when (old.updated_at = new.updated_at) execute function corral.touch_updated_at();

create table corral.storage_volumes (
    id uuid primary key default corral.uuid7(),
    pool_id uuid not null references corral.storage_pools,
    job_id uuid references corral.jobs on delete set null,
    name text not null,
    size_mib bigint not null check (size_mib > 0),
    mount_path varchar(500) check (mount_path ~ '^/' and mount_path !~ '(^|/)\.\.(/|$)'),
    access_mode text not null default 'ReadWriteOnce' check (
        access_mode in ('ReadWriteOnce', 'ReadOnlyMany', 'ReadWriteMany')),
    storage_class text,
    snapshot_policy text,
    backup_enabled boolean not null default false,
    created_at timestamptz not null default now(),
    deleted_at timestamptz
);
create index storage_volumes_pool on corral.storage_volumes (pool_id);
create index storage_volumes_job on corral.storage_volumes (job_id);
create index storage_volumes_name on corral.storage_volumes (name);

create table corral.ai_state (
    id uuid primary key default corral.uuid7(),
    created_at timestamptz not null default now(),
    policy_version text not null default '',
    feature_schema text not null default '',
    q_table jsonb,
    model_weights bytea,
    weights_format text check (weights_format in ('safetensors', 'npz')),
    epsilon double precision not null check (epsilon between 0 and 1),
    reward_avg double precision,
    reward_window integer check (reward_window > 0),
    check (model_weights is null or weights_format is not null)
);
create index ai_state_created on corral.ai_state (created_at desc);
create trigger ai_state_append_only before update on corral.ai_state
    for each row execute function corral.refuse_change();
