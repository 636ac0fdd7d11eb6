-- name: create
-- A token, by the hash of its secret.
insert into corral.user_tokens (public_id, kind, name, role, created_by, token_sha256, expires_at)
values ($1, $2, $3, $4, $5, $6, clock_timestamp() + make_interval(secs => $7))
returning public_id, kind, name, role, created_at, expires_at, used_at, revoked_at, credential,
    (select username from corral.users where id = created_by) as creator;

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
-- Use a token for one key, once; the same key may ask again for an answer that was lost.
update corral.user_tokens
set used_at = coalesce(used_at, clock_timestamp()), credential = $2, name = $3, last_used_at = clock_timestamp()
where public_id = $1 and revoked_at is null
    and (credential = $2 or (used_at is null and expires_at > clock_timestamp()))
returning public_id;

-- name: revoke
-- The token, used or not; what it admitted is in `credential`.
update corral.user_tokens t
set revoked_at = coalesce(t.revoked_at, clock_timestamp())
where t.public_id = $1
returning t.public_id, t.kind, t.name, t.role, t.created_at, t.expires_at, t.used_at, t.revoked_at, t.credential,
    (select username from corral.users where id = t.created_by) as creator;

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
