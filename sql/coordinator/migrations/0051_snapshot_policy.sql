-- Snapshots by the clock: when the next one of a volume is due, and which snapshots the clock had taken.

alter table corral.storage_volumes
    add column snapshot_next_at timestamptz,
    add constraint storage_volumes_policy check ((snapshot_policy is null) = (snapshot_next_at is null));
comment on column corral.storage_volumes.snapshot_policy is 'WHEN [ZONE] keep N; see bus.snapshot_policy';

alter table corral.storage_snapshots
    add column automatic boolean not null default false,
    add column taken_at timestamptz;
comment on column corral.storage_snapshots.taken_at is 'When its node was seen to have it';
update corral.storage_snapshots set taken_at = created_at where ready;
