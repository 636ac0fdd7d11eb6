"""Declared networks and interfaces: what the tables take, and in which network an interface is."""

from __future__ import annotations

import pytest

from tests.contract.conftest import Contract

CARD = (
    "insert into corral.network_interfaces (node_id, name, mac, ip, kind, speed_mbps, topology_id)"
    " values ($1, $2, '02:00:00:00:00:01', $3::text::inet, $4, $5, corral.topology_of($3::text::inet))"
)
NETWORK = (
    "insert into corral.network_topologies (name, network_type, subnet, bandwidth_mbps)"
    " values ($1, $2, $3::text::cidr, $4)"
)
PLACES = (
    "select t.name from corral.network_interfaces i"
    " left join corral.network_topologies t on t.id = i.topology_id order by i.name"
)


@pytest.mark.contract("S2.73")
async def test_topologies_are_refused_where_they_make_no_sense(corral: Contract) -> None:
    await corral.run(NETWORK, "lab", "ethernet", "10.1.0.0/16", 10_000)
    for kind in ("infiniband", "roce", "omni_path"):
        await corral.run(NETWORK, kind, kind, f"10.2.{len(kind)}.0/24", 1)
    await corral.refused(NETWORK, "lab", "ethernet", "10.3.0.0/16", 1)
    await corral.refused(NETWORK, "other", "ethernet", "10.1.0.0/16", 1)
    await corral.refused(NETWORK, "ring", "token_ring", "10.4.0.0/16", 1)
    await corral.refused(NETWORK, "bits", "ethernet", "10.4.0.1/16", 1)
    await corral.refused(NETWORK, "none", "ethernet", "10.4.0.0/16", None)
    await corral.refused(NETWORK, "zero", "ethernet", "10.4.0.0/16", 0)
    await corral.refused("update corral.network_topologies set vlan_id = 4095 where name = 'lab'")
    await corral.refused("update corral.network_topologies set mtu = 67 where name = 'lab'")
    await corral.refused("update corral.network_topologies set latency_ms = -1 where name = 'lab'")
    row = (
        await corral.rows(
            "select mtu, qos_policies::text, security_policies::text from corral.network_topologies"
        )
    )[0]
    assert tuple(row) == (1500, "{}", "{}")


@pytest.mark.contract("S2.74")
async def test_interfaces_are_in_the_narrowest_network(corral: Contract) -> None:
    node = await corral.node()
    await corral.run(NETWORK, "wide", "ethernet", "10.1.0.0/16", 1)
    await corral.run(NETWORK, "narrow", "ethernet", "10.1.7.0/24", 1)
    for name, ip in (("a", "10.1.7.5"), ("b", "10.1.8.5"), ("c", "10.9.0.1"), ("d", None)):
        await corral.run(CARD, node, name, ip, "data", 1000)
    assert await corral.rows(PLACES) == [("narrow",), ("wide",), (None,), (None,)]
    await corral.run("delete from corral.network_topologies where name = 'narrow'")
    assert await corral.rows(PLACES) == [(None,), ("wide",), (None,), (None,)]
    await corral.run("delete from corral.nodes where id = $1", node)
    assert await corral.value("select count(*) from corral.network_interfaces") == 0


@pytest.mark.contract("S2.74", "S2.75")
async def test_interfaces_are_refused_where_they_make_no_sense(corral: Contract) -> None:
    node = await corral.node()
    for name, kind in (("a", "management"), ("b", "data"), ("c", "storage"), ("d", "cluster")):
        await corral.run(CARD, node, name, None, kind, 0)
    await corral.refused(CARD, node, "a", None, "data", 0)
    await corral.refused(CARD, node, "e", None, "fast", 0)
    await corral.refused(CARD, node, "e", None, "data", -1)
    await corral.refused(CARD, node, "e", None, "data", None)
    for wrong in ("mac = null", "status = 'maybe'", "duplex = 'both'", "mtu = -1", "name = null"):
        await corral.refused(f"update corral.network_interfaces set {wrong} where name = 'a'")
