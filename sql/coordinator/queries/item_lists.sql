-- Lists of items that the `for_each` of jobs points to, by the hash of their text; their jobs' specs name them in `lists`.

-- name: keep!
-- A list, from now on not to be dropped for a while; twice is fine.
insert into corral.item_lists (sha256, items, blocks) values ($1, $2, $3::bytea[])
on conflict (sha256) do update set kept_at = now()
returning sha256;

-- name: find
-- One, not to be dropped for a while.
update corral.item_lists set kept_at = now() where sha256 = $1 returning sha256, items, blocks;

-- name: of_live
-- All that jobs that are not over name.
select l.sha256, l.items, l.blocks
from corral.item_lists l
where l.sha256 in (
    select named.value ->> 'sha256'
    from corral.jobs j cross join lateral jsonb_each(j.spec -> 'lists') as named
    where j.spec ? 'lists' and j.state not in ('completed', 'failed', 'cancelled'));

-- name: of_job
-- All that the job $1 names.
select l.sha256, l.items, l.blocks
from corral.jobs j cross join lateral jsonb_each(j.spec -> 'lists') as named
    join corral.item_lists l on l.sha256 = named.value ->> 'sha256'
where j.number = $1;

-- name: drop
-- Those that no job names any more, and that nobody has submitted within the last $1 seconds.
delete from corral.item_lists l
where l.kept_at < now() - make_interval(secs => $1)
    and l.sha256 not in (
        select named.value ->> 'sha256'
        from corral.jobs j cross join lateral jsonb_each(j.spec -> 'lists') as named
        where j.spec ? 'lists')
returning l.sha256;
