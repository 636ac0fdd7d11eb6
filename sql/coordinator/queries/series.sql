-- Gauges over time. What is asked comes out of the samples or out of their roll-ups, whichever is coarse enough:
-- each source has a column for each metric of bus/series.py, and for its least and most where it is a roll-up;
-- coordinator/store/series.py says which, of what and when.

-- name: node_samples
-- Samples of nodes.
select at, node_id as entity, 1 as samples, anomaly,
    cpu_millis as cpu,
    mem_mib as memory,
    gpus as gpu,
    gpu_mem_mib as gpu_memory,
    storage_mib as storage,
    net_mbps as network,
    net_rx_mbps as net_rx,
    net_tx_mbps as net_tx,
    disk_read_mbps + disk_write_mbps as disk,
    disk_read_mbps as disk_read,
    disk_write_mbps as disk_write,
    temperature_c as temperature,
    gpu_temperature_c as gpu_temperature,
    load as load
from corral.node_usage;

-- name: node_minutes
-- Minutes of nodes.
select at, node_id as entity, samples, anomaly,
    cpu, cpu_least, cpu_most,
    memory, memory_least, memory_most,
    gpu, gpu_least, gpu_most,
    gpu_memory, gpu_memory_least, gpu_memory_most,
    storage, storage_least, storage_most,
    network, network_least, network_most,
    net_rx, net_rx_least, net_rx_most,
    net_tx, net_tx_least, net_tx_most,
    disk, disk_least, disk_most,
    disk_read, disk_read_least, disk_read_most,
    disk_write, disk_write_least, disk_write_most,
    temperature, temperature_least, temperature_most,
    gpu_temperature, gpu_temperature_least, gpu_temperature_most,
    load, load_least, load_most
from corral.node_usage_minutes;

-- name: node_hours
-- Hours of nodes.
select at, node_id as entity, samples, anomaly,
    cpu, cpu_least, cpu_most,
    memory, memory_least, memory_most,
    gpu, gpu_least, gpu_most,
    gpu_memory, gpu_memory_least, gpu_memory_most,
    storage, storage_least, storage_most,
    network, network_least, network_most,
    net_rx, net_rx_least, net_rx_most,
    net_tx, net_tx_least, net_tx_most,
    disk, disk_least, disk_most,
    disk_read, disk_read_least, disk_read_most,
    disk_write, disk_write_least, disk_write_most,
    temperature, temperature_least, temperature_most,
    gpu_temperature, gpu_temperature_least, gpu_temperature_most,
    load, load_least, load_most
from corral.node_usage_hours;

-- name: task_samples
-- Samples of tasks: of all their attempts, each of which was measured on its own node. A rank of a gang is asked for by
-- its number; what is asked for as a whole is all of its ranks.
select at, named.entity, task_id, 1 as samples, anomaly,
    cpu_millis as cpu,
    mem_mib as memory,
    gpus as gpu,
    gpu_mem_mib as gpu_memory,
    storage_mib as storage,
    net_rx_mbps + net_tx_mbps as network,
    net_rx_mbps as net_rx,
    net_tx_mbps as net_tx,
    disk_read_mbps + disk_write_mbps as disk,
    disk_read_mbps as disk_read,
    disk_write_mbps as disk_write
from corral.task_usage cross join lateral (values (task_id::text), (task_id || ':' || rank)) as named (entity);

-- name: newest_of_ranks
-- The newest sample of each rank of a try ($2) of a gang, from $3 on.
select distinct on (rank)
    rank, extract(epoch from at)::double precision as at, cpu_millis, mem_mib, gpus, gpu_mem_mib
from corral.task_usage
where task_id = $1 and fence = $2 and at >= to_timestamp($3::double precision)
order by rank, at desc;

-- name: gpu_samples
-- Samples of GPUs.
select at, gpu as entity, node_id, 1 as samples, false as anomaly,
    utilisation as gpu,
    mem_mib as gpu_memory,
    temperature_c as gpu_temperature,
    power_w as gpu_power
from corral.gpu_usage;

-- name: gpu_minutes
-- Minutes of GPUs.
select at, gpu as entity, node_id, samples, false as anomaly,
    utilisation as gpu, utilisation_least as gpu_least, utilisation_most as gpu_most,
    memory as gpu_memory, memory_least as gpu_memory_least, memory_most as gpu_memory_most,
    temperature as gpu_temperature, temperature_least as gpu_temperature_least,
    temperature_most as gpu_temperature_most,
    power as gpu_power, power_least as gpu_power_least, power_most as gpu_power_most
from corral.gpu_usage_minutes;

-- name: gpu_hours
-- Hours of GPUs.
select at, gpu as entity, node_id, samples, false as anomaly,
    utilisation as gpu, utilisation_least as gpu_least, utilisation_most as gpu_most,
    memory as gpu_memory, memory_least as gpu_memory_least, memory_most as gpu_memory_most,
    temperature as gpu_temperature, temperature_least as gpu_temperature_least,
    temperature_most as gpu_temperature_most,
    power as gpu_power, power_least as gpu_power_least, power_most as gpu_power_most
from corral.gpu_usage_hours;

-- name: cluster_samples
-- Gauges of the cluster; the entity is the metric.
select at, name as entity, 1 as samples, false as anomaly, value
from corral.cluster_metrics;

-- name: cluster_minutes
-- Minutes of them.
select at, name as entity, samples, false as anomaly, value, value_least, value_most
from corral.cluster_metrics_minutes;

-- name: cluster_hours
-- Hours of them.
select at, name as entity, samples, false as anomaly, value, value_least, value_most
from corral.cluster_metrics_hours;

-- name: rolled
-- Up to where each roll-up is complete.
select table_name, extract(epoch from until)::double precision as until_s from corral.rollups;

-- name: set_rolled
-- A roll-up that was complete up to $2 is so up to $3.
update corral.rollups set until = to_timestamp($3::double precision)
where table_name = $1 and until = to_timestamp($2::double precision)
returning table_name;

-- name: task_ids
-- The rows of tasks, of those that have one of their own.
select j.number, t.index, t.id
from unnest($1::bigint[], $2::integer[]) as wanted (number, index)
    join corral.jobs j on j.number = wanted.number
    join corral.tasks t on t.job_id = j.id and t.index = wanted.index and t.count = 1;

-- name: states
-- The jobs that were submitted since, and their tasks, by state. $2: of this user only; null: everybody's.
select
    j.state, count(*) as jobs, sum(j.pending) as pending, sum(j.queued) as queued, sum(j.assigned) as assigned,
    sum(j.running) as running, sum(j.completed) as completed, sum(j.failed) as failed, sum(j.cancelled) as cancelled
from corral.jobs j
where j.created_at >= to_timestamp($1::double precision)
    and ($2::text is null or j.user_id = (select id from corral.users where username = $2))
group by j.state;

-- name: unroll_node_minutes!
-- What is made again goes first.
delete from corral.node_usage_minutes m using corral.nodes n
where m.node_id = n.id and m.at >= to_timestamp($1::double precision) and m.at < to_timestamp($2::double precision);

-- name: unroll_node_hours!
-- The same, of hours.
delete from corral.node_usage_hours h using corral.nodes n
where h.node_id = n.id and h.at >= to_timestamp($1::double precision) and h.at < to_timestamp($2::double precision);

-- name: unroll_gpu_minutes!
-- The same, of GPUs.
delete from corral.gpu_usage_minutes m using corral.nodes n
where m.node_id = n.id and m.at >= to_timestamp($1::double precision) and m.at < to_timestamp($2::double precision);

-- name: unroll_gpu_hours!
-- The same, of their hours.
delete from corral.gpu_usage_hours h using corral.nodes n
where h.node_id = n.id and h.at >= to_timestamp($1::double precision) and h.at < to_timestamp($2::double precision);

-- name: unroll_cluster_minutes!
-- The same, of the cluster.
delete from corral.cluster_metrics_minutes
where at >= to_timestamp($1::double precision) and at < to_timestamp($2::double precision);

-- name: unroll_cluster_hours!
-- The same, of its hours.
delete from corral.cluster_metrics_hours
where at >= to_timestamp($1::double precision) and at < to_timestamp($2::double precision);

-- name: roll_node_minutes
-- The minutes from $1 until $2, node by node: each finds its samples by its own index. In the table's order.
insert into corral.node_usage_minutes
select m.*
from corral.nodes n cross join lateral (
    select date_trunc('minute', at, 'UTC') as at, n.id, count(*) as samples, bool_or(anomaly) as anomaly,
        avg(cpu_millis), min(cpu_millis), max(cpu_millis),
        avg(mem_mib), min(mem_mib), max(mem_mib),
        avg(gpus), min(gpus), max(gpus),
        avg(gpu_mem_mib), min(gpu_mem_mib), max(gpu_mem_mib),
        avg(storage_mib), min(storage_mib), max(storage_mib),
        avg(net_mbps), min(net_mbps), max(net_mbps),
        avg(net_rx_mbps), min(net_rx_mbps), max(net_rx_mbps),
        avg(net_tx_mbps), min(net_tx_mbps), max(net_tx_mbps),
        avg(disk_read_mbps + disk_write_mbps), min(disk_read_mbps + disk_write_mbps),
            max(disk_read_mbps + disk_write_mbps),
        avg(disk_read_mbps), min(disk_read_mbps), max(disk_read_mbps),
        avg(disk_write_mbps), min(disk_write_mbps), max(disk_write_mbps),
        avg(temperature_c), min(temperature_c), max(temperature_c),
        avg(gpu_temperature_c), min(gpu_temperature_c), max(gpu_temperature_c),
        avg(load), min(load), max(load)
    from corral.node_usage
    where node_id = n.id
        and at >= to_timestamp($1::double precision) and at < to_timestamp($2::double precision)
    group by 1
) m;

-- name: roll_node_hours
-- The hours from $1 until $2, out of their minutes. In the table's order.
insert into corral.node_usage_hours
select h.*
from corral.nodes n cross join lateral (
    select date_trunc('hour', m.at, 'UTC') as at, n.id, sum(samples) as samples, bool_or(anomaly) as anomaly,
        sum(cpu * samples) / sum(samples) filter (where cpu is not null),
            min(cpu_least), max(cpu_most),
        sum(memory * samples) / sum(samples) filter (where memory is not null),
            min(memory_least), max(memory_most),
        sum(gpu * samples) / sum(samples) filter (where gpu is not null),
            min(gpu_least), max(gpu_most),
        sum(gpu_memory * samples) / sum(samples) filter (where gpu_memory is not null),
            min(gpu_memory_least), max(gpu_memory_most),
        sum(storage * samples) / sum(samples) filter (where storage is not null),
            min(storage_least), max(storage_most),
        sum(network * samples) / sum(samples) filter (where network is not null),
            min(network_least), max(network_most),
        sum(net_rx * samples) / sum(samples) filter (where net_rx is not null),
            min(net_rx_least), max(net_rx_most),
        sum(net_tx * samples) / sum(samples) filter (where net_tx is not null),
            min(net_tx_least), max(net_tx_most),
        sum(disk * samples) / sum(samples) filter (where disk is not null),
            min(disk_least), max(disk_most),
        sum(disk_read * samples) / sum(samples) filter (where disk_read is not null),
            min(disk_read_least), max(disk_read_most),
        sum(disk_write * samples) / sum(samples) filter (where disk_write is not null),
            min(disk_write_least), max(disk_write_most),
        sum(temperature * samples) / sum(samples) filter (where temperature is not null),
            min(temperature_least), max(temperature_most),
        sum(gpu_temperature * samples) / sum(samples) filter (where gpu_temperature is not null),
            min(gpu_temperature_least), max(gpu_temperature_most),
        sum(load * samples) / sum(samples) filter (where load is not null),
            min(load_least), max(load_most)
    from corral.node_usage_minutes m
    where node_id = n.id
        and m.at >= to_timestamp($1::double precision) and m.at < to_timestamp($2::double precision)
    group by 1
) h;

-- name: roll_gpu_minutes
-- The minutes from $1 until $2 of the GPUs that each node has or had. In the table's order.
insert into corral.gpu_usage_minutes
select m.*
from corral.gpus g cross join lateral (
    select date_trunc('minute', at, 'UTC') as at, g.node_id, g.uuid, count(*) as samples,
        avg(utilisation), min(utilisation), max(utilisation),
        avg(mem_mib), min(mem_mib), max(mem_mib),
        avg(temperature_c), min(temperature_c), max(temperature_c),
        avg(power_w), min(power_w), max(power_w)
    from corral.gpu_usage
    where node_id = g.node_id and gpu = g.uuid
        and at >= to_timestamp($1::double precision) and at < to_timestamp($2::double precision)
    group by 1
) m;

-- name: roll_gpu_hours
-- The hours from $1 until $2, out of their minutes. In the table's order.
insert into corral.gpu_usage_hours
select h.*
from corral.gpus g cross join lateral (
    select date_trunc('hour', m.at, 'UTC') as at, g.node_id, g.uuid, sum(samples) as samples,
        sum(utilisation * samples) / sum(samples) filter (where utilisation is not null), min(utilisation_least), max(utilisation_most),
        sum(memory * samples) / sum(samples) filter (where memory is not null), min(memory_least), max(memory_most),
        sum(temperature * samples) / sum(samples) filter (where temperature is not null), min(temperature_least), max(temperature_most),
        sum(power * samples) / sum(samples) filter (where power is not null), min(power_least), max(power_most)
    from corral.gpu_usage_minutes m
    where node_id = g.node_id and gpu = g.uuid
        and m.at >= to_timestamp($1::double precision) and m.at < to_timestamp($2::double precision)
    group by 1
) h;

-- name: roll_cluster_minutes
-- The minutes from $1 until $2 of the gauges $3.
insert into corral.cluster_metrics_minutes (at, name, samples, value, value_least, value_most)
select m.at, wanted.name, m.samples, m.value, m.value_least, m.value_most
from unnest($3::text[]) as wanted (name) cross join lateral (
    select date_trunc('minute', c.at, 'UTC') as at, count(*) as samples,
        avg(c.value) as value, min(c.value) as value_least, max(c.value) as value_most
    from corral.cluster_metrics c
    where c.name = wanted.name
        and c.at >= to_timestamp($1::double precision) and c.at < to_timestamp($2::double precision)
    group by 1
) m;

-- name: roll_cluster_hours
-- The hours from $1 until $2 of the gauges $3, out of their minutes.
insert into corral.cluster_metrics_hours (at, name, samples, value, value_least, value_most)
select h.at, wanted.name, h.samples, h.value, h.value_least, h.value_most
from unnest($3::text[]) as wanted (name) cross join lateral (
    select date_trunc('hour', c.at, 'UTC') as at, sum(c.samples) as samples,
        sum(c.value * c.samples) / sum(c.samples) as value,
        min(c.value_least) as value_least, max(c.value_most) as value_most
    from corral.cluster_metrics_minutes c
    where c.name = wanted.name
        and c.at >= to_timestamp($1::double precision) and c.at < to_timestamp($2::double precision)
    group by 1
) h;

-- name: node_lines
-- The newest $5 lines of an agent's log.
select extract(epoch from at)::double precision as at_s, severity, message
from corral.node_logs
where node_id = $1 and at >= to_timestamp($2::double precision) and at < to_timestamp($3::double precision)
    and severity = any ($4::text[])
order by at desc, message limit $5;
