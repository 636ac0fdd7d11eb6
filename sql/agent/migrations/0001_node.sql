-- What a node keeps through its agent's death: seen by one agent process at a time.
-- Instants are seconds of the Unix epoch.

create table local_config (
    key        text primary key,
    value      text not null,
    updated_at real not null
) without rowid, strict;

-- A ring of the node's own measurements; `sent` = 0: the coordinator has not heard of it.
create table local_resources (
    timestamp    real primary key,
    cpu          real not null,  -- millicores
    memory       real not null,  -- MiB
    disk         real not null,  -- MiB
    network_rx   real not null,  -- Mbit/s
    network_tx   real not null,  -- Mbit/s
    gpu          real not null,  -- sum of utilisations, 1.0 = one GPU
    temperature  real,           -- °C
    load         real not null,
    sample       blob not null,  -- the whole sample, MessagePack
    sent         integer not null default 0 check (sent in (0, 1))
) strict;

create index local_resources_unsent on local_resources (timestamp) where sent = 0;

-- One row an attempt. An ended one is a tombstone: the same fence never runs here again.
create table local_sessions (
    session_id      text primary key,  -- '1042.7#1'
    job             integer not null,
    task_index      integer not null,
    fence           integer not null check (fence >= 1),
    status          text not null check (status in ('assigned', 'running', 'ended')),
    container_id    text,
    pid             integer,
    started_at      real,
    ended_at        real,
    resource_limits text not null,     -- JSON, in the field order of Resources
    boot_id         text not null
) without rowid, strict;

create index local_sessions_live on local_sessions (status) where status <> 'ended';
create index local_sessions_ended_at on local_sessions (ended_at) where status = 'ended';

-- The outbox: what the coordinator has not acknowledged, oldest first.
create table local_events (
    event_id   integer primary key autoincrement,
    session_id text not null,
    event      blob not null,          -- MessagePack
    created_at real not null
) strict;
