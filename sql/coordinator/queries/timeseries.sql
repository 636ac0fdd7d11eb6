-- name: edition
-- community, apache or none.
select corral.timeseries_edition();

-- name: upkeep
-- Partitions ahead of time, and what is past its time away.
select corral.upkeep(to_timestamp($1::double precision));

-- name: copy_node_usage#
-- Gauges of whole nodes.
copy corral.node_usage (
    at, node_id, cpu_millis, mem_mib, gpus, gpu_mem_mib, storage_mib, net_rx_mbps, net_tx_mbps, disk_read_mbps,
    disk_write_mbps, temperature_c, gpu_temperature_c, load, anomaly)
from stdin (format binary);

-- name: copy_gpu_usage#
-- Gauges of GPUs.
copy corral.gpu_usage (at, node_id, gpu, utilisation, mem_mib, temperature_c, power_w)
from stdin (format binary);

-- name: copy_task_usage#
-- Gauges of running attempts.
copy corral.task_usage (
    at, node_id, task_id, fence, cpu_millis, mem_mib, gpus, gpu_mem_mib, storage_mib, net_rx_mbps, net_tx_mbps,
    disk_read_mbps, disk_write_mbps, anomaly, rank)
from stdin (format binary);

-- name: user_ids
-- Ids of users by name.
select username, id from corral.users where username = any($1);

-- name: copy_learning_experiences#
-- What was decided of tasks that ran, and what came of it.
copy corral.learning_experiences (
    at, task_id, policy_version, sequence, state, action, reward, next_state, done, priority)
from stdin (format binary);

-- name: copy_cluster_metrics#
-- Gauges of the cluster as a whole.
copy corral.cluster_metrics (at, name, value)
from stdin (format binary);

-- name: copy_node_logs#
-- What agents complained of.
copy corral.node_logs (at, node_id, severity, message)
from stdin (format binary);

-- name: remark
-- What was noticed of an attempt; nothing where there is no such attempt on that node (any more).
select corral.log_task(
    $1::bigint, $2::integer, $3::smallint, $4::integer, $5::text, $6::text[], $7::text[], $8::double precision[]);

-- name: copy_system_events#
-- The cluster's history.
copy corral.system_events (at, event_type, severity, source, node_id, job_id, user_id, message, details)
from stdin (format binary);

-- name: mark_late!
-- Samples as old as this came just now: what is rolled up from there on is made again.
update corral.rollups
set until = least(
    until,
    date_trunc(case when right(table_name::text, 6) = '_hours' then 'hour' else 'minute' end,
               to_timestamp($1::double precision), 'UTC'));
