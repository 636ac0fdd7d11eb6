-- What tasks tell while they run. Not in corral.tasks: its rows are the scheduler's, compared and swapped by version
-- many times a second, and a loss told each second must neither wait for that nor make it wait.

create table corral.task_results (
    task_id uuid primary key references corral.tasks on delete cascade,
    fence integer not null check (fence > 0),
    place bigint not null default 0 check (place >= 0),
    progress real check (progress between 0 and 100),
    message text not null default '',
    metrics jsonb not null default '{}' check (jsonb_typeof(metrics) = 'object'),
    faults integer not null default 0 check (faults >= 0),
    fault text not null default '',
    updated_at timestamptz not null default now()
);
comment on table corral.task_results is 'How far the newest attempt of a task is, and the newest value of each of its metrics';
comment on column corral.task_results.place is 'Up to which byte of its file it was heard: what makes each line count once';

alter table corral.task_results enable row level security;
alter table corral.task_results force row level security;
create policy coordinator on corral.task_results to corral_coordinator using (true) with check (true);
create policy people on corral.task_results for select
    to corral_readonly, corral_user, corral_operator, corral_admin
    using ((select corral.session_sees_all()) or task_id in (select id from corral.tasks));
grant select on corral.task_results to corral_readonly, corral_user, corral_operator, corral_admin;

-- It never had a writer, and the table above says it with what belongs to it.
alter table corral.tasks drop column progress;

-- The metrics of one task by name: what a chart asks for.
create index job_metrics_task_name on corral.job_metrics (task_id, name, at desc);

-- What an attempt told from `told_from` up to `told_to`. Answers up to where it is heard now, and what the feed says:
-- another place than `told_to` where something is missing in between or was heard before; -1 for an attempt that
-- does not count (any more). Names, values and steps belong together; `heard_at` are seconds of the Unix epoch.
create type corral.result_heard as (place bigint, owner text, state text, first_fault boolean);

create function corral.hear_result(
    node text, job_number bigint, task_index integer, attempt integer, told_from bigint, told_to bigint,
    new_progress real, new_message text, new_faults integer, new_fault text,
    names text[], measured double precision[], steps bigint[], heard_at double precision[])
returns corral.result_heard
language plpgsql
as $$
declare
    task record;
    known record;
begin
    select t.id, t.job_id, a.node_id, o.username, t.state into task
    from corral.jobs j
        join corral.tasks t on t.job_id = j.id and t.index = task_index and t.count = 1
        join corral.attempts a on a.task_id = t.id and a.fence = attempt
        join corral.users o on o.id = j.user_id
    where j.number = job_number and t.fence = attempt and a.node_name = node
        and a.state not in ('lost', 'returned');
    if not found then
        return (-1, null, null, false)::corral.result_heard;
    end if;
    insert into corral.task_results as r (task_id, fence) values (task.id, attempt)
    on conflict (task_id) do update
        set fence = attempt, place = 0, progress = null, message = '', metrics = '{}', faults = 0, fault = ''
        where r.fence < attempt;
    select * into known from corral.task_results where task_id = task.id for update;
    if known.fence <> attempt then
        return (-1, null, null, false)::corral.result_heard;
    end if;
    if known.place <> told_from then
        return (known.place, null, null, false)::corral.result_heard;
    end if;
    update corral.task_results r
    set place = told_to, progress = coalesce(new_progress, r.progress), message = coalesce(new_message, r.message),
        metrics = (
            select coalesce(jsonb_object_agg(key, value), '{}')
            from (
                select key, value
                from (
                    select key, value, 0 as position from jsonb_each(r.metrics)
                    union all
                    select n.name, to_jsonb(n.value), n.position
                    from unnest(names, measured) with ordinality as n (name, value, position)
                ) every_value
                where position = 0 or position in (
                    select max(position) from unnest(names) with ordinality as m (name, position) group by name)
                order by position
                limit 100
            ) newest),
        faults = r.faults + new_faults, fault = case when r.fault = '' then new_fault else r.fault end,
        updated_at = clock_timestamp()
    where r.task_id = task.id;
    -- Clocks of nodes may be wrong, and a partition must be there: told now, or at most an hour ago. Read at one
    -- instant, they stay in the order in which they were told.
    insert into corral.job_metrics (at, job_id, task_id, node_id, name, value, labels)
    select
        least(greatest(to_timestamp(p.at), now() - interval '1 hour'), now()) + p.position * interval '1 microsecond',
        task.job_id, task.id, task.node_id,
        p.name, p.value, jsonb_strip_nulls(jsonb_build_object('step', p.step, 'fence', attempt))
    from unnest(names, measured, steps, heard_at) with ordinality as p (name, value, step, at, position);
    return (told_to, task.username, task.state, known.faults = 0 and new_faults > 0)::corral.result_heard;
end $$;
