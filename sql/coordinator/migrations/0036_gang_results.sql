-- What a gang tells comes from where its rank 0 is: a node with another of its ranks is not heard.

create or replace function corral.hear_result(
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
    return (told_to, task.username, task.state, known.faults = 0 and new_faults > 0)::corral.result_heard;
end $$;
