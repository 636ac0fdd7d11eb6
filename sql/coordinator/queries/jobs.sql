-- name: insert_jobs
-- New jobs with the counters they have at the end of their first batch, and their dedupe keys.
with new as (
    select u.*, o.id as user_id
    from unnest(
        $1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::smallint[], $7::text[], $8::text[],
        $9::text[], $10::bytea[], $11::integer[], $12::double precision[]
    ) as u (id, number, owner, name, kind, priority, spec, metadata, dedupe_key, digest, total, created_at)
        join corral.users o on o.username = u.owner
), inserted as (
    insert into corral.jobs (
        id, number, user_id, name, kind, priority, spec, metadata, dedupe_key, digest, total, pending,
        created_at, updated_at)
    select
        id, number, user_id, name, kind, priority, spec::jsonb, metadata::jsonb, dedupe_key, digest, total, total,
        to_timestamp(created_at), to_timestamp(created_at)
    from new
    returning id
), keys as (
    insert into corral.dedupe_keys (user_id, key, job_id, digest, created_at)
    select user_id, dedupe_key, id, digest, to_timestamp(created_at) from new where dedupe_key is not null
)
select count(*) from inserted;

-- name: update_jobs
-- Absolute counters; answers each job's state as the database derives it.
update corral.jobs j
set pending = u.pending, queued = u.queued, assigned = u.assigned, running = u.running, completed = u.completed,
    failed = u.failed, cancelled = u.cancelled, cancel_requested = u.cancel_requested,
    started_at = case when u.started_at is not null
        then greatest(to_timestamp(u.started_at), j.created_at) end,
    ended_at = case when u.ended_at is not null
        then greatest(to_timestamp(u.ended_at), to_timestamp(u.started_at), j.created_at) end,
    exit_code = u.exit_code, reason = u.reason, updated_at = clock_timestamp()
from unnest(
    $1::uuid[], $2::integer[], $3::integer[], $4::integer[], $5::integer[], $6::integer[], $7::integer[],
    $8::integer[], $9::boolean[], $10::double precision[], $11::double precision[], $12::integer[], $13::text[]
) as u (id, pending, queued, assigned, running, completed, failed, cancelled, cancel_requested, started_at,
        ended_at, exit_code, reason)
where j.id = u.id
returning j.id, j.state;

-- name: live
-- Every job that is not over.
select
    j.id, j.number, o.username as owner, j.name, j.kind, j.priority, j.spec::text, j.metadata::text, j.dedupe_key,
    j.digest, j.total, extract(epoch from j.created_at)::double precision as created_at, j.state, j.pending,
    j.queued, j.assigned, j.running, j.completed, j.failed, j.cancelled, j.cancel_requested,
    extract(epoch from j.started_at)::double precision as started_at,
    extract(epoch from j.ended_at)::double precision as ended_at, j.exit_code, j.reason
from corral.jobs j join corral.users o on o.id = j.user_id
where j.state not in ('completed', 'failed', 'cancelled')
order by j.number;

-- name: next_number
-- One more than any job ever had.
select greatest(
    (select coalesce(max(number), 0) from corral.jobs),
    (select coalesce(max(number), 0) from corral.jobs_archive)) + 1;

-- name: by_dedupe_key
-- The job that a user submitted under a key.
select j.number, j.id, d.digest, j.total
from corral.dedupe_keys d
    join corral.users o on o.id = d.user_id
    join corral.jobs j on j.id = d.job_id
where o.username = $1 and d.key = $2;
