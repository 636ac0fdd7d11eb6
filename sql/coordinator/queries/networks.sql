-- Declared networks. What changes something writes its row of the audit in the same statement.

-- name: every
-- By name.
select name, network_type, subnet::text, vlan_id, bandwidth_mbps, latency_ms::double precision as latency_ms, mtu,
    coalesce((qos_policies ->> 'task_share_percent')::integer, 100) as share, created_by, extract(epoch from created_at)::double precision as created_at
from corral.network_topologies order by name;

-- name: add
-- A network that is there now.
with made as (
    insert into corral.network_topologies (
        name, network_type, subnet, vlan_id, bandwidth_mbps, latency_ms, mtu, created_by, qos_policies)
    values (
        $1, $2, $3::text::cidr, $4, $5, $6::double precision, $7, $8,
        case when $9::integer < 100 then jsonb_build_object('task_share_percent', $9::integer) else '{}' end)
    returning name, subnet)
insert into corral.audit (actor, action, object, details)
select $8, 'topology.create', name, jsonb_build_object('subnet', subnet::text) from made;

-- name: remove
-- Its interfaces are in no network, or in a wider one.
with gone as (delete from corral.network_topologies where name = $1 returning name)
insert into corral.audit (actor, action, object) select $2, 'topology.remove', name from gone;

-- name: place!
-- Every interface into the narrowest network that has its address.
update corral.network_interfaces set topology_id = corral.topology_of(ip)
where topology_id is distinct from corral.topology_of(ip);
