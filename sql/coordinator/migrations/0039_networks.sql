-- What agents find out about their network interfaces, and in which declared network each of them is.

alter table corral.network_interfaces
    add column mtu integer not null default 0 check (mtu >= 0),
    add column link text not null default '',
    add column carries_bus boolean not null default false,
    add column needed boolean not null default false;
comment on column corral.network_interfaces.mtu is 'In bytes; 0: unknown';
comment on column corral.network_interfaces.needed is 'Without its link the node is degraded';

alter table corral.network_topologies
    add column created_by text not null default '',
    add constraint network_topologies_one_a_subnet unique (subnet);

-- The narrowest declared network that an address is in; null: none.
create function corral.topology_of(address inet) returns uuid
language sql stable
as $$
    select t.id from corral.network_topologies t
    where address <<= t.subnet
    order by masklen(t.subnet) desc
    limit 1
$$;
