-- People at the moment $1, and what their work had used by then.

-- name: people
-- Everybody who had come in, with the jobs of theirs that failed in the day before, and when each was last on record.
select
    u.username as name, u.role, u.status = 'active' as active,
    (select count(*) from corral.jobs j
     where j.user_id = u.id and j.state = 'failed' and j.ended_at <= to_timestamp($1)
         and j.ended_at > to_timestamp($1) - interval '1 day')::integer as failed,
    greatest(
        (select a.at from corral.audit a
         where a.actor = u.username and a.at <= to_timestamp($1) order by a.at desc limit 1),
        (select j.created_at from corral.jobs j
         where j.user_id = u.id and j.created_at <= to_timestamp($1) order by j.number desc limit 1)) as seen
from corral.users u
where u.created_at <= to_timestamp($1)
order by u.username;

-- name: used
-- The integral of each job's dominant share over the time that its attempts ran, where what was t seconds ago counts
-- 2^(-t / $2); what ended more than $3 seconds before is left out. $4 to $8: the whole cluster.
select o.username as name, sum(spent.part) as usage
from (
    select t.job_id, greatest(
            sum(a.cpu_millis * w.seconds) / nullif($4::float8, 0),
            sum(a.mem_mib * w.seconds) / nullif($5::float8, 0),
            sum((a.gpus * 1000 + a.gpu_milli) * w.seconds) / nullif($6::float8, 0),
            sum(a.storage_mib * w.seconds) / nullif($7::float8, 0),
            sum(a.net_mbps * w.seconds) / nullif($8::float8, 0)) as part
    from corral.attempts a
        join corral.tasks t on t.id = a.task_id
        cross join lateral (
            select $2::float8 / ln(2) * (
                exp(-ln(2) * ($1::float8 - extract(epoch from least(a.ended_at, to_timestamp($1)))::float8) / $2)
                - exp(-ln(2) * ($1::float8 - extract(epoch from greatest(a.started_at, a.assigned_at))::float8) / $2)
            ) as seconds
        ) w
    where a.started_at < to_timestamp($1) and a.assigned_at < to_timestamp($1)
        and (a.ended_at is null or a.ended_at > greatest(a.started_at, to_timestamp($1) - $3 * interval '1 second'))
    group by t.job_id
) spent
    join corral.jobs j on j.id = spent.job_id
    join corral.users o on o.id = j.user_id
group by o.username;
