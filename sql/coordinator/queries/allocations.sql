-- name: open_allocations!
-- What attempts now hold of their nodes, a row a resource. Holding it already is fine.
insert into corral.allocations (task_id, rank, fence, resource, node_id, amount, allocated_at)
select u.task_id, u.rank, u.fence, r.resource, u.node_id, r.amount, clock_timestamp()
from unnest(
    $1::uuid[], $2::integer[], $3::integer[], $4::uuid[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
    $9::bigint[]
) as u (task_id, rank, fence, node_id, cpu, memory, gpu, storage, network)
    cross join lateral (values
        ('cpu', u.cpu), ('memory', u.memory), ('gpu', u.gpu), ('storage', u.storage), ('network', u.network)
    ) as r (resource, amount)
where r.amount > 0
on conflict (task_id, rank, fence, resource) do nothing;

-- name: close_allocations!
-- Attempts that hold nothing any more. Not asking for status: its index would be walked instead of the key's.
update corral.allocations a
set status = 'released', released_at = clock_timestamp()
from unnest($1::uuid[], $2::integer[], $3::integer[]) as u (task_id, rank, fence)
where a.task_id = u.task_id and a.rank = u.rank and a.fence = u.fence and a.released_at is null;
