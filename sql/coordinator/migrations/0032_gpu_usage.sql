-- Each GPU by itself: what it did, and the roll-ups of that. `gpu` is its UUID, which no other has.

create table corral.gpu_usage (
    at timestamptz not null,
    node_id uuid not null,
    gpu text not null,
    utilisation real not null,
    mem_mib real not null,
    temperature_c real,
    power_w real
);
comment on table corral.gpu_usage is 'Samples of each GPU; node_usage has their sums';
comment on column corral.gpu_usage.utilisation is 'In percent of one';
call corral.make_timeseries('gpu_usage', 'at', keep => interval '30 days');
create index gpu_usage_node on corral.gpu_usage (node_id, gpu, at desc);

create table corral.gpu_usage_minutes (
    at timestamptz not null,
    node_id uuid not null,
    gpu text not null,
    samples integer not null,
    utilisation real, utilisation_least real, utilisation_most real,
    memory real, memory_least real, memory_most real,
    temperature real, temperature_least real, temperature_most real,
    power real, power_least real, power_most real,
    primary key (node_id, gpu, at)
);
comment on table corral.gpu_usage_minutes is 'gpu_usage by minutes: means, least and most; kept by series.sql';

create table corral.gpu_usage_hours (like corral.gpu_usage_minutes including all);
comment on table corral.gpu_usage_hours is 'gpu_usage by hours, out of gpu_usage_minutes';

call corral.make_timeseries('gpu_usage_minutes', 'at', keep => interval '30 days');
call corral.make_timeseries('gpu_usage_hours', 'at', keep => interval '366 days', step => interval '1 month');
select corral.make_partitions(now() - interval '1 day', now() + interval '3 days');

insert into corral.rollups
select table_name, date_trunc('hour', now(), 'UTC')
from unnest(array['gpu_usage_minutes', 'gpu_usage_hours']) as t(table_name);

grant select, insert, update, delete on corral.gpu_usage, corral.gpu_usage_minutes, corral.gpu_usage_hours
    to corral_coordinator;
grant select on corral.gpu_usage, corral.gpu_usage_minutes, corral.gpu_usage_hours
    to corral_readonly, corral_user, corral_operator, corral_admin;
