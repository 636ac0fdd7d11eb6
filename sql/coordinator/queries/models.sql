-- name: content
-- The content of an artifact, which stays while this transaction is open.
select sha256, size_bytes, mime_type, file_name from corral.artifacts where id = $1 and sha256 is not null for share;

-- name: register
-- A new version; nothing where that name was ever used.
with made as (
    insert into corral.model_versions as m (
        name, version, url, config, sha256, artifact_id, user_id, file_name, mime_type, size_bytes, tags, metrics)
    select $1, $2, 'corral://' || $4::text, $5::jsonb, $4, $3, u.id, $7, $8, $9, $10::text[], $11::jsonb
    from corral.users u where u.username = $6
    on conflict (name, version) do nothing
    returning m.name, m.version, m.sha256)
insert into corral.audit (actor, action, object, details)
select $6, 'model.register', made.name || '@' || made.version, jsonb_build_object('sha256', made.sha256) from made
returning object;

-- name: find
-- A version ($2), or of a name the one registered last; with what has been removed if $3.
select
    m.name, m.version, m.file_name, m.mime_type, m.size_bytes, coalesce(m.sha256, '') as sha256, m.url,
    coalesce(u.username, '') as username, m.created_at, m.tags, m.metrics, m.config, m.removed_at is not null as removed,
    array(
        select n.name from corral.blobs b join corral.nodes n on n.id = b.node_id
        where b.sha256 = m.sha256 and not b.dropping order by n.name) as nodes
from corral.model_versions m left join corral.users u on u.id = m.user_id
where m.name = $1 and ($2 = '' or m.version = $2) and ($3 or m.removed_at is null)
order by m.created_at desc, m.id desc
limit 1;

-- name: list
-- The newest first: of a name ($1), with a tag ($2), from before a cursor ($4) on.
select
    m.id::text, m.name, m.version, m.file_name, m.mime_type, m.size_bytes, coalesce(m.sha256, '') as sha256, m.url,
    coalesce(u.username, '') as username, m.created_at, m.tags, m.metrics, m.config, false as removed,
    array(
        select n.name from corral.blobs b join corral.nodes n on n.id = b.node_id
        where b.sha256 = m.sha256 and not b.dropping order by n.name) as nodes
from corral.model_versions m left join corral.users u on u.id = m.user_id
where m.removed_at is null
    and ($1 = '' or m.name = $1)
    and ($2 = '' or m.tags @> array[$2::text])
    and ($4::uuid is null or m.id < $4)
order by m.id desc
limit $3;

-- name: users_of
-- Jobs that are not over and name this version.
select distinct number from corral.contents_in_use where model = $1 and version = $2 order by number limit 4;

-- name: remove
-- The version is gone, its content goes when it is collected.
with gone as (
    update corral.model_versions set removed_at = now()
    where name = $1 and version = $2 and removed_at is null
    returning name, version, sha256)
insert into corral.audit (actor, action, object, details)
select $3, 'model.remove', gone.name || '@' || gone.version, jsonb_build_object('sha256', gone.sha256) from gone
returning object;
