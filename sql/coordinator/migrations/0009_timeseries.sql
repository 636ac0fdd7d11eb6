-- Rows that belong to instants. No foreign keys: removing a node or a job must neither fail because of its
-- history nor erase it; ids are checked where the rows are written.

create table corral.node_usage (
    at timestamptz not null,
    node_id uuid not null,
    cpu_millis double precision not null,
    mem_mib double precision not null,
    gpus double precision not null default 0,
    gpu_mem_mib double precision not null default 0,
    storage_mib double precision not null default 0,
    net_rx_mbps double precision not null default 0,
    net_tx_mbps double precision not null default 0,
    net_mbps double precision not null generated always as (net_rx_mbps + net_tx_mbps) stored,
    disk_read_mbps double precision not null default 0,
    disk_write_mbps double precision not null default 0,
    temperature_c real,
    gpu_temperature_c real,
    load real not null default 0,
    anomaly boolean not null default false
);
call corral.make_timeseries('node_usage', 'at', keep => interval '30 days');
create index node_usage_node on corral.node_usage (node_id, at desc);
create index node_usage_anomaly on corral.node_usage (at desc) where anomaly;

create table corral.task_usage (
    at timestamptz not null,
    node_id uuid not null,
    task_id uuid not null,
    fence integer not null,
    cpu_millis double precision not null,
    mem_mib double precision not null,
    gpus double precision not null default 0,
    gpu_mem_mib double precision not null default 0,
    storage_mib double precision not null default 0,
    net_rx_mbps double precision not null default 0,
    net_tx_mbps double precision not null default 0,
    disk_read_mbps double precision not null default 0,
    disk_write_mbps double precision not null default 0,
    anomaly boolean not null default false
);
comment on table corral.task_usage is 'What one attempt used: the same gauges as node_usage';
call corral.make_timeseries('task_usage', 'at', keep => interval '30 days');
create index task_usage_task on corral.task_usage (task_id, at desc);

create table corral.node_metrics (
    at timestamptz not null,
    node_id uuid not null,
    name varchar(50) not null,
    value double precision not null,
    unit varchar(20),
    labels jsonb not null default '{}'
);
call corral.make_timeseries('node_metrics', 'at', keep => interval '30 days');
create index node_metrics_node on corral.node_metrics (node_id, at desc);
create index node_metrics_name on corral.node_metrics (name);

create table corral.job_metrics (
    at timestamptz not null,
    job_id uuid not null,
    task_id uuid,
    node_id uuid,
    name varchar(50) not null,
    value double precision not null,
    unit varchar(20),
    labels jsonb not null default '{}'
);
call corral.make_timeseries('job_metrics', 'at', keep => interval '30 days');
create index job_metrics_job on corral.job_metrics (job_id, at desc);
create index job_metrics_task on corral.job_metrics (task_id, at desc);
create index job_metrics_node on corral.job_metrics (node_id, at desc);
create index job_metrics_name on corral.job_metrics (name);

-- The key holds the time column, as both engines ask of a unique index.
create table corral.system_events (
    id uuid not null default corral.uuid7(),
    at timestamptz not null default now(),
    event_type varchar(100) not null,
    severity text not null check (severity in ('critical', 'error', 'warning', 'info', 'debug')),
    source text not null,
    node_id uuid,
    job_id uuid,
    user_id uuid,
    message text not null,
    details jsonb not null default '{}',
    resolved_at timestamptz,
    resolved_by uuid,
    resolution text,
    primary key (id, at),
    check ((resolved_at is null) = (resolved_by is null))
);
call corral.make_timeseries('system_events', 'at', keep => null);
create index system_events_type on corral.system_events (event_type);
create index system_events_severity on corral.system_events (severity);
create index system_events_at on corral.system_events (at desc);
create index system_events_job on corral.system_events (job_id, at desc) where job_id is not null;
create index system_events_node on corral.system_events (node_id, at desc) where node_id is not null;

create table corral.system_events_archive (like corral.system_events including all);

create table corral.task_logs (
    at timestamptz not null,
    task_id uuid not null,
    node_id uuid,
    severity text not null default 'info' check (severity in ('info', 'warning', 'error')),
    message text not null
);
call corral.make_timeseries('task_logs', 'at', keep => interval '30 days');
create index task_logs_task on corral.task_logs (task_id, at);
create index task_logs_node on corral.task_logs (node_id, at);

create table corral.node_logs (
    at timestamptz not null,
    node_id uuid not null,
    severity text not null default 'info' check (severity in ('info', 'warning', 'error')),
    message text not null
);
call corral.make_timeseries('node_logs', 'at', keep => interval '30 days');
create index node_logs_node on corral.node_logs (node_id, at);

create table corral.learning_experiences (
    id uuid not null default corral.uuid7(),
    at timestamptz not null default now(),
    task_id uuid,
    policy_version text not null,
    state jsonb not null,
    action jsonb not null,
    reward double precision not null,
    next_state jsonb,
    done boolean not null,
    priority double precision not null default 1 check (priority >= 0),
    primary key (id, at),
    check (done or next_state is not null)
);
call corral.make_timeseries('learning_experiences', 'at', keep => interval '90 days');
create index learning_experiences_task on corral.learning_experiences (task_id);
create index learning_experiences_priority on corral.learning_experiences (priority desc);

select corral.make_partitions(now() - interval '1 day', now() + interval '3 days');
