-- Jobs that repeat: what is submitted, and when next. A firing is a job whose dedupe key names schedule and instant.

create table corral.schedules (
    id uuid primary key default corral.uuid7(),
    user_id uuid not null references corral.users on delete cascade,
    name text not null check (length(name) between 1 and 128),
    cron text not null,
    zone text not null default 'UTC',
    overlap text not null default 'forbid' check (overlap in ('allow', 'forbid', 'replace')),
    spec jsonb not null check (jsonb_typeof(spec) = 'object'),
    digest bytea not null,
    paused boolean not null default false,
    next_at timestamptz not null,
    last_at timestamptz,
    last_job bigint,
    fired bigint not null default 0 check (fired >= 0),
    skipped bigint not null default 0 check (skipped >= 0),
    last_error text not null default '',
    created_at timestamptz not null default now(),
    unique (user_id, name)
);
comment on column corral.schedules.spec is 'The job that each firing submits, without cron, zone and overlap';
comment on column corral.schedules.digest is 'SHA-256 of what was submitted: tells a repetition from another schedule of that name';
comment on column corral.schedules.skipped is 'Firings that gave no job: the one before still ran, or nobody led at their time';
create index schedules_due on corral.schedules (next_at) where not paused;

alter table corral.schedules enable row level security;
alter table corral.schedules force row level security;
create policy coordinator on corral.schedules to corral_coordinator using (true) with check (true);
create policy people on corral.schedules for select
    to corral_readonly, corral_user, corral_operator, corral_admin
    using ((select corral.session_sees_all()) or user_id = (select corral.session_user_id()));
grant select, insert, update, delete on corral.schedules to corral_coordinator;
grant select on corral.schedules to corral_readonly, corral_user, corral_operator, corral_admin;
