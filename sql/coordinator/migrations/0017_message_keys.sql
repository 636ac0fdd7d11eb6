-- What published submissions are known by: a message that JetStream delivers again, or that its sender sends again,
-- finds its job here. The key goes into the transaction of the job that it made.

create table corral.message_keys (
    user_id uuid not null references corral.users on delete cascade,
    key text not null check (key ~ '^@?[A-Za-z0-9._:-]{1,128}\Z'),
    job_id uuid not null references corral.jobs on delete cascade,
    digest bytea not null,
    created_at timestamptz not null default now(),
    primary key (user_id, key)
);
comment on column corral.message_keys.key is 'Nats-Msg-Id, or @ and the place in the stream where the sender gave none';
create index message_keys_job on corral.message_keys (job_id);
create index message_keys_created on corral.message_keys (created_at);

alter table corral.message_keys enable row level security;
alter table corral.message_keys force row level security;
create policy coordinator on corral.message_keys to corral_coordinator using (true) with check (true);
create policy people on corral.message_keys for select
    to corral_readonly, corral_user, corral_operator, corral_admin
    using ((select corral.session_sees_all()) or user_id = (select corral.session_user_id()));

alter type corral.job_row add attribute message_key text;

-- As in 0013, and the keys of the messages that jobs came by.
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
            id, number, user_id, name, kind, priority, spec, metadata, dedupe_key, digest, total, pending, queued,
            assigned, running, completed, failed, cancelled, cancel_requested, exit_code, reason, created_at,
            updated_at, started_at, ended_at)
        select
            id, number, user_id, name, kind, priority, spec, metadata, dedupe_key, digest, total, pending, queued,
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
