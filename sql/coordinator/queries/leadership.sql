-- name: current
-- Who leads, when that was last renewed, and whether the session is still there.
select
    l.epoch, l.holder, l.backend_pid, l.renewed_at,
    l.renewed_at = '-infinity' as resigned,
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

-- name: stand_by!
-- This session's owner could lead at once, or could not: the leader may look for it.
select set_config('application_name', $1, false);

-- name: someone_stands_by
-- Whether another session waits for the leadership and is fit for it.
select exists (
    select from pg_stat_activity a
    where a.datname = current_database() and a.application_name = $1 and a.pid <> pg_backend_pid()
) as waits;

-- name: resign!
-- A clean end: the next one need not wait.
update corral.leadership set renewed_at = '-infinity' where epoch = $1;

-- name: open_batches!
-- The place where this epoch's batch numbers go.
insert into corral.batches (epoch, number) values ($1, -1) on conflict do nothing;

-- name: newest_batch
-- Waits for a transaction that may still be writing it.
select number from corral.batches where epoch = $1 for update;
