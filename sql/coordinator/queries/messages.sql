-- name: by_message_keys
-- The jobs that came by messages of these owners under these keys.
select asked.owner, asked.key, j.number, j.id, m.digest, j.total
from unnest($1::text[], $2::text[]) as asked (owner, key)
    join corral.users o on o.username = asked.owner
    join corral.message_keys m on m.user_id = o.id and m.key = asked.key
    join corral.jobs j on j.id = m.job_id;

-- name: by_dedupe_keys
-- The jobs that these owners submitted under these keys of their own.
select asked.owner, asked.key, j.number, j.id, d.digest, j.total
from unnest($1::text[], $2::text[]) as asked (owner, key)
    join corral.users o on o.username = asked.owner
    join corral.dedupe_keys d on d.user_id = o.id and d.key = asked.key
    join corral.jobs j on j.id = d.job_id;
