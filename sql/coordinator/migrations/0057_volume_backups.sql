-- Backups: sealed files of snapshots on another node than their volume's. They outlive the volume, its node and its snapshots.

alter table corral.storage_volumes
    add column backup_pool_id uuid references corral.storage_pools,
    add constraint storage_volumes_backup check (not backup_enabled or backup_pool_id is not null);
alter table corral.storage_snapshots add column backup_asked boolean not null default false;
comment on column corral.storage_snapshots.backup_asked is 'A backup of it was asked for, and is not asked for again by the clock';

create table corral.storage_backups (
    id uuid primary key default corral.uuid7(),
    volume_id uuid not null,
    volume_name text not null,
    owner text not null,
    name text not null,
    snapshot_id uuid not null,
    source_pool_id uuid not null,
    encrypted boolean not null,
    pool_id uuid not null references corral.storage_pools,
    node_id uuid references corral.nodes,
    sealed_sha256 text check (sealed_sha256 ~ '^[0-9a-f]{64}\Z'),
    size_bytes bigint not null default 0 check (size_bytes >= 0),
    used_bytes bigint not null default 0 check (used_bytes >= 0),
    ready boolean not null default false,
    dropping boolean not null default false,
    automatic boolean not null default false,
    taken_at timestamptz,
    created_by text not null default '',
    created_at timestamptz not null default now(),
    check (not ready or (node_id is not null and sealed_sha256 is not null))
);
comment on column corral.storage_backups.volume_id is 'Which need not exist any more';
comment on column corral.storage_backups.source_pool_id is 'With whose key it is sealed, where it is encrypted';
comment on column corral.storage_backups.taken_at is 'When the snapshot was taken: the moment that it goes back to';
create unique index storage_backups_current on corral.storage_backups (volume_id, name) where not dropping;
create index storage_backups_node on corral.storage_backups (node_id);
create index storage_backups_pool on corral.storage_backups (pool_id);
create index storage_volumes_backup_pool on corral.storage_volumes (backup_pool_id);
grant select on corral.storage_backups to corral_operator, corral_admin;

alter table corral.storage_leftovers
    drop constraint storage_leftovers_kind_check,
    add constraint storage_leftovers_kind_check check (kind in ('volume', 'pool', 'backup'));
