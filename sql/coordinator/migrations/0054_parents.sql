-- Jobs that tasks submitted: whose they are, to be asked for, and as a key of their rows.

-- As the core reads it (coordinator/core/checks.py); null: no task is named.
create function corral.parent_job(spec jsonb) returns bigint
language sql immutable parallel safe
return case
    when spec ->> 'parent' ~ '^[1-9][0-9]{0,17}\.[0-9]{1,7}\Z' then split_part(spec ->> 'parent', '.', 1)::bigint
end;

-- The rows are written anew, which some servers refuse while a function takes one of them. Made again below, as it was.
drop function corral.about_job(corral.jobs);

alter table corral.jobs
    add column parent text generated always as (
        corral.parent_job(spec) || '.' || split_part(spec ->> 'parent', '.', 2)::integer) stored,
    add column parent_job bigint generated always as (corral.parent_job(spec)) stored;
comment on column corral.jobs.parent is 'The task that submitted it, as 1042.7';
comment on column corral.jobs.parent_job is 'The number of that task''s job';
create index jobs_parent on corral.jobs (parent_job) where parent_job is not null;

alter table corral.jobs_archive
    add column parent text generated always as (
        corral.parent_job(spec) || '.' || split_part(spec ->> 'parent', '.', 2)::integer) stored,
    add column parent_job bigint generated always as (corral.parent_job(spec)) stored;
create index jobs_archive_parent on corral.jobs_archive (parent_job) where parent_job is not null;

create function corral.about_job(j corral.jobs) returns jsonb
language sql stable
return jsonb_build_object('job', jsonb_build_object(
    'number', j.number, 'id', j.id, 'name', j.name, 'state', j.state, 'reason', j.reason,
    'user', (select u.username from corral.users u where u.id = j.user_id),
    'exit', j.exit_code, 'tasks', j.total, 'completed', j.completed, 'failed', j.failed, 'cancelled', j.cancelled,
    'submitted_at', corral.rfc3339(j.created_at), 'started_at', corral.rfc3339(j.started_at),
    'ended_at', corral.rfc3339(j.ended_at),
    'metadata', case when pg_column_size(j.metadata) <= 8192 then j.metadata end));

-- Until now the rows did not say it. Those whose parent is in the archive already stay without. Not as a change of theirs:
-- they were as they are.
alter table corral.tasks disable trigger tasks_touch;
update corral.tasks t
set parent_task_id = p.id
from corral.jobs j
    join corral.jobs above on above.number = j.parent_job
    join corral.tasks p on p.job_id = above.id and p.count = 1 and p.index = split_part(j.parent, '.', 2)::integer
where j.parent_job is not null and j.parent_job <> j.number and t.job_id = j.id;
alter table corral.tasks enable trigger tasks_touch;
comment on column corral.tasks.parent_task_id is
    'The task that submitted its job. The archive takes a job only when those that came from it have gone';

alter type corral.task_row add attribute parent_id uuid;

create or replace function corral.insert_tasks(tasks corral.task_row[]) returns void
language plpgsql
as $$
declare
    written bigint;
begin
    with new as (
        select
            u.*, n.id as node_id, to_timestamp(u.created) as created_at,
            case when u.started is not null then to_timestamp(greatest(u.started, u.created)) end as started_at,
            case when u.completed is not null
                then to_timestamp(greatest(u.completed, u.started, u.created)) end as completed_at
        from unnest(tasks) u left join corral.nodes n on n.name = u.node
    ), inserted as (
        insert into corral.tasks (
            id, job_id, index, count, remaining, range_id, parent_task_id, group_name, type, input, parameters, priority,
            cpu_millis, mem_mib, gpus, gpu_milli, gpu_type, gpu_mem_mib, storage_mib, net_mbps, max_retries, version,
            state, path, node_id, fence, retries, exit_code, signal, error_message, output, created_at, updated_at,
            started_at, completed_at)
        select
            id, job_id, index, count, remaining, range_id, parent_id, group_name, type, input, parameters, priority,
            cpu_millis, mem_mib, gpus, gpu_milli, gpu_type, gpu_mem_mib, storage_mib, net_mbps, max_retries, version,
            path[cardinality(path)], path, node_id, fence, retries, exit_code, signal, nullif(message, ''), output,
            created_at, greatest(to_timestamp(changed), created_at), started_at, completed_at
        from new
        returning 1
    ), events as (
        insert into corral.task_events (task_id, version, step, at, old_state, new_state, node_id, fence)
        select id, version, step, to_timestamp(changed), path[step], path[step + 1], node_id, fence
        from new, generate_series(1, cardinality(path) - 1) as step
    )
    select count(*) into written from inserted;
    perform corral.expect(written, cardinality(tasks), 'new tasks');
end $$;
