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
