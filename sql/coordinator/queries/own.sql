-- name: place
-- What a server that somebody else runs is, and what we may do there.
select
    current_setting('server_version_num')::integer as version,
    current_setting('server_version') as version_text,
    coalesce((select ssl from pg_stat_ssl where pid = pg_backend_pid()), false) as encrypted,
    coalesce((select version from pg_stat_ssl where pid = pg_backend_pid()), '') as protocol,
    coalesce((select extversion from pg_extension where extname = 'timescaledb'), '') as timescale,
    coalesce(current_setting('timescaledb.license', true), '') as license,
    r.rolsuper or r.rolcreaterole as creates_roles,
    r.rolsuper as superuser,
    pg_is_in_recovery() as standby,
    to_regclass('corral.migrations') is not null as migrated,
    current_setting('fsync') = 'on' and current_setting('full_page_writes') = 'on' as durable,
    extract(epoch from clock_timestamp())::double precision as now_s
from pg_roles r
where r.rolname = current_user;

-- name: role_rights
-- What a role may do that a coordinator must not.
select r.rolsuper, r.rolcreaterole, r.rolcreatedb, r.rolbypassrls,
       pg_has_role(r.oid, 'corral_coordinator', 'member') as coordinates,
       exists (select from pg_namespace n where n.nspname = 'corral' and n.nspowner = r.oid) as owns_schema
from pg_roles r
where r.rolname = current_user;

-- name: login_exists
-- Whether a role of that name is there.
select to_regrole(quote_ident($1)) is not null;

-- name: make_login
-- The statement that makes a login in corral_coordinator; the password goes as its SCRAM verifier.
select format('create role %I login password %L in role corral_coordinator', $1::text, $2::text);

-- name: renew_login
-- The statement that gives that login another password.
select format('alter role %I login password %L', $1::text, $2::text);
