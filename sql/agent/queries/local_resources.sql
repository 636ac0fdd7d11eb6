-- name: add_sample
-- A measurement of this node; one an instant.
insert or replace into local_resources
    (timestamp, cpu, memory, disk, network_rx, network_tx, gpu, temperature, load, sample, sent)
values
    (:timestamp, :cpu, :memory, :disk, :network_rx, :network_tx, :gpu, :temperature, :load, :sample, :sent);

-- name: unsent_samples
-- What the coordinator has not heard of, oldest first.
select timestamp, sample from local_resources where sent = 0 order by timestamp limit :limit;

-- name: mark_sent
-- The coordinator was told.
update local_resources set sent = 1 where timestamp = :timestamp;

-- name: trim_samples
-- Keep the ring short.
delete from local_resources where timestamp < :before;
