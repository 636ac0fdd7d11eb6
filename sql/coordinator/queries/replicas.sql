-- name: holders
-- Which nodes have this content ($1).
select b.sha256, n.name as node, b.size_bytes
from corral.blobs b join corral.nodes n on n.id = b.node_id
where b.sha256 = any ($1::text[]) and not b.dropping;

-- name: allowed
-- What of this content ($1) the node ($2) may fetch: what was ordered of it, is of a whole checkpoint of a task ($3,
-- $4) that runs there, or is what its job names.
select h.sha256
from unnest($1::text[]) as h (sha256)
where exists (
        select from corral.replicas r join corral.nodes n on n.id = r.replica_node_id
        where r.blob_sha256 = h.sha256 and n.name = $2)
    or exists (
        select
        from corral.task_content c join corral.tasks t on t.id = c.task_id join corral.jobs j on j.id = t.job_id
        where c.sha256 = h.sha256 and j.number = $3::bigint and t.index = $4::integer)
    or exists (
        select from corral.contents_in_use c where c.sha256 = h.sha256 and c.number = $3::bigint);

-- name: held
-- What a node ($1) found of its content; see corral.hear_held.
select corral.hear_held($1, $2::text[], $3::bigint[], $4::text[]) as counted;

-- name: troubled
-- Content after $2, at most $3, that has not just the copies that it should have. $1: nodes that do not count.
with content as (
    select sha256, max(size_bytes) as size_bytes, max(copies) as copies
    from corral.task_content
    where sha256 > $2
    group by sha256
)
select
    c.sha256, c.size_bytes, c.copies,
    array(
        select n.name from corral.blobs b join corral.nodes n on n.id = b.node_id
        where b.sha256 = c.sha256 and not b.dropping) as holders,
    (select p.name from corral.replicas r join corral.nodes p on p.id = r.primary_node_id
        where r.blob_sha256 = c.sha256 order by r.created_at, r.id limit 1) as primary_node,
    (select coalesce(json_agg(json_build_array(k.name, k.state, k.tries)), '[]')
        from (
            select
                n.name, min(r.state) as state,
                max(case when r.updated_at > now() - interval '10 minutes' then r.tries else 0 end) as tries
            from corral.replicas r join corral.nodes n on n.id = r.replica_node_id
            where r.blob_sha256 = c.sha256
            group by n.name order by n.name) k)::text as places
from content c
    cross join lateral (
        select count(*) as there from corral.blobs b join corral.nodes n on n.id = b.node_id
        where b.sha256 = c.sha256 and not b.dropping and n.name <> all ($1::text[])) h
    cross join lateral (
        select
            count(distinct r.replica_node_id) filter (where r.state = 'active' and n.name <> all ($1::text[])) as active,
            count(*) filter (where r.state <> 'active' and (r.state <> 'failed' or n.name <> all ($1::text[]))) as other
        from corral.replicas r join corral.nodes n on n.id = r.replica_node_id
        where r.blob_sha256 = c.sha256) p
where h.there < least(c.copies, 1) + c.copies or p.active <> c.copies or p.other > 0
order by c.sha256
limit $3;

-- name: under
-- How much content has fewer good copies than it should, on nodes that count (not $1), and how much there is in all.
with content as (
    select sha256, max(copies) as copies, max(size_bytes) as size_bytes from corral.task_content group by sha256
)
select
    count(*) as total,
    count(*) filter (where h.there <= c.copies) as under,
    coalesce(sum(c.size_bytes) filter (where h.there <= c.copies), 0)::bigint as under_bytes,
    count(*) filter (where h.there = 0) as unheld
from content c
    cross join lateral (
        select count(*) as there from corral.blobs b join corral.nodes n on n.id = b.node_id
        where b.sha256 = c.sha256 and not b.dropping and n.name <> all ($1::text[])) h;

-- name: away
-- Nodes that are unreachable.
select name from corral.nodes where health = 'unreachable';

-- name: settle
-- What was planned of some content ($2), while epoch $1 leads: places ($3 hash, $4 primary, $5 node, $6 state); rows
-- of other places go. One row for each task that the content is of.
with leads as (
    select epoch from corral.leadership where epoch = $1
), planned as (
    select distinct c.task_id, w.sha256, p.id as primary_id, n.id as replica_id, w.state
    from unnest($3::text[], $4::text[], $5::text[], $6::text[]) as w (sha256, primary_node, node, state)
        join leads on true
        join corral.nodes p on p.name = w.primary_node
        join corral.nodes n on n.name = w.node
        join corral.task_content c on c.sha256 = w.sha256
), gone as (
    delete from corral.replicas r
    using leads
    where r.blob_sha256 = any ($2::text[])
        and not exists (
            select from planned p
            where p.task_id = r.task_id and p.sha256 = r.blob_sha256 and p.replica_id = r.replica_node_id)
), kept as (
    insert into corral.replicas as r (task_id, blob_sha256, primary_node_id, replica_node_id, state, verified_at)
    select p.task_id, p.sha256, p.primary_id, p.replica_id, p.state, case when p.state = 'active' then now() end
    from planned p
    on conflict (task_id, blob_sha256, replica_node_id) do update
        set primary_node_id = excluded.primary_node_id, state = excluded.state
        where (r.primary_node_id, r.state) is distinct from (excluded.primary_node_id, excluded.state)
)
select exists (select from leads) as leads;

-- name: forget
-- Rows of content that is of no task any more, while epoch $1 leads.
delete from corral.replicas r
where exists (select from corral.leadership where epoch = $1)
    and not exists (
        select from corral.task_content c where c.task_id = r.task_id and c.sha256 = r.blob_sha256)
returning r.id;

-- name: spare
-- The node ($2) may let go of this content ($3): from now on nothing counts on it there. While epoch $1 leads.
update corral.blobs b
set dropping = true
from corral.nodes n
where exists (select from corral.leadership where epoch = $1)
    and n.id = b.node_id and n.name = $2 and b.sha256 = any ($3::text[])
    and not exists (
        select from corral.replicas r
        where r.blob_sha256 = b.sha256 and (r.replica_node_id = n.id or r.primary_node_id = n.id))
    and exists (select from corral.blobs o where o.sha256 = b.sha256 and o.node_id <> b.node_id and not o.dropping)
returning b.sha256;

-- name: dropped
-- The node ($1) has let it go.
delete from corral.blobs b using corral.nodes n
where n.id = b.node_id and n.name = $1 and b.sha256 = any ($2::text[]) and b.dropping
returning b.sha256;

-- name: believed
-- What a node ($1) is believed to have, after $2, at most $3.
select b.sha256
from corral.blobs b join corral.nodes n on n.id = b.node_id
where n.name = $1 and b.sha256 > $2 and not b.dropping
order by b.sha256
limit $3;

-- name: list
-- Copies that may be seen ($1: by whom, null for everybody), of a job ($2) or task ($3), on a node ($4), in a state ($5),
-- from after the cursor ($7) on, at most $6.
select
    r.id::text, r.blob_sha256 as sha256, coalesce(c.size_bytes, 0) as size_bytes, j.number, t.index, p.name as primary_node,
    n.name as node, r.state, r.verified_at, r.created_at, r.tries, r.fault
from corral.replicas r
    join corral.tasks t on t.id = r.task_id
    join corral.jobs j on j.id = t.job_id
    join corral.users u on u.id = j.user_id
    join corral.nodes p on p.id = r.primary_node_id
    join corral.nodes n on n.id = r.replica_node_id
    left join lateral (
        select max(k.size_bytes) as size_bytes from corral.task_content k
        where k.task_id = r.task_id and k.sha256 = r.blob_sha256) c on true
where ($1::text is null or u.username = $1)
    and ($2::bigint is null or j.number = $2)
    and ($3::integer is null or t.index = $3)
    and ($4::text is null or n.name = $4 or p.name = $4)
    and ($5::text is null or r.state = $5)
    and ($7::uuid is null or r.id < $7)
order by r.id desc
limit $6;

-- name: list_under
-- Content with fewer good copies than it should have: not on the nodes $6. $1 to $4 as above, $5 at most, after $7.
select
    c.sha256, max(c.size_bytes) as size_bytes, min(j.number) as number, min(t.index) as index, max(c.copies) as copies,
    array(
        select n.name from corral.blobs b join corral.nodes n on n.id = b.node_id
        where b.sha256 = c.sha256 and not b.dropping and n.name <> all ($6::text[]) order by n.name) as nodes
from corral.task_content c
    join corral.tasks t on t.id = c.task_id
    join corral.jobs j on j.id = t.job_id
    join corral.users u on u.id = j.user_id
where ($1::text is null or u.username = $1)
    and ($2::bigint is null or j.number = $2)
    and ($3::integer is null or t.index = $3)
    and ($4::text is null or exists (
        select from corral.blobs b join corral.nodes n on n.id = b.node_id where b.sha256 = c.sha256 and n.name = $4))
    and c.sha256 > $7
group by c.sha256
having max(c.copies) >= (
    select count(*) from corral.blobs b join corral.nodes n on n.id = b.node_id
    where b.sha256 = c.sha256 and not b.dropping and n.name <> all ($6::text[]))
order by c.sha256
limit $5;
