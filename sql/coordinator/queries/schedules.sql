-- name: create
-- A schedule, unless there is one of that name; the audit says who made it.
with made as (
    insert into corral.schedules (user_id, name, cron, zone, overlap, spec, digest, next_at)
    values ($1, $2, $3, $4, $5, $6, $7, to_timestamp($8))
    on conflict (user_id, name) do nothing
    returning *),
noted as (
    insert into corral.audit (actor, action, object, details)
    select u.username, 'schedule.create', m.name, jsonb_build_object('cron', m.cron, 'zone', m.zone)
    from made m join corral.users u on u.id = m.user_id)
select id from made;

-- name: find
-- One schedule by whose it is and its name.
select s.*, u.username
from corral.schedules s join corral.users u on u.id = s.user_id
where u.username = $1 and s.name = $2;

-- name: every
-- The schedules of one user, or of all ($1 null), by name.
select s.*, u.username
from corral.schedules s join corral.users u on u.id = s.user_id
where $1::text is null or u.username = $1
order by u.username, s.name
limit $2;

-- name: count_of
-- How many somebody has.
select count(*) from corral.schedules where user_id = $1;

-- name: due
-- Those whose time has come, the most overdue first.
select s.*, u.username
from corral.schedules s join corral.users u on u.id = s.user_id
where not s.paused and s.next_at <= to_timestamp($1)
order by s.next_at
limit $2;

-- name: note!
-- What came of the firing that was due at $2, and when the next one is; nothing where somebody else noted it.
update corral.schedules
set next_at = to_timestamp($3), last_at = to_timestamp($4), last_job = coalesce($5, last_job),
    fired = fired + ($5::bigint is not null)::integer, skipped = skipped + $6, last_error = $7
where id = $1 and next_at = to_timestamp($2);

-- name: set_paused
-- Paused, or going on with the first firing after now: what was due meanwhile is left out. The audit has it.
with changed as (
    update corral.schedules s set paused = $3, next_at = to_timestamp($4)
    from corral.users u
    where u.id = s.user_id and u.username = $1 and s.name = $2
    returning s.*, u.username),
noted as (
    insert into corral.audit (actor, action, object, details)
    select $5, case when $3 then 'schedule.pause' else 'schedule.resume' end, name,
        jsonb_build_object('user', username)
    from changed)
select * from changed;

-- name: remove
-- Its jobs stay. The audit has it.
with gone as (
    delete from corral.schedules s using corral.users u
    where u.id = s.user_id and u.username = $1 and s.name = $2
    returning s.*, u.username),
noted as (
    insert into corral.audit (actor, action, object, details)
    select $3, 'schedule.remove', name, jsonb_build_object('user', username) from gone)
select * from gone;
