-- name: put_session
-- The newest that is known about an attempt; what is not said stays as it was.
insert into local_sessions
    (session_id, job, task_index, fence, status, pid, started_at, ended_at, resource_limits, boot_id,
     start_ticks, cgroup)
values
    (:session_id, :job, :task_index, :fence, :status, :pid, :started_at, :ended_at, :resource_limits, :boot_id,
     :start_ticks, :cgroup)
on conflict (session_id) do update set
    status = excluded.status,
    pid = coalesce(excluded.pid, pid),
    started_at = coalesce(excluded.started_at, started_at),
    start_ticks = max(excluded.start_ticks, start_ticks),
    cgroup = excluded.cgroup,
    ended_at = coalesce(excluded.ended_at, ended_at);

-- name: live_sessions
-- What was not over when this file was last written; processes of another boot are gone.
select
    job,
    task_index,
    fence,
    case when boot_id = :boot_id then coalesce(pid, 0) else 0 end,
    started_at,
    case when boot_id = :boot_id then start_ticks else 0 end
from local_sessions where status <> 'ended';

-- name: newest_fences
-- The newest fence of each task that is remembered, the most recent tasks last.
select job, task_index, max(fence) from local_sessions
group by job, task_index
order by max(coalesce(ended_at, 1e18));

-- name: oldest_ended
-- Tombstones that nobody needs: beyond the newest :keep, or ended before :before.
select session_id, job, task_index, fence from local_sessions
where status = 'ended' and ended_at < max(
    :before,
    coalesce(
        (select ended_at from local_sessions where status = 'ended' order by ended_at desc limit 1 offset :keep),
        0
    )
)
order by ended_at
limit :limit;

-- name: remove_session
-- Forget an attempt.
delete from local_sessions where session_id = :session_id;
