-- Every rank of a gang tells for itself: how far it is, its metrics and its lines of the log, each from a place in a file
-- of its own. What rank 0 tells stays what the task tells.

alter table corral.task_results
    add column rank smallint not null default 0 check (rank between 0 and 1023),
    add column step bigint,
    drop constraint task_results_pkey,
    add primary key (task_id, rank);
comment on table corral.task_results is
    'How far the newest attempt of a task is, and the newest value of each of its metrics; of a gang, by rank: the row of rank 0 is the task''s';
comment on column corral.task_results.step is 'That its newest value with a step belongs to';
comment on column corral.task_results.logged is
    'Of rank 0: lines that came for corral.task_logs on the day `logged_on` (UTC), of all attempts and ranks: what bounds them';

alter table corral.job_metrics add column rank smallint not null default 0;
comment on column corral.job_metrics.rank is 'Of a gang, which of its ranks told it';
create or replace view corral.my_job_metrics with (security_barrier = true) as
select m.* from corral.job_metrics m join corral.jobs j on j.id = m.job_id
where corral.session_sees_all() or j.user_id = corral.session_user_id();

-- The newest values of one rank, past those of the others; the first two columns are the index that was there.
create index job_metrics_task_rank on corral.job_metrics (task_id, name, rank, at desc);
drop index corral.job_metrics_task_name;

alter table corral.task_logs add column rank smallint not null default 0;
comment on column corral.task_logs.rank is 'Of a gang, which of its ranks logged it';
create or replace view corral.my_task_logs with (security_barrier = true) as
select l.* from corral.task_logs l
where corral.session_sees_all() or l.user_id = corral.session_user_id();

-- As before, for a rank: lines of all ranks are counted in the row of rank 0, for it is the task that is bounded.
drop function corral.log_task(bigint, integer, integer, text, text[], text[], double precision[]);

create function corral.log_task(
    of_job bigint, of_index integer, of_rank smallint, attempt integer, on_node text,
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
        join corral.attempts a on a.task_id = t.id and a.rank = of_rank and a.fence = attempt
    where j.number = of_job and a.node_name = on_node;
    if not found then
        return false;
    end if;
    insert into corral.task_results as r (task_id, rank, fence, logged, logged_on)
    values (task.id, 0, attempt, cardinality(texts), today)
    on conflict (task_id, rank) do update
        set logged = cardinality(texts) + case when r.logged_on = today then r.logged else 0 end, logged_on = today
    returning r.logged - cardinality(texts) into before;
    -- Clocks of nodes may be wrong, and a partition must be there: as in hear_result.
    insert into corral.task_logs (
        at, task_id, node_id, severity, message, job_number, task_index, rank, fence, node_name, user_id)
    select
        least(greatest(to_timestamp(l.at), now() - interval '1 hour'), now()) + l.position * interval '1 microsecond',
        task.id, task.node_id, l.severity, l.message, of_job, of_index, of_rank, attempt, on_node, task.user_id
    from unnest(severities, texts, said_at) with ordinality as l (severity, message, at, position)
    where before + l.position <= most
    union all
    select
        now() + (cardinality(texts) + 1) * interval '1 microsecond', task.id, task.node_id, 'warning',
        'a task has ' || to_char(most, 'FM9,999') || ' lines a day: what it logs from here on is not kept',
        of_job, of_index, of_rank, attempt, on_node, task.user_id
    where before <= most and before + cardinality(texts) > most;
    return true;
end $$;

-- As before, of the rank that speaks, from the node that it is at.
drop function corral.hear_result(
    text, bigint, integer, integer, bigint, bigint, real, text, integer, text, text[], double precision[], bigint[],
    double precision[], text[], text[], double precision[]);

create function corral.hear_result(
    node text, job_number bigint, task_index integer, of_rank smallint, attempt integer,
    told_from bigint, told_to bigint, new_progress real, new_message text, new_faults integer, new_fault text,
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
        join corral.attempts a on a.task_id = t.id and a.rank = of_rank and a.fence = attempt
        join corral.users o on o.id = j.user_id
    where j.number = job_number and t.fence = attempt and a.node_name = node
        and a.state not in ('lost', 'returned');
    if not found then
        return (-1, null, null, false)::corral.result_heard;
    end if;
    insert into corral.task_results as r (task_id, rank, fence) values (task.id, of_rank, attempt)
    on conflict (task_id, rank) do update
        set fence = attempt, place = 0, progress = null, step = null, message = '', metrics = '{}', faults = 0, fault = ''
        where r.fence < attempt;
    select * into known from corral.task_results r where r.task_id = task.id and r.rank = of_rank for update;
    if known.fence <> attempt then
        return (-1, null, null, false)::corral.result_heard;
    end if;
    if known.place <> told_from then
        return (known.place, null, null, false)::corral.result_heard;
    end if;
    update corral.task_results r
    set place = told_to, progress = coalesce(new_progress, r.progress), message = coalesce(new_message, r.message),
        step = coalesce((
            select s.step from unnest(steps) with ordinality as s (step, position)
            where s.step is not null
            order by s.position desc
            limit 1), r.step),
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
    where r.task_id = task.id and r.rank = of_rank;
    -- Clocks of nodes may be wrong, and a partition must be there: told now, or at most an hour ago. Read at one
    -- instant, they stay in the order in which they were told.
    insert into corral.job_metrics (at, job_id, task_id, rank, node_id, name, value, labels)
    select
        least(greatest(to_timestamp(p.at), now() - interval '1 hour'), now()) + p.position * interval '1 microsecond',
        task.job_id, task.id, of_rank, task.node_id,
        p.name, p.value, jsonb_strip_nulls(jsonb_build_object('step', p.step, 'fence', attempt))
    from unnest(names, measured, steps, heard_at) with ordinality as p (name, value, step, at, position);
    if cardinality(texts) > 0 then
        perform corral.log_task(job_number, task_index, of_rank, attempt, node, severities, texts, said_at);
    end if;
    return (told_to, task.username, task.state, known.faults = 0 and new_faults > 0)::corral.result_heard;
end $$;
