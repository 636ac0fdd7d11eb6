-- name: lock
-- One migrator at a time; held until the connection closes.
select pg_advisory_lock(4861727261);

-- name: bootstrap#
-- The schema and the record of what was applied to it.
create schema if not exists corral;
create table if not exists corral.migrations (
    number integer primary key,
    name text not null,
    sha256 text not null,
    applied_at timestamptz not null default now()
);

-- name: applied
-- What was applied, in order.
select number, name, sha256 from corral.migrations order by number;

-- name: record!
-- A migration was applied.
insert into corral.migrations (number, name, sha256) values ($1, $2, $3);

-- name: server_version
-- As a number: 150000 is 15.0.
select current_setting('server_version_num')::integer;
