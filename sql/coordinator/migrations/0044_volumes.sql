-- Volumes that can be used: where they lie, whose they are, how full. Sealing is what somebody asks for.

alter table corral.storage_pools
    alter column compression_enabled set default false,
    alter column encryption_enabled set default false,
    add column path text not null default '',
    add column node_mib bigint not null default 0 check (node_mib >= 0),
    add column created_by text not null default '';
comment on column corral.storage_pools.path is 'The folder of the pool on each of its nodes';
comment on column corral.storage_pools.node_mib is 'How much of it volumes may be given on each node';

alter table corral.storage_volumes
    add column owner text not null default '',
    add column shared boolean not null default false,
    add column node_id uuid references corral.nodes,
    add column ready boolean not null default false,
    add column used_bytes bigint not null default 0 check (used_bytes >= 0),
    add column sealed_sha256 text check (sealed_sha256 ~ '^[0-9a-f]{64}\Z'),
    add column fill_number integer not null default 0,
    add column fill_volume uuid,
    add column fill_snapshot uuid,
    add column removing boolean not null default false;
comment on column corral.storage_volumes.removing is 'Its node is being told to let it go, after the days of grace';
create unique index storage_volumes_current on corral.storage_volumes (name) where deleted_at is null;
create index storage_volumes_node on corral.storage_volumes (node_id);

create table corral.storage_snapshots (
    id uuid primary key default corral.uuid7(),
    volume_id uuid not null references corral.storage_volumes on delete cascade,
    name text not null,
    ready boolean not null default false,
    size_bytes bigint not null default 0 check (size_bytes >= 0),
    dropping boolean not null default false,
    created_by text not null default '',
    created_at timestamptz not null default now()
);
create unique index storage_snapshots_current on corral.storage_snapshots (volume_id, name) where not dropping;
