-- Users and what belongs to them; who leads; who did what.

create table corral.users (
    id uuid primary key default corral.uuid7(),
    username text not null unique check (username ~ '^[a-z0-9][a-z0-9_-]{0,62}\Z'),
    email text check (email ~ '^[^@\s]+@[^@\s]+\Z'),
    full_name text,
    password_hash text check (password_hash like '$argon2id$%'),
    role text not null default 'user' check (role in ('readonly', 'user', 'operator', 'admin')),
    status text not null default 'active' check (status in ('active', 'inactive', 'suspended')),
    db_role name unique,
    last_login_at timestamptz,
    failed_login_attempts integer not null default 0 check (failed_login_attempts >= 0),
    locked_until timestamptz,
    preferences jsonb not null default '{}' check (jsonb_typeof(preferences) = 'object'),
    quota_cpu_hours numeric(10, 2) not null default 100 check (quota_cpu_hours >= 0),
    quota_mem_gib_hours numeric(12, 2) not null default 1000 check (quota_mem_gib_hours >= 0),
    quota_storage_gib numeric(12, 2) not null default 100 check (quota_storage_gib >= 0),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
comment on column corral.users.db_role is 'The PostgreSQL login of a person who queries the database: what row-level security goes by';
create unique index users_email on corral.users (lower(email));
create index users_role on corral.users (role);
create index users_status on corral.users (status);
create trigger users_touch before update on corral.users
    for each row when (old.updated_at = new.updated_at) execute function corral.touch_updated_at();

create table corral.user_tokens (
    id uuid primary key default corral.uuid7(),
    user_id uuid not null references corral.users on delete cascade,
    kind text not null default 'session' check (kind in ('session', 'refresh', 'join', 'api')),
    family uuid not null default corral.uuid7(),
    token_sha256 bytea not null unique check (octet_length(token_sha256) = 32),
    expires_at timestamptz not null,
    created_at timestamptz not null default now(),
    last_used_at timestamptz,
    revoked_at timestamptz,
    client_ip inet,
    user_agent text
);
comment on table corral.user_tokens is 'Hashes only: a token is shown once, to its owner';
create index user_tokens_user on corral.user_tokens (user_id);
create index user_tokens_family on corral.user_tokens (family);
create index user_tokens_expires on corral.user_tokens (expires_at);

create table corral.secrets (
    id uuid primary key default corral.uuid7(),
    user_id uuid not null references corral.users on delete cascade,
    name text not null check (name ~ '^[A-Za-z0-9._-]{1,128}\Z'),
    ciphertext bytea not null,
    nonce bytea not null,
    key_id text not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    unique (user_id, name)
);
comment on table corral.secrets is 'Encrypted by the coordinator; the key lies outside the database';
create trigger secrets_touch before update on corral.secrets
    for each row when (old.updated_at = new.updated_at) execute function corral.touch_updated_at();

create table corral.audit (
    id bigint generated always as identity primary key,
    at timestamptz not null default now(),
    actor text not null,
    action text not null,
    object text not null default '',
    outcome text not null default 'done' check (outcome in ('done', 'refused')),
    details jsonb not null default '{}',
    previous_hash bytea,
    hash bytea
);
create index audit_at on corral.audit (at desc);
create index audit_actor on corral.audit (actor, at desc);
create trigger audit_append_only before update or delete on corral.audit
    for each row execute function corral.refuse_change();
create trigger audit_no_truncate before truncate on corral.audit
    for each statement execute function corral.refuse_change();

-- One row. `epoch` is its key, so that a writer's FOR KEY SHARE makes a takeover (which changes the key)
-- wait for the transaction, while the leader's own renewal (which does not) never waits.
create table corral.leadership (
    epoch bigint primary key check (epoch >= 0),
    single boolean not null default true unique check (single),
    holder text not null,
    backend_pid integer not null,
    renewed_at timestamptz not null
);

create table corral.batches (
    epoch bigint primary key,
    number bigint not null,
    committed_at timestamptz not null default now()
);
comment on table corral.batches is 'The newest batch committed in each epoch: tells what became of a commit whose answer was lost';
