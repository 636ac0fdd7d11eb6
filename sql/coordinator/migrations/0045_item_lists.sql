-- Lists of items that are too long for a message: a job's `for_each` points to them, and they are kept as one row each
-- while any job names them.

create table corral.item_lists (
    sha256 text primary key check (sha256 ~ '^[0-9a-f]{64}\Z'),
    items integer not null check (items between 1 and 1000000),
    blocks bytea[] not null check (cardinality(blocks) = (items + 999) / 1000),
    kept_at timestamptz not null default now()
);
comment on column corral.item_lists.sha256 is 'Of the text that was submitted, an item a line';
comment on column corral.item_lists.blocks is 'A thousand items each, a line each, by zlib';
comment on column corral.item_lists.kept_at is 'When somebody last submitted a job with it, or asked for its plan';
alter table corral.item_lists alter column blocks set storage external;

create index jobs_lists on corral.jobs (id) where spec ? 'lists';

alter table corral.item_lists enable row level security;
alter table corral.item_lists force row level security;
create policy coordinator on corral.item_lists to corral_coordinator using (true) with check (true);
grant select, insert, update, delete on corral.item_lists to corral_coordinator;
