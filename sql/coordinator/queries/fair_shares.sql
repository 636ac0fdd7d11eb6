-- name: put!
-- An account as it was settled, or as an admin set it.
insert into corral.fair_shares (user_id, shares, usage_s, settled_at)
select id, $2, $3, to_timestamp($4) from corral.users where username = $1
on conflict (user_id) do update
set shares = excluded.shares, usage_s = excluded.usage_s, settled_at = excluded.settled_at;

-- name: every
-- All accounts.
select u.username as owner, f.shares, f.usage_s as usage, extract(epoch from f.settled_at)::double precision as at
from corral.fair_shares f join corral.users u on u.id = f.user_id
order by u.username;
