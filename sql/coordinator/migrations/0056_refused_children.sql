-- Jobs that a task submitted and that were refused: told to the task when it waits for its children. The place of its
-- line is never heard again, so this is kept.
create table corral.refused_children (
    task_id uuid not null references corral.tasks on delete cascade,
    fence integer not null,
    place bigint not null,
    reason text not null,
    refused_at timestamptz not null default now(),
    primary key (task_id, fence, place)
);
comment on column corral.refused_children.place is 'Where the line ends in the file that the attempt tells by';

alter table corral.refused_children enable row level security;
alter table corral.refused_children force row level security;
create policy coordinator on corral.refused_children to corral_coordinator using (true) with check (true);
grant select, insert, update, delete on corral.refused_children to corral_coordinator;
