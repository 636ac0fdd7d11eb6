-- Gauges of the cluster as a whole: how long its queue is.

create table corral.cluster_metrics (
    at timestamptz not null,
    name varchar(50) not null,
    value double precision not null
);
call corral.make_timeseries('cluster_metrics', 'at', keep => interval '30 days');
create index cluster_metrics_name on corral.cluster_metrics (name, at desc);
select corral.make_partitions(now() - interval '1 day', now() + interval '3 days');

grant select, insert, update, delete on corral.cluster_metrics to corral_coordinator;
grant select on corral.cluster_metrics to corral_readonly, corral_user, corral_operator, corral_admin;
