-- What nodes still have that nobody waits for any more: a volume, or a whole pool, given up while its node was away. A node
-- that comes back is told to let go of it, though the volume, its room and its name are others' by then.

create table corral.storage_leftovers (
    id uuid not null,
    node_id uuid not null references corral.nodes on delete cascade,
    pool_id uuid not null,
    kind text not null check (kind in ('volume', 'pool')),
    name text not null,
    path text not null default '',
    created_by text not null default '',
    created_at timestamptz not null default now(),
    primary key (id, node_id)
);
comment on column corral.storage_leftovers.id is 'The volume, or the pool: neither need exist any more';
create index storage_leftovers_node on corral.storage_leftovers (node_id);
grant select on corral.storage_leftovers to corral_operator, corral_admin;
