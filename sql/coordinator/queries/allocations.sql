-- name: open_allocations!
-- What attempts now hold of their nodes, a row a resource. Holding it already is fine.
insert into corral.allocations (task_id, rank, fence, resource, node_id, amount, allocated_at)
select u.task_id, 0, u.fence, r.resource, u.node_id, r.amount, clock_timestamp()
from unnest(
    $1::uuid[], $2::integer[], $3::uuid[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[]
) as u (task_id, fence, node_id, cpu, memory, gpu, storage, network)
    cross join lateral (values
        ('cpu', u.cpu), ('memory', u.memory), ('gpu', u.gpu), ('storage', u.storage), ('network', u.network)
    ) as r (resource, amount)
where r.amount > 0
on conflict (task_id, rank, fence, resource) do nothing;

-- name: close_allocations!
-- Attempts that hold nothing any more.
update corral.allocations a
set status = 'released', released_at = clock_timestamp()
from unnest($1::uuid[], $2::integer[]) as u (task_id, fence)
where a.task_id = u.task_id and a.rank = 0 and a.fence = u.fence and a.status = 'active';
