-- name: put_config
-- Set a value for good.
insert into local_config (key, value, updated_at) values (:key, :value, :now)
on conflict (key) do update set value = excluded.value, updated_at = excluded.updated_at;

-- name: get_config
-- One value.
select value from local_config where key = :key;
