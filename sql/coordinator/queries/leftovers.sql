-- What nodes still have that nobody waits for any more.

-- name: leftovers
-- All of them.
select l.id::text, n.name as node, l.pool_id::text as pool, l.kind, l.name, l.path
from corral.storage_leftovers l join corral.nodes n on n.id = l.node_id order by l.created_at, l.id;

-- name: give_up
-- A volume ($1) on nodes ($2) that nobody waits for any more. By $3.
with volume as (select id, pool_id, name from corral.storage_volumes where id = $1::text::uuid),
left_over as (
    insert into corral.storage_leftovers (id, node_id, pool_id, kind, name, created_by)
    select v.id, n.id, v.pool_id, 'volume', v.name, $3 from volume v, corral.nodes n where n.name = any ($2::text[])
    on conflict do nothing)
insert into corral.audit (actor, action, object, details)
select $3, 'volume.give_up', name, jsonb_build_object('nodes', $2::text[]) from volume
returning object;

-- name: leave_pool!
-- A pool ($1 id, $2 name, $3 path) that nodes ($4) could not be told to let go. By $5.
insert into corral.storage_leftovers (id, node_id, pool_id, kind, name, path, created_by)
select $1::text::uuid, n.id, $1::text::uuid, 'pool', $2, $3, $5 from corral.nodes n where n.name = any ($4::text[])
on conflict do nothing;

-- name: gone!
-- A node ($2) has let it go.
delete from corral.storage_leftovers l using corral.nodes n
where l.id = $1::text::uuid and n.id = l.node_id and n.name = $2;
