-- Addresses that are called when something happens. What is to be sent is written by triggers, in the transaction
-- of the change itself: a change that stands has its deliveries, one that was undone has none.

create table corral.webhooks (
    id bigint generated always as identity primary key,
    user_id uuid not null references corral.users on delete cascade,
    url text not null check (length(url) <= 2000 and url ~ '^https?://'),
    events text[] not null check (
        cardinality(events) > 0
        and events <@ array[
            'job.submitted', 'job.started', 'job.completed', 'job.failed', 'job.cancelled', 'task.failed',
            'node.joined', 'node.lost', 'node.back', 'node.drained', 'node.quarantined']),
    job bigint,
    of_user_id uuid references corral.users on delete cascade,
    tag_name text check (length(tag_name) between 1 and 128),
    tag_value text check (length(tag_value) <= 256),
    secret bytea not null,
    enabled boolean not null default true,
    reason text not null default '',
    is_full boolean not null default false,
    failing_since timestamptz,
    dead_in_row integer not null default 0 check (dead_in_row >= 0),
    created_at timestamptz not null default now(),
    check ((tag_name is null) = (tag_value is null))
);
comment on column corral.webhooks.secret is 'Signs what is sent. Encrypted by the coordinator; the key lies outside the database';
comment on column corral.webhooks.is_full is 'So many deliveries wait that further events are left out';
comment on column corral.webhooks.dead_in_row is 'Deliveries given up since the last one that arrived';
create index webhooks_user on corral.webhooks (user_id);
create index webhooks_of_user on corral.webhooks (of_user_id) where of_user_id is not null;

create table corral.webhook_deliveries (
    id uuid primary key default corral.uuid7(),
    webhook_id bigint not null references corral.webhooks on delete cascade,
    event text not null,
    body text not null,
    state text not null default 'waiting' check (state in ('waiting', 'delivered', 'dead')),
    attempts integer not null default 0 check (attempts >= 0),
    due_at timestamptz not null default clock_timestamp(),
    last_at timestamptz,
    took_ms real,
    status integer,
    error text not null default '',
    created_at timestamptz not null default clock_timestamp()
);
comment on column corral.webhook_deliveries.body is 'JSON, sent byte for byte the same at every try';
create index webhook_deliveries_due on corral.webhook_deliveries (webhook_id, due_at) where state = 'waiting';
create index webhook_deliveries_newest on corral.webhook_deliveries (webhook_id, id desc);
create index webhook_deliveries_over on corral.webhook_deliveries (last_at) where state <> 'waiting';

alter table corral.webhooks enable row level security;
alter table corral.webhooks force row level security;
create policy coordinator on corral.webhooks to corral_coordinator using (true) with check (true);
create policy people on corral.webhooks for select
    to corral_readonly, corral_user, corral_operator, corral_admin
    using ((select corral.session_sees_all()) or user_id = (select corral.session_user_id()));
grant select, insert, update, delete on corral.webhooks to corral_coordinator;
grant select (id, user_id, url, events, job, of_user_id, tag_name, tag_value, enabled, reason, is_full, failing_since,
              dead_in_row, created_at)
    on corral.webhooks to corral_readonly, corral_user, corral_operator, corral_admin;

alter table corral.webhook_deliveries enable row level security;
alter table corral.webhook_deliveries force row level security;
create policy coordinator on corral.webhook_deliveries to corral_coordinator using (true) with check (true);
create policy people on corral.webhook_deliveries for select
    to corral_readonly, corral_user, corral_operator, corral_admin
    using (exists (select from corral.webhooks w where w.id = webhook_id));
grant select, insert, update, delete on corral.webhook_deliveries to corral_coordinator;
grant select on corral.webhook_deliveries to corral_readonly, corral_user, corral_operator, corral_admin;

create function corral.rfc3339(at timestamptz) returns text
language sql stable
return to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"');

-- One delivery for each webhook that asks for `told`. `owner`, `number` and `tags`: of the job that it is about; of
-- nodes there are none, and everybody may hear of them. A plain user hears of no one else's jobs.
create function corral.tell_webhooks(
    told text, at timestamptz, about jsonb, owner uuid default null, number bigint default null,
    tags jsonb default null)
returns void
language plpgsql
as $$
begin
    insert into corral.webhook_deliveries (id, webhook_id, event, body)
    select d.id, w.id, told, (jsonb_build_object(
        'version', 1, 'id', d.id, 'event', told, 'webhook', w.id,
        'at', corral.rfc3339(at)) || about)::text
    from (
        select w.id
        from corral.webhooks w join corral.users u on u.id = w.user_id
        where w.enabled and not w.is_full and told = any (w.events) and u.status = 'active'
            and (owner is null or (
                (w.user_id = owner or u.role in ('operator', 'admin'))
                and (w.of_user_id is null or w.of_user_id = owner)
                and (w.job is null or w.job = number)
                and (w.tag_name is null or tags ->> w.tag_name = w.tag_value)))
        -- one that is being removed is left out: its key would be gone, and with it the whole batch
        for key share of w skip locked) w
        cross join lateral (select corral.uuid7() as id where w.id is not null) d;
end $$;

create function corral.about_job(j corral.jobs) returns jsonb
language sql stable
return jsonb_build_object('job', jsonb_build_object(
    'number', j.number, 'id', j.id, 'name', j.name, 'state', j.state, 'reason', j.reason,
    'user', (select u.username from corral.users u where u.id = j.user_id),
    'exit', j.exit_code, 'tasks', j.total, 'completed', j.completed, 'failed', j.failed, 'cancelled', j.cancelled,
    'submitted_at', corral.rfc3339(j.created_at), 'started_at', corral.rfc3339(j.started_at),
    'ended_at', corral.rfc3339(j.ended_at),
    'metadata', case when pg_column_size(j.metadata) <= 8192 then j.metadata end));

create function corral.tell_of_job() returns trigger
language plpgsql
as $$
begin
    if not exists (select from corral.webhooks) then
        return null;
    end if;
    if tg_op = 'INSERT' then
        perform corral.tell_webhooks('job.submitted', new.created_at, corral.about_job(new), new.user_id, new.number,
                                     new.metadata);
    end if;
    if new.started_at is not null and (tg_op = 'INSERT' or old.started_at is null) then
        perform corral.tell_webhooks('job.started', new.started_at, corral.about_job(new), new.user_id, new.number,
                                     new.metadata);
    end if;
    if new.state in ('completed', 'failed', 'cancelled') and (tg_op = 'INSERT' or old.state <> new.state) then
        perform corral.tell_webhooks('job.' || new.state, coalesce(new.ended_at, new.updated_at),
                                     corral.about_job(new), new.user_id, new.number, new.metadata);
    end if;
    return null;
end $$;
create trigger jobs_webhooks_new after insert on corral.jobs
    for each row execute function corral.tell_of_job();
create trigger jobs_webhooks after update on corral.jobs
    for each row when (
        (old.started_at is null and new.started_at is not null)
        or (old.state <> new.state and new.state in ('completed', 'failed', 'cancelled')))
    execute function corral.tell_of_job();

-- A task that stays failed; one that is tried again has not.
create function corral.tell_of_task() returns trigger
language plpgsql
as $$
declare
    j corral.jobs;
begin
    if not exists (select from corral.webhooks w where 'task.failed' = any (w.events)) then
        return null;
    end if;
    select * into j from corral.jobs where id = new.job_id;
    perform corral.tell_webhooks(
        'task.failed', coalesce(new.completed_at, new.updated_at),
        corral.about_job(j) || jsonb_build_object('task', jsonb_build_object(
            'id', format('%s.%s', j.number, new.index), 'state', new.state, 'exit', new.exit_code,
            'signal', new.signal, 'message', left(coalesce(new.error_message, ''), 1000), 'retries', new.retries,
            'node', (select n.name from corral.nodes n where n.id = new.node_id))),
        j.user_id, j.number, j.metadata);
    return null;
end $$;
create trigger tasks_webhooks_new after insert on corral.tasks
    for each row when (new.state in ('failed', 'timeout')) execute function corral.tell_of_task();
create trigger tasks_webhooks after update on corral.tasks
    for each row when (old.state <> new.state and new.state in ('failed', 'timeout'))
    execute function corral.tell_of_task();

create function corral.tell_of_node() returns trigger
language plpgsql
as $$
declare
    told text;
begin
    if not exists (select from corral.webhooks) then
        return null;
    end if;
    for told in
        select v.told from (values
            ('node.joined', tg_op = 'INSERT'),
            ('node.lost', new.health = 'unreachable' and (tg_op = 'INSERT' or old.health <> 'unreachable')),
            ('node.back', tg_op = 'UPDATE' and old.health = 'unreachable' and new.health <> 'unreachable'),
            ('node.quarantined', new.admin = 'failed' and (tg_op = 'INSERT' or old.admin <> 'failed')),
            ('node.drained', tg_op = 'UPDATE' and old.admin = 'draining'
                and new.admin in ('maintenance', 'inactive'))
        ) as v (told, holds)
        where v.holds
    loop
        perform corral.tell_webhooks(told, clock_timestamp(), jsonb_build_object('node', jsonb_build_object(
            'name', new.name, 'id', new.id, 'health', new.health, 'admin', new.admin,
            'last_heartbeat_at', corral.rfc3339(new.last_heartbeat_at))));
    end loop;
    return null;
end $$;
create trigger nodes_webhooks_new after insert on corral.nodes
    for each row execute function corral.tell_of_node();
create trigger nodes_webhooks after update on corral.nodes
    for each row when (old.health <> new.health or old.admin <> new.admin)
    execute function corral.tell_of_node();
