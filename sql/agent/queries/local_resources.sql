-- name: add_sample
-- A measurement of this node; one an instant.
insert or replace into local_resources
    (timestamp, cpu, memory, disk, network_rx, network_tx, gpu, temperature, load, sample)
values
    (:timestamp, :cpu, :memory, :disk, :network_rx, :network_tx, :gpu, :temperature, :load, :sample);

-- name: unsent_samples
-- What the coordinator has not heard of, later than :after, oldest first.
select timestamp, sample from local_resources
where sent = 0 and timestamp > :after order by timestamp limit :limit;

-- name: mark_sent
-- The coordinator has heard of it.
update local_resources set sent = 1 where timestamp = :timestamp;

-- name: trim_samples
-- Keep the newest :keep.
delete from local_resources where timestamp <= (
    select timestamp from local_resources order by timestamp desc limit 1 offset :keep
);
