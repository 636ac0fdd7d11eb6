-- name: upsert_node!
-- A node as registered.
insert into corral.nodes (
    id, name, hostname, ip, kind, roles, health, admin, cpu_cores, cpu_model, gpu_mem_mib, architecture, os_version,
    kernel_version, container_runtimes, labels, capabilities, inventory, tools, last_heartbeat_at, admin_reason,
    admin_by, admin_at, admin_goal, admin_deadline, agent_labels, set_labels)
values ($1, $2, $3, $4::text::inet, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15::text::jsonb, $16::text::jsonb || $26::text::jsonb,
        $17::text::jsonb, $18::text::jsonb, $19, to_timestamp($20), $21, $22, to_timestamp($23), $24, to_timestamp($25),
        $16::text::jsonb, $26::text::jsonb)
on conflict (id) do update
set hostname = excluded.hostname, ip = excluded.ip, kind = excluded.kind, roles = excluded.roles,
    health = excluded.health, admin = excluded.admin, cpu_cores = excluded.cpu_cores,
    cpu_model = excluded.cpu_model, gpu_mem_mib = excluded.gpu_mem_mib, architecture = excluded.architecture,
    os_version = excluded.os_version, kernel_version = excluded.kernel_version,
    container_runtimes = excluded.container_runtimes, labels = excluded.labels,
    capabilities = excluded.capabilities, inventory = excluded.inventory, tools = excluded.tools,
    admin_reason = excluded.admin_reason, admin_by = excluded.admin_by, admin_at = excluded.admin_at,
    admin_goal = excluded.admin_goal, admin_deadline = excluded.admin_deadline,
    agent_labels = excluded.agent_labels, set_labels = excluded.set_labels,
    last_heartbeat_at = greatest(nodes.last_heartbeat_at, excluded.last_heartbeat_at);

-- name: upsert_agent!
-- The process that registered, or whose node's row is written whole again for another reason.
insert into corral.agents (id, node_id, version, incarnation, boot_id, last_seen_at, status)
values ($1, $2, $3, $4, $5, to_timestamp($6), case when $7 = 'unreachable' then 'inactive' else 'active' end)
on conflict (id) do update
set node_id = excluded.node_id, version = excluded.version, incarnation = excluded.incarnation,
    boot_id = excluded.boot_id, status = excluded.status,
    last_seen_at = greatest(agents.last_seen_at, excluded.last_seen_at);

-- name: replace_capabilities!
-- What the agent can now, as its own tests showed; "verified" is when it first passed them all.
with reported as (
    select e.key as capability, least(greatest((e.value ->> 'level')::numeric, 0), 1) as level,
        coalesce((e.value ->> 'verified')::boolean, false) as verified, coalesce(e.value ->> 'fault', '') as fault
    from jsonb_each($2::text::jsonb) as e
), gone as (
    delete from corral.agent_capabilities where agent_id = $1 and capability not in (select capability from reported)
)
insert into corral.agent_capabilities (agent_id, capability, level, verified_at, fault)
select $1, capability, level, case when verified then clock_timestamp() end, fault from reported
on conflict (agent_id, capability) do update
set level = excluded.level, fault = excluded.fault,
    verified_at = case when excluded.verified_at is null then null else coalesce(agent_capabilities.verified_at, excluded.verified_at) end;

-- name: name_types!
-- Of which standard types the agent is, by what it can.
update corral.agents a
set types = coalesce((
    select array_agg(distinct t.agent_type order by t.agent_type)
    from corral.agent_capabilities c join corral.task_types t on t.name = c.capability and t.standard
    where c.agent_id = a.id and c.verified_at is not null), '{}')
where a.id = $1;

-- name: upsert_capacity!
-- Five rows a node. One that comes back smaller than what its attempts still hold keeps that much until they end.
insert into corral.node_resources (node_id, resource, total, allocated)
select $1, r.resource, greatest(r.total, r.allocated), r.allocated
from (values
    ('cpu', $2::bigint, $7::bigint), ('memory', $3, $8), ('gpu', $4, $9), ('storage', $5, $10), ('network', $6, $11)
) as r (resource, total, allocated)
on conflict (node_id, resource) do update
set total = greatest(excluded.total, excluded.allocated + node_resources.reserved), allocated = excluded.allocated,
    updated_at = clock_timestamp();

-- name: replace_gpus!
-- The GPUs that the node has now.
with reported as (
    select *
    from jsonb_to_recordset($2::text::jsonb) as g (
        uuid text, model text, mem_mib bigint, healthy boolean, shareable boolean)
), gone as (
    delete from corral.gpus where node_id = $1 and uuid not in (select uuid from reported)
)
insert into corral.gpus (node_id, uuid, model, mem_mib, healthy, shareable)
select $1, uuid, model, mem_mib, coalesce(healthy, true), coalesce(shareable, false) from reported
on conflict (node_id, uuid) do update
set model = excluded.model, mem_mib = excluded.mem_mib, healthy = excluded.healthy, shareable = excluded.shareable;

-- name: count_gpus!
-- What of them is taken: those that are new here may be old ones that were away.
select corral.count_gpus(array[$1]::uuid[]);

-- name: replace_quarantines!
-- Those of its GPUs that are given to nobody, or were.
with kept as (
    select *
    from jsonb_to_recordset($2::text::jsonb) as q (
        uuid text, kind text, reason text, at double precision, by text, released_at double precision,
        released_by text, forgiven text[])
), gone as (
    delete from corral.gpu_quarantines where node_id = $1 and uuid not in (select uuid from kept)
)
insert into corral.gpu_quarantines (
    node_id, uuid, kind, reason, quarantined_at, quarantined_by, released_at, released_by, forgiven)
select $1, uuid, kind, reason, to_timestamp(at), by, to_timestamp(released_at), released_by, forgiven from kept
on conflict (node_id, uuid) do update
set kind = excluded.kind, reason = excluded.reason, quarantined_at = excluded.quarantined_at,
    quarantined_by = excluded.quarantined_by, released_at = excluded.released_at,
    released_by = excluded.released_by, forgiven = excluded.forgiven;

-- name: replace_interfaces!
-- The network interfaces that the node has now, each in the narrowest network that is declared for its address.
with reported as (
    select *
    from jsonb_to_recordset($2::text::jsonb) as i (
        name text, mac macaddr, ip inet, kind text, speed_mbps integer, duplex text, status text, driver text,
        firmware_version text, pci_slot text, numa_node integer, mtu integer, link text, carries_bus boolean,
        needed boolean)
), gone as (
    delete from corral.network_interfaces where node_id = $1 and name not in (select name from reported)
)
insert into corral.network_interfaces (
    node_id, topology_id, name, mac, ip, kind, speed_mbps, duplex, status, driver, firmware_version, pci_slot,
    numa_node, mtu, link, carries_bus, needed)
select $1, corral.topology_of(r.ip), r.name, r.mac, r.ip, r.kind, r.speed_mbps, r.duplex, r.status, r.driver,
    r.firmware_version, r.pci_slot, r.numa_node, r.mtu, r.link, r.carries_bus, r.needed
from reported r
on conflict (node_id, name) do update
set topology_id = excluded.topology_id, mac = excluded.mac, ip = excluded.ip, kind = excluded.kind,
    speed_mbps = excluded.speed_mbps, duplex = excluded.duplex, status = excluded.status, driver = excluded.driver,
    firmware_version = excluded.firmware_version, pci_slot = excluded.pci_slot, numa_node = excluded.numa_node,
    mtu = excluded.mtu, link = excluded.link, carries_bus = excluded.carries_bus, needed = excluded.needed;

-- name: every
-- All nodes as the coordinator keeps them.
select
    n.name, n.id, coalesce(a.incarnation, '') as incarnation, coalesce(a.boot_id, '') as boot_id,
    coalesce(a.version, '') as version, n.inventory::text, n.kind, n.agent_labels::text, n.set_labels::text, n.roles, n.tools, n.health, n.admin,
    extract(epoch from n.last_heartbeat_at)::double precision as last_heartbeat_at,
    n.admin_reason, n.admin_by, extract(epoch from n.admin_at)::double precision as admin_at,
    n.admin_goal, extract(epoch from n.admin_deadline)::double precision as admin_deadline,
    coalesce((
        select jsonb_object_agg(c.capability, jsonb_build_object(
            'level', c.level, 'verified', c.verified_at is not null, 'fault', c.fault))
        from corral.agent_capabilities c where c.agent_id = n.name), '{}')::text as able,
    coalesce((
        select jsonb_agg(jsonb_build_object(
            'uuid', q.uuid, 'kind', q.kind, 'reason', q.reason, 'at', extract(epoch from q.quarantined_at),
            'by', q.quarantined_by, 'released_at', extract(epoch from q.released_at),
            'released_by', q.released_by, 'forgiven', q.forgiven))
        from corral.gpu_quarantines q where q.node_id = n.id), '[]')::text as quarantines,
    r.total, r.allocated
from corral.nodes n
    left join corral.agents a on a.node_id = n.id and a.id = n.name
    cross join lateral (
        select
            array_agg(s.total order by k.position) as total,
            array_agg(s.allocated order by k.position) as allocated
        from unnest(array['cpu', 'memory', 'gpu', 'storage', 'network']) with ordinality as k (resource, position)
            left join corral.node_resources s on s.node_id = n.id and s.resource = k.resource
    ) r
order by n.name;
