-- As in 0017, and the image and network policy that jobs ask for.
create or replace function corral.insert_jobs(jobs corral.job_row[]) returns void
language plpgsql
as $$
declare
    written bigint;
begin
    with new as (
        select u.*, o.id as user_id, to_timestamp(u.created) as created_at
        from unnest(jobs) u join corral.users o on o.username = u.owner
    ), inserted as (
        insert into corral.jobs (
            id, number, user_id, name, kind, priority, image, network_policy, spec, metadata, dedupe_key, digest, total,
            pending, queued,
            assigned, running, completed, failed, cancelled, cancel_requested, exit_code, reason, created_at,
            updated_at, started_at, ended_at)
        select
            id, number, user_id, name, kind, priority, spec ->> 'image',
            coalesce(spec ->> 'network_policy', 'default'), spec, metadata, dedupe_key, digest, total, pending, queued,
            assigned, running, completed, failed, cancelled, cancel_requested, exit_code, reason, created_at,
            created_at,
            case when started is not null then to_timestamp(greatest(started, created)) end,
            case when ended is not null then to_timestamp(greatest(ended, started, created)) end
        from new
        returning 1
    ), keys as (
        insert into corral.dedupe_keys (user_id, key, job_id, digest, created_at)
        select user_id, dedupe_key, id, digest, created_at from new where dedupe_key is not null
    ), messages as (
        insert into corral.message_keys (user_id, key, job_id, digest, created_at)
        select user_id, message_key, id, digest, created_at from new where message_key is not null
    )
    select count(*) into written from inserted;
    perform corral.expect(written, cardinality(jobs), 'new jobs (is every owner a user?)');
    perform corral.expect_state(j.number, j.state, u.state) from unnest(jobs) u join corral.jobs j on j.id = u.id;
end $$;
