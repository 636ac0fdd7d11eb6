-- Backups of volumes. What people ask for writes its row of the audit in the same statement.

-- name: backups
-- All of them, the oldest first.
select b.id::text, b.volume_id::text as volume, b.volume_name, b.owner, b.name, b.snapshot_id::text as snapshot,
    b.source_pool_id::text as source_pool, b.encrypted, b.pool_id::text as pool, coalesce(n.name, '') as node,
    coalesce(b.sealed_sha256, '') as sha256, b.size_bytes as size, b.used_bytes as used, b.ready, b.dropping, b.automatic,
    b.copies,
    extract(epoch from b.taken_at)::double precision as taken_at, b.created_by,
    extract(epoch from b.created_at)::double precision as created_at
from corral.storage_backups b left join corral.nodes n on n.id = b.node_id order by b.created_at, b.id;

-- name: add_backup
-- A backup of a snapshot ($1), to lie in a pool ($2) on $5 nodes. By $3; $4: by the clock. Twice is once.
-- The first copy; the coordinator adds the others.
with asked as (
    update corral.storage_snapshots set backup_asked = true
    where id = $1::text::uuid and not dropping returning id, volume_id, name),
made as (
    insert into corral.storage_backups (volume_id, volume_name, owner, name, snapshot_id, source_pool_id, encrypted,
        pool_id, created_by, automatic, copies)
    select v.id, v.name, v.owner, a.name, a.id, v.pool_id, p.encryption_enabled, $2::text::uuid, $3, $4, $5::smallint
    from asked a join corral.storage_volumes v on v.id = a.volume_id join corral.storage_pools p on p.id = v.pool_id
    on conflict do nothing
    returning id, volume_name, name, automatic),
noted as (
    insert into corral.audit (actor, action, object, details)
    select $3, 'volume.backup', volume_name, jsonb_build_object('backup', name) from made where not automatic)
select id::text from made;

-- name: copy_backup!
-- One copy more of what $1 is a copy of, which has no place yet.
insert into corral.storage_backups (volume_id, volume_name, owner, name, snapshot_id, source_pool_id, encrypted, pool_id,
    created_by, created_at, automatic, taken_at, copies, copy)
select b.volume_id, b.volume_name, b.owner, b.name, b.snapshot_id, b.source_pool_id, b.encrypted, b.pool_id,
    b.created_by, b.created_at, b.automatic, b.taken_at, b.copies,
    (select min(number) from generate_series(1, 100) number
     where not exists (select from corral.storage_backups o where (o.volume_id, o.name, o.copy) = (b.volume_id, b.name, number)
         and not o.dropping))
from corral.storage_backups b where b.id = $1::text::uuid and not b.dropping
on conflict do nothing;

-- name: place_backup!
-- It ($1) is to lie on a node ($2): a sealed file ($3, $4 bytes, $5 of content), which takes room of its pool ($6 MiB).
with placed as (
    update corral.storage_backups b
    set node_id = n.id, sealed_sha256 = $3, size_bytes = $4, used_bytes = $5,
        taken_at = coalesce(b.taken_at, (select s.taken_at from corral.storage_snapshots s where s.id = b.snapshot_id))
    from corral.nodes n where b.id = $1::text::uuid and n.name = $2 and b.node_id is null
    returning b.pool_id)
update corral.storage_pools p set used_mib = p.used_mib + $6::bigint from placed where p.id = placed.pool_id;

-- name: backed_up!
-- Its node has it.
update corral.storage_backups set ready = true where id = $1::text::uuid and node_id is not null;

-- name: drop_backup!
-- It ($1) is to go, with all of its copies. By $2.
with gone as (
    update corral.storage_backups b set dropping = true from corral.storage_backups known
    where known.id = $1::text::uuid and b.volume_id = known.volume_id and b.name = known.name and not b.dropping
    returning b.volume_name, b.name)
insert into corral.audit (actor, action, object, details)
select distinct $2, 'volume.unbackup', volume_name, jsonb_build_object('backup', name) from gone;

-- name: outlive_backups!
-- Those that the clock asked for, and that newer ones replace.
update corral.storage_backups set dropping = true where id = any ($1::text[]::uuid[]) and automatic;

-- name: drop_copies!
-- Copies that others replace, of which one stays in any case.
update corral.storage_backups b set dropping = true
where b.id = any ($1::text[]::uuid[]) and not b.dropping and exists (
    select from corral.storage_backups o where o.volume_id = b.volume_id and o.name = b.name and o.ready
        and not o.dropping and o.id <> all ($1::text[]::uuid[]));

-- name: displace_backup!
-- It ($1) is on its node no more, or was never, and $2 MiB of its pool are free again. What is there is left over ($3).
with known as (
    select b.id, b.node_id, b.pool_id, b.volume_name, b.name from corral.storage_backups b
    where b.id = $1::text::uuid and b.node_id is not null for update),
left_over as (
    insert into corral.storage_leftovers (id, node_id, pool_id, kind, name)
    select id, node_id, pool_id, 'backup', volume_name || '@' || name from known where $3
    on conflict do nothing),
moved as (
    update corral.storage_backups b set node_id = null, sealed_sha256 = null, ready = false from known
    where b.id = known.id)
update corral.storage_pools p set used_mib = p.used_mib - $2::bigint from known where p.id = known.pool_id;

-- name: forget_backup!
-- One that lies nowhere.
delete from corral.storage_backups where id = $1::text::uuid and node_id is null;

-- name: rehome
-- A volume ($1) whose node ($2) is lost begins anew on another ($3), in a pool ($4), with the content of a backup ($5), while
-- epoch $6 leads. What the lost node has is left over, the volume's snapshots with it. By $7.
with leads as (
    select epoch from corral.leadership where epoch = $6
), before as (
    select v.id, v.pool_id, v.node_id, v.size_mib from corral.storage_volumes v, leads
    where v.id = $1::text::uuid for update of v
), moved as (
    update corral.storage_volumes v
    set node_id = new.id, pool_id = $4::text::uuid, ready = false, sealed_sha256 = null, sealed_bytes = 0, sealed_fill = 0,
        fill_number = v.fill_number + 1, fill_volume = b.volume_id, fill_snapshot = b.id, unsealed = '{}'
    from before, corral.nodes old, corral.nodes new, corral.storage_backups b
    where v.id = before.id and old.name = $2 and before.node_id = old.id and new.name = $3
        and b.id = $5::text::uuid and b.ready and not b.dropping
    returning v.id, v.name, before.node_id as old_id, before.pool_id as old_pool, v.pool_id as new_pool, v.size_mib
), left_over as (
    insert into corral.storage_leftovers (id, node_id, pool_id, kind, name, created_by)
    select id, old_id, old_pool, 'volume', name, $7 from moved on conflict do nothing
), room as (
    update corral.storage_pools p
    set used_mib = p.used_mib + case when p.id = moved.new_pool then moved.size_mib else -moved.size_mib end
    from moved where moved.old_pool <> moved.new_pool and p.id in (moved.old_pool, moved.new_pool)
), gone as (
    delete from corral.storage_snapshots s using moved where s.volume_id = moved.id
)
insert into corral.audit (actor, action, object, details)
select $7, 'volume.rehome', name, jsonb_build_object('from', $2::text, 'to', $3::text, 'backup', $5::text) from moved
returning object;
