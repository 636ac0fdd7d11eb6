-- Which tasks of a job completed, for jobs that run after it task by task; the archive keeps it, its tasks it does not.

-- Those that have a row of their own: whoever completed has one.
create function corral.completed_tasks(job uuid) returns int4multirange
language sql stable parallel safe set search_path = corral, pg_temp
return (
    select coalesce(range_agg(int4range(t.index, t.index + 1)), '{}')
    from corral.tasks t
    where t.job_id = job and t.count = 1 and t.state = 'completed');

alter table corral.jobs_archive add column completed_tasks int4multirange;
comment on column corral.jobs_archive.completed_tasks is
    'Of a job of at most 100,000 tasks that did not complete: the indices of those that did';
