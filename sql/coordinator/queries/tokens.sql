-- name: create
-- A token, by the hash of its secret; the audit says who made it.
with made as (
    insert into corral.user_tokens (public_id, kind, name, role, created_by, token_sha256, expires_at)
    values ($1, $2, $3, $4, $5, $6, clock_timestamp() + make_interval(secs => $7))
    returning *),
told as (
    select m.public_id, m.kind, m.name, m.role, m.created_at, m.expires_at, m.used_at, m.revoked_at,
        m.credential, u.username as creator
    from made m join corral.users u on u.id = m.created_by),
noted as (
    insert into corral.audit (actor, action, object, details)
    select creator, 'token.create', public_id,
        jsonb_strip_nulls(jsonb_build_object('kind', kind, 'name', name, 'role', role))
    from told)
select * from told;

-- name: every
-- Tokens of machines and people, newest first.
select t.public_id, t.kind, t.name, t.role, t.created_at, t.expires_at, t.used_at, t.revoked_at, t.credential,
    u.username as creator
from corral.user_tokens t left join corral.users u on u.id = t.created_by
where t.public_id is not null
order by t.created_at desc, t.id desc
limit $1;

-- name: by_id
-- One token, whatever became of it.
select t.public_id, t.kind, t.name, t.role, t.created_at, t.expires_at, t.used_at, t.revoked_at, t.credential,
    u.username as creator, t.token_sha256, t.expires_at <= clock_timestamp() as expired
from corral.user_tokens t left join corral.users u on u.id = t.created_by
where t.public_id = $1;

-- name: take
-- Use a token for one key, once; the same key may ask again for an answer that was lost. The audit has the first.
with moment as materialized (select clock_timestamp() as at),
taken as (
    update corral.user_tokens
    set used_at = coalesce(used_at, moment.at), credential = $2, name = $3, last_used_at = moment.at
    from moment
    where public_id = $1 and revoked_at is null
        and (credential = $2 or (used_at is null and expires_at > moment.at))
    returning public_id, kind, name, credential, used_at = last_used_at as first),
noted as (
    insert into corral.audit (actor, action, object, details)
    select name, case kind when 'join' then 'auth.join' else 'auth.login' end, public_id,
        jsonb_build_object('key', credential)
    from taken where first)
select public_id from taken;

-- name: revoke
-- The token, used or not, by $2; what it admitted is in `credential`. The audit has the first time.
with moment as materialized (select clock_timestamp() as at),
gone as (
    update corral.user_tokens t
    set revoked_at = coalesce(t.revoked_at, moment.at)
    from moment
    where t.public_id = $1
    returning t.*, t.revoked_at = moment.at as first),
noted as (
    insert into corral.audit (actor, action, object, details)
    select $2, 'token.revoke', public_id, jsonb_strip_nulls(jsonb_build_object('kind', kind, 'name', name))
    from gone where first)
select g.public_id, g.kind, g.name, g.role, g.created_at, g.expires_at, g.used_at, g.revoked_at, g.credential,
    (select username from corral.users where id = g.created_by) as creator
from gone g;

-- name: revoke_node_keys
-- Every key that was admitted under a node's name so far.
update corral.user_tokens set revoked_at = clock_timestamp()
where kind = 'join' and name = $1 and used_at is not null and revoked_at is null and credential <> $2
returning credential;

-- name: of_credential
-- The live login of a user by its key.
select t.public_id, t.kind, t.name, t.role, t.created_at, t.expires_at, t.used_at, t.revoked_at, t.credential,
    u.username as creator
from corral.user_tokens t left join corral.users u on u.id = t.created_by
where t.credential = $1 and t.kind = 'login' and t.name = $2 and t.revoked_at is null;

-- name: revoked_credentials
-- Keys that the server must refuse.
select credential, extract(epoch from revoked_at)::float8 as revoked_at
from corral.user_tokens where credential is not null and revoked_at is not null;

-- name: admitted
-- Keys that came in by a token and were not revoked, newest first.
select name, kind, public_id, credential, extract(epoch from used_at)::float8 as since
from corral.user_tokens
where credential is not null and used_at is not null and revoked_at is null
order by used_at desc
limit 10000;

-- name: ensure_user
-- Make a user unless there is one; answers who it is.
with made as (
    insert into corral.users (username, role) values ($1, $2)
    on conflict (username) do nothing
    returning id, username, role, true as active)
select * from made
union all
select id, username, role, status = 'active' from corral.users where username = $1
limit 1;
