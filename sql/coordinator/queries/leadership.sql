-- name: current
-- Who leads, whether its session is still there, and how old its last renewal is.
select
    l.epoch, l.holder, l.backend_pid,
    -- who resigned did so at -infinity, which PostgreSQL below 17 does not subtract from a timestamp
    (extract(epoch from clock_timestamp()) - extract(epoch from l.renewed_at))::double precision as age_s,
    -- By now the pid may be a worker's of the server's own, which belongs to no database.
    exists (
        select from pg_stat_activity a where a.pid = l.backend_pid and a.datname = current_database()
    ) as alive
from corral.leadership l;

-- name: take_first
-- The very first leader of this database.
insert into corral.leadership (epoch, holder, backend_pid, renewed_at)
values (1, $1, pg_backend_pid(), clock_timestamp())
on conflict do nothing
returning epoch;

-- name: take_over
-- The next epoch, if nobody else took it since we looked. Waits for the old leader's open transaction.
update corral.leadership
set epoch = epoch + 1, holder = $1, backend_pid = pg_backend_pid(), renewed_at = clock_timestamp()
where epoch = $2
returning epoch;

-- name: end_backend
-- The old leader's session must not write any more.
select pg_terminate_backend($1, 5000);

-- name: renew
-- Still here. No row: somebody else leads.
update corral.leadership set renewed_at = clock_timestamp() where epoch = $1 returning epoch;

-- name: adopt_backend
-- The leader has a new session of its own: its connection was cut and made again.
update corral.leadership
set backend_pid = pg_backend_pid(), renewed_at = clock_timestamp()
where epoch = $1
returning epoch;

-- name: resign!
-- A clean end: the next one need not wait.
update corral.leadership set renewed_at = '-infinity' where epoch = $1;

-- name: open_batches!
-- The place where this epoch's batch numbers go.
insert into corral.batches (epoch, number) values ($1, -1) on conflict do nothing;

-- name: newest_batch
-- Waits for a transaction that may still be writing it.
select number from corral.batches where epoch = $1 for update;
