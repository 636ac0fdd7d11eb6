-- What tasks log, as rows that stand alone: each says of whose task, on which node and in which attempt it was, so that
-- it is readable by whom it belongs to when the job and the node are gone.

alter table corral.task_logs
    add column job_number bigint,
    add column task_index integer,
    add column fence integer,
    add column node_name text,
    add column user_id uuid;
comment on table corral.task_logs is
    'What tasks logged by lines of CORRAL_RESULT, and what was noticed of them. No keys: rows outlive jobs and nodes';
create index task_logs_job on corral.task_logs (job_number, task_index, at);

alter table corral.task_results
    add column logged bigint not null default 0 check (logged >= 0),
    add column logged_on date not null default '2000-01-01';
comment on column corral.task_results.logged is
    'Lines that came for corral.task_logs on the day `logged_on` (UTC), of all attempts: what bounds them';

create or replace view corral.my_task_logs with (security_barrier = true) as
select l.* from corral.task_logs l
where corral.session_sees_all() or l.user_id = corral.session_user_id();

-- Keep lines of a task, oldest first; `said_at` are seconds of the Unix epoch. After 5,000 lines of
-- a task and day one more row says that the rest is not kept. Answers false where there is no such attempt.
create function corral.log_task(
    of_job bigint, of_index integer, attempt integer, on_node text,
    severities text[], texts text[], said_at double precision[])
returns boolean
language plpgsql
as $$
declare
    most constant bigint := 5000;
    today constant date := (now() at time zone 'UTC')::date;
    task record;
    before bigint;
begin
    select t.id, j.user_id, a.node_id into task
    from corral.jobs j
        join corral.tasks t on t.job_id = j.id and t.index = of_index and t.count = 1
        join corral.attempts a on a.task_id = t.id and a.fence = attempt
    where j.number = of_job and a.node_name = on_node
    limit 1;
    if not found then
        return false;
    end if;
    insert into corral.task_results as r (task_id, fence, logged, logged_on)
    values (task.id, attempt, cardinality(texts), today)
    on conflict (task_id) do update
        set logged = cardinality(texts) + case when r.logged_on = today then r.logged else 0 end, logged_on = today
    returning r.logged - cardinality(texts) into before;
    -- Clocks of nodes may be wrong, and a partition must be there: as in hear_result.
    insert into corral.task_logs (
        at, task_id, node_id, severity, message, job_number, task_index, fence, node_name, user_id)
    select
        least(greatest(to_timestamp(l.at), now() - interval '1 hour'), now()) + l.position * interval '1 microsecond',
        task.id, task.node_id, l.severity, l.message, of_job, of_index, attempt, on_node, task.user_id
    from unnest(severities, texts, said_at) with ordinality as l (severity, message, at, position)
    where before + l.position <= most
    union all
    select
        now() + (cardinality(texts) + 1) * interval '1 microsecond', task.id, task.node_id, 'warning',
        'a task has ' || to_char(most, 'FM9,999') || ' lines a day: what it logs from here on is not kept',
        of_job, of_index, attempt, on_node, task.user_id
    where before <= most and before + cardinality(texts) > most;
    return true;
end $$;

-- As before, with the lines that the attempt logged.
drop function corral.hear_result(
    text, bigint, integer, integer, bigint, bigint, real, text, integer, text, text[], double precision[], bigint[],
    double precision[]);

create function corral.hear_result(
    node text, job_number bigint, task_index integer, attempt integer, told_from bigint, told_to bigint,
    new_progress real, new_message text, new_faults integer, new_fault text,
    names text[], measured double precision[], steps bigint[], heard_at double precision[],
    severities text[], texts text[], said_at double precision[])
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
        join corral.attempts a on a.task_id = t.id and a.fence = attempt and a.rank = 0
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
    if cardinality(texts) > 0 then
        perform corral.log_task(job_number, task_index, attempt, node, severities, texts, said_at);
    end if;
    return (told_to, task.username, task.state, known.faults = 0 and new_faults > 0)::corral.result_heard;
end $$;
