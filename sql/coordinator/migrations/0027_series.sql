-- Means, least and most of the gauges, minute by minute and hour by hour: a month of a hundred nodes is 52 million
-- samples, and 72,000 hours.

create table corral.node_usage_minutes (
    at timestamptz not null,
    node_id uuid not null,
    samples integer not null,
    anomaly boolean not null,
    cpu real, cpu_least real, cpu_most real,
    memory real, memory_least real, memory_most real,
    gpu real, gpu_least real, gpu_most real,
    gpu_memory real, gpu_memory_least real, gpu_memory_most real,
    storage real, storage_least real, storage_most real,
    network real, network_least real, network_most real,
    net_rx real, net_rx_least real, net_rx_most real,
    net_tx real, net_tx_least real, net_tx_most real,
    disk real, disk_least real, disk_most real,
    disk_read real, disk_read_least real, disk_read_most real,
    disk_write real, disk_write_least real, disk_write_most real,
    temperature real, temperature_least real, temperature_most real,
    gpu_temperature real, gpu_temperature_least real, gpu_temperature_most real,
    load real, load_least real, load_most real,
    primary key (node_id, at)
);
comment on table corral.node_usage_minutes is 'node_usage by minutes: means, least and most; kept by series.sql';

create table corral.node_usage_hours (like corral.node_usage_minutes including all);
comment on table corral.node_usage_hours is 'node_usage by hours, out of node_usage_minutes';

create table corral.cluster_metrics_minutes (
    at timestamptz not null,
    name varchar(50) not null,
    samples integer not null,
    value double precision not null,
    value_least double precision not null,
    value_most double precision not null,
    primary key (name, at)
);
comment on table corral.cluster_metrics_minutes is 'cluster_metrics by minutes: means, least and most';

create table corral.cluster_metrics_hours (like corral.cluster_metrics_minutes including all);
comment on table corral.cluster_metrics_hours is 'cluster_metrics by hours';

call corral.make_timeseries('node_usage_minutes', 'at', keep => interval '30 days');
call corral.make_timeseries('node_usage_hours', 'at', keep => interval '366 days', step => interval '1 month');
call corral.make_timeseries('cluster_metrics_minutes', 'at', keep => interval '30 days');
call corral.make_timeseries('cluster_metrics_hours', 'at', keep => interval '366 days', step => interval '1 month');
select corral.make_partitions(now() - interval '1 day', now() + interval '3 days');

-- Up to where each of them is complete. A sample that comes late takes it back.
create table corral.rollups (
    table_name name primary key,
    until timestamptz not null
);
insert into corral.rollups
select table_name, date_trunc('hour', now() - interval '30 days', 'UTC')
from unnest(array['node_usage_minutes', 'node_usage_hours', 'cluster_metrics_minutes', 'cluster_metrics_hours'])
    as t(table_name);

grant select, insert, update, delete on
    corral.node_usage_minutes, corral.node_usage_hours, corral.cluster_metrics_minutes, corral.cluster_metrics_hours
    to corral_coordinator;
grant select, update on corral.rollups to corral_coordinator;
grant select on
    corral.node_usage_minutes, corral.node_usage_hours, corral.cluster_metrics_minutes, corral.cluster_metrics_hours,
    corral.rollups
    to corral_readonly, corral_user, corral_operator, corral_admin;
