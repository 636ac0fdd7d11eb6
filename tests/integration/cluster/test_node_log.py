"""What an agent complained of can be read without going to its machine."""

from __future__ import annotations

import pytest

from bus.errors import ApiError
from bus.node_log import NodeLogQuery
from tests.fixtures_cluster import LiveCluster


@pytest.mark.contract("S1.41")
async def test_what_agents_warn_of_is_told_to_operators(cluster: LiveCluster) -> None:
    cluster.kill("coordinator")

    async def complained() -> bool:
        return "not answered" in (cluster.folder / "n1.log").read_text()

    await cluster.until(complained, "its agent misses the coordinator")
    cluster.start_coordinator()
    await cluster.settle()
    async with cluster.client("olga") as olga, cluster.client() as alice:

        async def told() -> bool:
            lines = (await olga.node_log(NodeLogQuery(node="n1"))).lines
            return any("not answered" in line.text for line in lines)

        await cluster.until(told, "it was told once the coordinator was back")
        (newest,) = (await olga.node_log(NodeLogQuery(node="n1", limit=1))).lines
        before = await olga.node_log(NodeLogQuery(node="n1", until=newest.at, limit=1_000))
        assert all(line.at < newest.at for line in before.lines) and not before.more
        assert not (await olga.node_log(NodeLogQuery(node="n1", since=newest.at + 1_000.0))).lines
        for query, field in (
            (NodeLogQuery(node="n9"), "/node"),
            (NodeLogQuery(node="n1", limit=0), "/limit"),
            (NodeLogQuery(node="n1", since=-1.0), "/since"),
        ):
            with pytest.raises(ApiError) as refused:
                await olga.node_log(query)
            assert refused.value.error.field == field
        with pytest.raises(ApiError, match="E_FORBIDDEN"):
            await alice.node_log(NodeLogQuery(node="n1"))
