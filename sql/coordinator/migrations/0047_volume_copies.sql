-- Copies of volumes in replicated pools: the newest sealed file of each volume, and the nodes beside its own that have it.

alter table corral.storage_volumes
    add column generation integer not null default 0 check (generation >= 0),
    add column sealed_bytes bigint not null default 0 check (sealed_bytes >= 0),
    add column sealed_fill integer not null default 0,
    add column sealed_at timestamptz,
    add column unsealed text[] not null default '{}';
comment on column corral.storage_volumes.sealed_at is 'When its node was asked that said what is sealed';
comment on column corral.storage_volumes.unsealed is 'Attempts that may have written what was not sealed then';

alter table corral.storage_snapshots
    add column sealed_sha256 text check (sealed_sha256 ~ '^[0-9a-f]{64}\Z');

create table corral.storage_replicas (
    volume_id uuid not null references corral.storage_volumes on delete cascade,
    node_id uuid not null references corral.nodes,
    state text not null check (state in ('active', 'out_of_sync', 'failed')),
    sealed_sha256 text check (sealed_sha256 ~ '^[0-9a-f]{64}\Z'),
    generation integer not null default 0 check (generation >= 0),
    removing boolean not null default false,
    fault text not null default '',
    updated_at timestamptz not null default now(),
    primary key (volume_id, node_id)
);
comment on column corral.storage_replicas.removing is 'Its node is being told to let it go';
create index storage_replicas_node on corral.storage_replicas (node_id);
create trigger storage_replicas_touch before update on corral.storage_replicas
    for each row when (old.updated_at = new.updated_at) execute function corral.touch_updated_at();

-- A copy on the volume's own node is none.
create function corral.refuse_own_copy() returns trigger language plpgsql as $$
begin
    if exists (select from corral.storage_volumes v where v.id = new.volume_id and v.node_id = new.node_id) then
        raise check_violation using message = 'a copy lies on another node than its volume';
    end if;
    return new;
end $$;
create constraint trigger storage_replicas_apart after insert or update on corral.storage_replicas
    deferrable initially deferred for each row execute function corral.refuse_own_copy();
