-- name: keep
-- A file that a node keeps; see corral.keep_artifact.
select id::text, refused from corral.keep_artifact($1, $2, $3, $4, $5, $6, $7, $8, $9, $10);

-- name: list
-- Artifacts that may be seen ($1: by whom, null for everybody), newest first, from before the cursor ($5) on.
select
    a.id::text, coalesce(a.name, a.file_name) as name, a.mime_type, a.size_bytes, coalesce(a.sha256, '') as sha256,
    a.storage_pointer, coalesce(u.username, '') as username, a.created_at, j.number, t.index, coalesce(a.fence, 0) as fence,
    array(
        select n.name from corral.blobs b join corral.nodes n on n.id = b.node_id
        where b.sha256 = a.sha256 and not b.dropping order by n.name) as nodes
from corral.artifacts a
    left join corral.users u on u.id = a.user_id
    left join corral.tasks t on t.id = a.task_id
    left join corral.jobs j on j.id = t.job_id
where ($1::text is null or u.username = $1)
    and ($2::bigint is null or j.number = $2)
    and ($3::integer is null or t.index = $3)
    and ($5::uuid is null or a.id < $5)
order by a.id desc
limit $4;

-- name: find
-- At most two that are meant by an id ($2 to $3), a hash ($7), or a name ($4) of a task ($5, $6) or of anybody's.
select
    a.id::text, coalesce(a.name, a.file_name) as name, a.mime_type, a.size_bytes, coalesce(a.sha256, '') as sha256,
    a.storage_pointer, coalesce(u.username, '') as username, a.created_at, j.number, t.index, coalesce(a.fence, 0) as fence,
    array(
        select n.name from corral.blobs b join corral.nodes n on n.id = b.node_id
        where b.sha256 = a.sha256 and not b.dropping order by n.name) as nodes
from corral.artifacts a
    left join corral.users u on u.id = a.user_id
    left join corral.tasks t on t.id = a.task_id
    left join corral.jobs j on j.id = t.job_id
where ($1::text is null or u.username = $1)
    and ((a.id >= $2::uuid and a.id <= $3::uuid)
        or a.sha256 = $7
        or (a.name = $4 and ($5::bigint is null and a.task_id is null or j.number = $5 and t.index = $6)))
order by a.fence desc nulls last, a.id desc
limit 2;

-- name: remove
-- The name goes; its content stays until it is collected. The audit says who did it.
with gone as (
    delete from corral.artifacts where id = $1 returning id, name, sha256)
insert into corral.audit (actor, action, object, details)
select $2, 'artifact.remove', id::text, jsonb_build_object('name', name, 'sha256', sha256) from gone
returning object;

-- name: orphans
-- What tasks left that are archived or gone, and lists whose submission died.
select count(*) from corral.artifacts a where task_id is null and corral.is_left_behind(a);

-- name: remove_orphans
-- They go.
with gone as (delete from corral.artifacts a where task_id is null and corral.is_left_behind(a) returning 1)
select count(*) from gone;

-- name: unnamed
-- Content that nothing names any more. $1: also what only orphans name.
select b.sha256, n.name as node, b.size_bytes
from corral.blobs b join corral.nodes n on n.id = b.node_id
where not exists (
        select from corral.artifacts a
        where a.sha256 = b.sha256 and not ($1 and a.task_id is null and corral.is_left_behind(a)))
    and not exists (select from corral.model_versions m where m.sha256 = b.sha256 and m.removed_at is null)
    and not exists (select from corral.contents_in_use c where c.sha256 = b.sha256)
    and not exists (select from corral.checkpoint_files f where f.sha256 = b.sha256)
order by b.sha256, n.name;

-- name: mark
-- From now on nothing new counts on it, unless somebody named it meanwhile.
update corral.blobs b
set dropping = true
from corral.nodes n
where n.id = b.node_id and n.name = $1 and b.sha256 = any ($2::text[])
    and not exists (select from corral.artifacts a where a.sha256 = b.sha256)
    and not exists (select from corral.model_versions m where m.sha256 = b.sha256 and m.removed_at is null)
    and not exists (select from corral.contents_in_use c where c.sha256 = b.sha256)
    and not exists (select from corral.checkpoint_files f where f.sha256 = b.sha256)
returning b.sha256;

-- name: dropped
-- The node has let it go.
delete from corral.blobs b using corral.nodes n
where n.id = b.node_id and n.name = $1 and b.sha256 = any ($2::text[]) and b.dropping
returning b.sha256;

-- name: integrity
-- What has lost what it belongs to: artifacts whose job is gone, the newest of them by name; content that nothing
-- names, each copy of it; and how many tools are bound to no node, as those are whose node was removed.
with orphaned as (
    select coalesce(name, file_name) as name, id from corral.artifacts where task_id is null and fence is not null),
unnamed as (
    select b.size_bytes
    from corral.blobs b
    where not exists (select from corral.artifacts a where a.sha256 = b.sha256)
        and not exists (select from corral.model_versions m where m.sha256 = b.sha256 and m.removed_at is null)
        and not exists (select from corral.contents_in_use c where c.sha256 = b.sha256)
        and not exists (select from corral.checkpoint_files f where f.sha256 = b.sha256))
select
    (select count(*) from orphaned) as orphans,
    array(select name from orphaned order by id desc limit 5) as named,
    (select count(*) from unnamed) as blobs,
    (select coalesce(sum(size_bytes), 0)::bigint from unnamed) as bytes,
    (select count(*) from corral.tools where current and status = 'enabled' and target_node_id is null)
        as tools_of_any_node,
    (select count(*) from corral.tools where current and status = 'enabled') as tools;
