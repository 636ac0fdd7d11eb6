-- name: ensure
-- Make a user, or bring an existing one to this role.
insert into corral.users (username, role) values ($1, $2)
on conflict (username) do update set role = excluded.role, updated_at = clock_timestamp()
returning id;

-- name: by_name
-- One user.
select id, username, role, status = 'active' as active from corral.users where username = $1;

-- name: every
-- All users.
select id, username, role, status = 'active' as active from corral.users order by username;

-- name: activity
-- When each last did what is on record (came in, submitted, steered), and the jobs that failed in the last day.
select u.username, greatest(
        (select a.at from corral.audit a where a.actor = u.username order by a.at desc limit 1),
        (select j.created_at from corral.jobs j where j.user_id = u.id order by j.number desc limit 1)) as seen_at,
    coalesce(f.failed, 0) as failed
from corral.users u left join (
    select user_id, count(*) as failed from corral.jobs
    where state = 'failed' and ended_at > clock_timestamp() - interval '1 day'
    group by user_id) f on f.user_id = u.id;
