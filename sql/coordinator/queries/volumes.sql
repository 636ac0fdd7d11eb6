-- Pools, volumes and snapshots. What changes something writes its row of the audit in the same statement.

-- name: pools
-- All pools.
select p.id::text, p.name, p.pool_type, p.path, p.node_mib, p.performance_tier, p.compression_enabled,
    p.encryption_enabled, p.replication_factor, p.created_by,
    extract(epoch from p.created_at)::double precision as created_at,
    array(select n.name from unnest(p.node_ids) with ordinality as o(id, place) join corral.nodes n on n.id = o.id
          order by o.place) as nodes
from corral.storage_pools p order by p.name;

-- name: add_pool
-- A pool; its nodes by name.
with made as (
    insert into corral.storage_pools (name, pool_type, path, node_mib, total_mib, performance_tier,
        compression_enabled, encryption_enabled, replication_factor, node_ids, created_by)
    select $1, $2, $3, $4::bigint, $4::bigint * cardinality($9::text[]), $5, $6, $7, $8,
        array(select id from corral.nodes where name = any ($9::text[]) order by name), $10
    returning id, name, path),
noted as (
    insert into corral.audit (actor, action, object, details)
    select $10, 'pool.create', name, jsonb_build_object('path', path, 'nodes', $9::text[]) from made)
select id::text from made;

-- name: join_pool!
-- Node $2 becomes a part of a pool ($1). By $3.
with joined as (
    update corral.storage_pools p
    set node_ids = p.node_ids || n.id, total_mib = p.total_mib + p.node_mib
    from corral.nodes n
    where p.id = $1::text::uuid and n.name = $2 and n.id <> all (p.node_ids) returning p.name)
insert into corral.audit (actor, action, object, details)
select $3, 'pool.join', name, jsonb_build_object('node', $2::text) from joined;

-- name: remove_pool!
-- A pool without volumes, also none that are deleted and not gone.
with gone as (delete from corral.storage_pools where id = $1::text::uuid returning name)
insert into corral.audit (actor, action, object) select $2, 'pool.remove', name from gone;

-- name: volumes
-- All volumes, the deleted ones that have not gone included.
select v.id::text, v.pool_id::text as pool, v.name, v.size_mib, v.mount_path, v.access_mode, v.storage_class, v.owner,
    v.shared, v.ready, v.used_bytes, v.sealed_sha256, v.fill_number, v.fill_volume::text, v.fill_snapshot::text,
    v.generation, v.sealed_bytes, v.sealed_fill, coalesce(extract(epoch from v.sealed_at), 0)::double precision as sealed_at,
    v.unsealed, v.removing, coalesce(v.snapshot_policy, '') as snapshot_policy,
    v.backup_enabled, coalesce(v.backup_pool_id::text, '') as backup_pool, v.backup_copies,
    extract(epoch from v.snapshot_next_at)::double precision as snapshot_next_at, n.name as node, extract(epoch from v.created_at)::double precision as created_at,
    extract(epoch from v.deleted_at)::double precision as deleted_at
from corral.storage_volumes v left join corral.nodes n on n.id = v.node_id order by v.name, v.created_at;

-- name: add_volume
-- A volume, and how much of its pool is given away from now on.
with made as (
    insert into corral.storage_volumes (pool_id, name, size_mib, mount_path, access_mode, storage_class, owner, shared,
        node_id, fill_number, fill_volume, fill_snapshot, snapshot_policy, snapshot_next_at,
        backup_enabled, backup_pool_id, backup_copies)
    values ($1::text::uuid, $2, $3, nullif($4, ''), $5, nullif($6, ''), $7, $8,
        (select id from corral.nodes where name = $9), case when $10 = '' then 0 else 1 end,
        nullif($10, '')::uuid, nullif($11, '')::uuid, nullif($12, ''), to_timestamp($13::double precision),
        $14, nullif($15, '')::uuid, $16::smallint)
    returning id, name),
given as (update corral.storage_pools set used_mib = used_mib + $3 where id = $1::text::uuid),
noted as (
    insert into corral.audit (actor, action, object, details)
    select $7, 'volume.create', name, jsonb_build_object('id', id, 'size_mib', $3::bigint) from made)
select id::text from made;

-- name: delete_volume!
-- Deleted: jobs do not find it any more. $3: it goes at once.
with gone as (
    update corral.storage_volumes set deleted_at = coalesce(deleted_at, now()), removing = removing or $3
    where id = $1::text::uuid returning name)
insert into corral.audit (actor, action, object) select $2, 'volume.remove', name from gone;

-- name: undelete_volume
-- There again, unless it is going already.
with back as (
    update corral.storage_volumes set deleted_at = null
    where id = $1::text::uuid and not removing and deleted_at is not null returning name)
insert into corral.audit (actor, action, object) select $2, 'volume.undelete', name from back returning object;

-- name: expire_volumes!
-- Those whose days of grace are over begin to go.
update corral.storage_volumes set removing = true
where deleted_at < now() - make_interval(secs => $1) and not removing;

-- name: forget_volume!
-- Its node has let it go.
with copies as (select count(*) as number from corral.storage_replicas where volume_id = $1::text::uuid),
gone as (delete from corral.storage_volumes where id = $1::text::uuid returning pool_id, size_mib)
update corral.storage_pools p set used_mib = p.used_mib - gone.size_mib * (1 + copies.number)
from gone, copies where p.id = gone.pool_id;

-- name: found_volume!
-- What its node ($2) says of it, if that is still its node.
update corral.storage_volumes v
set ready = $3, used_bytes = $4, sealed_sha256 = nullif($5, ''), generation = $6, sealed_bytes = $7, sealed_fill = $8,
    sealed_at = to_timestamp($9), unsealed = $10
from corral.nodes n
where v.id = $1::text::uuid and n.id = v.node_id and n.name = $2;

-- name: copies
-- Where volumes lie beside their own nodes.
select r.volume_id::text as volume, n.name as node, r.state, coalesce(r.sealed_sha256, '') as sha256, r.generation,
    r.removing, r.fault
from corral.storage_replicas r join corral.nodes n on n.id = r.node_id order by r.volume_id, n.name;

-- name: put_copy!
-- A place of a volume ($1), which takes room of its pool while it is there.
with put as (
    insert into corral.storage_replicas as r (volume_id, node_id, state, sealed_sha256, generation, removing, fault)
    select v.id, n.id, $3, nullif($4, ''), $5, $6, $7
    from corral.storage_volumes v, corral.nodes n where v.id = $1::text::uuid and n.name = $2 and n.id <> v.node_id
    on conflict (volume_id, node_id) do update
    set state = excluded.state, sealed_sha256 = excluded.sealed_sha256, generation = excluded.generation,
        removing = excluded.removing, fault = excluded.fault
    returning volume_id, xmax = 0 as is_new)
update corral.storage_pools p set used_mib = p.used_mib + v.size_mib
from put join corral.storage_volumes v on v.id = put.volume_id
where put.is_new and p.id = v.pool_id;

-- name: forget_copy!
-- A node ($2) has let its copy go.
with gone as (
    delete from corral.storage_replicas r using corral.nodes n
    where r.volume_id = $1::text::uuid and n.id = r.node_id and n.name = $2 returning r.volume_id)
update corral.storage_pools p set used_mib = p.used_mib - v.size_mib
from gone join corral.storage_volumes v on v.id = gone.volume_id where p.id = v.pool_id;

-- name: promote
-- Tasks have a volume ($1) on another node ($3) than before ($2) from now on, while epoch $4 leads. $5 to $9: what that
-- node has; a restore that it has not seen is none. By $10, of whom the audit tells.
with leads as (
    select epoch from corral.leadership where epoch = $4
), moved as (
    update corral.storage_volumes v
    set node_id = new.id, ready = true, sealed_sha256 = $5, generation = $6, sealed_bytes = $7, sealed_fill = $8,
        fill_number = $8, used_bytes = $9, sealed_at = now(), unsealed = '{}'
    from leads, corral.nodes old, corral.nodes new
    where v.id = $1::text::uuid and old.name = $2 and v.node_id = old.id and new.name = $3
    returning v.id, v.name, old.id as old_id, new.id as new_id
), gone as (
    delete from corral.storage_replicas r using moved where r.volume_id = moved.id and r.node_id = moved.new_id
), kept as (
    insert into corral.storage_replicas (volume_id, node_id, state) select id, old_id, 'failed' from moved
)
insert into corral.audit (actor, action, object, details)
select $10, 'volume.promote', name, jsonb_build_object('from', $2::text, 'to', $3::text) from moved
returning object;

-- name: wrote
-- Jobs that have a volume ($1 id, $2 name) of which tasks completed on its node ($3) after it was asked last ($4), or
-- among the attempts $5.
select j.number, j.spec::text as spec, u.username as owner, array_agg(distinct t.index) as indices
from corral.attempts a join corral.tasks t on t.id = a.task_id join corral.jobs j on j.id = t.job_id
    join corral.users u on u.id = j.user_id
where a.node_name = $3 and a.state = 'completed' and j.spec -> 'mounted' -> $2 ->> 'id' = $1
    and (a.ended_at >= to_timestamp($4) or format('%s.%s.%s', j.number, t.index, a.fence) = any ($5::text[]))
group by j.number, j.spec, u.username;

-- name: set_volume!
-- Its snapshots by the clock: $2 the policy ("": none), $3 when the next is due; whether they are backed up ($5), and in
-- which pool ($6). By $4.
with changed as (
    update corral.storage_volumes
    set snapshot_policy = nullif($2, ''), snapshot_next_at = to_timestamp($3::double precision),
        backup_enabled = $5, backup_pool_id = nullif($6, '')::uuid, backup_copies = $7::smallint
    where id = $1::text::uuid returning id, name),
kept as (
    update corral.storage_backups b set copies = $7::smallint from changed
    where b.volume_id = changed.id and b.automatic and $5 and b.copies <> $7::smallint)
insert into corral.audit (actor, action, object, details)
select $4, 'volume.set', name, jsonb_build_object('snapshots', $2::text, 'backup', $5::boolean) from changed;

-- name: snapshot_by_clock!
-- The clock asks for snapshot $2 ("": it is left out); the next is due at $4, if $3 was the last word. Twice is once.
with moved as (
    update corral.storage_volumes set snapshot_next_at = to_timestamp($4)
    where id = $1::text::uuid and snapshot_next_at = to_timestamp($3) returning id)
insert into corral.storage_snapshots (volume_id, name, created_by, automatic)
select id, $2, $5, true from moved where $2 <> ''
on conflict do nothing;

-- name: outlive_snapshots!
-- Snapshots that the clock had taken, and that newer ones replace.
update corral.storage_snapshots set dropping = true where id = any ($1::text[]::uuid[]) and automatic;

-- name: snapshots
-- All snapshots.
select s.id::text, s.volume_id::text as volume, s.name, s.ready, s.size_bytes, s.dropping, s.created_by, s.automatic, s.backup_asked,
    coalesce(s.sealed_sha256, '') as sha256, extract(epoch from s.taken_at)::double precision as taken_at,
    extract(epoch from s.created_at)::double precision as created_at
from corral.storage_snapshots s order by s.created_at;

-- name: add_snapshot
-- A snapshot that is to be taken.
with made as (
    insert into corral.storage_snapshots (volume_id, name, created_by) values ($1::text::uuid, $2, $3)
    returning id, volume_id, name)
insert into corral.audit (actor, action, object, details)
select $3, 'volume.snapshot', v.name, jsonb_build_object('snapshot', made.name)
from made join corral.storage_volumes v on v.id = made.volume_id
returning object;

-- name: found_snapshot!
-- Its node has it.
update corral.storage_snapshots
set ready = true, size_bytes = $2, sealed_sha256 = nullif($3, ''), taken_at = coalesce(taken_at, now())
where id = $1::text::uuid;

-- name: drop_snapshot!
-- It is to go.
with gone as (update corral.storage_snapshots set dropping = true where id = $1::text::uuid returning volume_id, name)
insert into corral.audit (actor, action, object, details)
select $2, 'volume.unsnapshot', v.name, jsonb_build_object('snapshot', gone.name)
from gone join corral.storage_volumes v on v.id = gone.volume_id;

-- name: forget_snapshot!
-- Its node has let it go.
delete from corral.storage_snapshots where id = $1::text::uuid;

-- name: restore
-- A volume is to be filled with a snapshot once more.
with filled as (
    update corral.storage_volumes
    set fill_number = fill_number + 1, fill_volume = id, fill_snapshot = $2::text::uuid
    where id = $1::text::uuid returning name)
insert into corral.audit (actor, action, object, details)
select $3, 'volume.restore', name, jsonb_build_object('snapshot', $2::text) from filled returning object;
