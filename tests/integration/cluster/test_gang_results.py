"""What the ranks of a gang tell, over two agents of which one is killed amid it, or its whole node.

Each line counts once, of the try that counts.
"""

from __future__ import annotations

from pathlib import Path

from bus.children import NOT_RANK_0
from bus.client import Client
from bus.results import LoggedQuery
from bus.spec import Constraints, GangSpec, ResourceSpec
from tests.fixtures_cluster import LiveCluster

RANKS, PARTS, LINES = 3, 3, 40
SLOW_S = 120.0
TELL = """
tell() { printf '%s\\n' "$1" >> "$CORRAL_RESULT"; }
[ "$RANK" = 1 ] && tell '{"submit": {"command": ["true"]}}'
step=0
for part in 0 1 2; do
    until [ -e "$0-$part" ]; do sleep 0.05; done
    while [ $step -lt $((part * 40 + 40)) ]; do
        tell "{\\"metrics\\": {\\"loss\\": $RANK.5, \\"seen\\": $step}, \\"step\\": $step}"
        tell "{\\"log\\": \\"line $step\\"}"
        step=$((step + 1))
    done
done
tell "{\\"progress\\": 100, \\"message\\": \\"rank $RANK is done\\"}"
"""


async def a_gang(client: Client, go: Path) -> str:
    """The name of a task of three ranks; each waits before each part for `go`-0, `go`-1 and `go`-2."""
    job = await client.submit(
        command=["sh", "-c", TELL, str(go)],
        gang=GangSpec(size=RANKS, ranks_per_node=2, start_timeout=300),
        resources=ResourceSpec(cpu="500m", memory="64MiB"),
        constraints=Constraints(nodes=["n1", "n2"]),
        retries=0,
    )
    return f"{job.number}.0"


def let_go(go: Path, part: int) -> None:
    go.with_name(f"{go.name}-{part}").touch()


async def lines_of(client: Client, target: str) -> list[str]:
    """What a rank logged."""
    logged = await client.logged(LoggedQuery(target=target, limit=1_000))
    return [line.text for line in logged.lines if line.severity == "info"]


async def has_told(client: Client, task: str, rank: int, lines: int) -> bool:
    """Whether all of these lines were heard, and no more; nothing is heard twice at any time."""
    logged = await lines_of(client, f"{task}:{rank}")
    series = (await client.task_metrics(f"{task}:{rank}")).series
    values = next((each.values for each in series if each.name == "seen"), [])
    assert values == [float(step) for step in range(len(values))]
    assert logged == [f"line {step}" for step in range(len(logged))]
    assert len(values) <= lines and len(logged) <= lines
    return len(values) == len(logged) == lines


async def test_each_line_of_each_rank_counts_once(cluster: LiveCluster, cluster_folder: Path) -> None:
    async with cluster.client() as alice:
        go = cluster_folder / "agent"
        task = await a_gang(alice, go)

        async def all_have(parts: int, ranks: list[int]) -> None:
            for rank in ranks:
                await cluster.until(
                    lambda rank=rank: has_told(alice, task, rank, parts * LINES),  # type: ignore[misc]
                    f"rank {rank} was heard to the end of part {parts}",
                    wait_s=SLOW_S,
                )

        let_go(go, 0)
        await all_have(1, [0, 1, 2])
        places = {each.rank: each.node for each in (await alice.ranks(task)).ranks}
        assert len(set(places.values())) == 2
        killed = places[2]
        cluster.kill(killed)
        let_go(go, 1)
        await all_have(2, [rank for rank, on in places.items() if on != killed])
        cluster.start_agent(killed, *cluster.nodes[killed])
        let_go(go, 2)
        over = await alice.wait(int(task.partition(".")[0]))
        assert over.state == "completed", (over, cluster.logs())
        await all_have(PARTS, [0, 1, 2])

        async def is_done() -> bool:
            found = (await alice.ranks(task)).ranks
            return all(each.told is not None and each.told.progress == 100.0 for each in found)

        await cluster.until(is_done, "every rank was heard to its end")
        found = await alice.ranks(task)
        assert [each.told and (each.told.message, each.told.step) for each in found.ranks] == [
            (f"rank {rank} is done", PARTS * LINES - 1) for rank in range(RANKS)
        ]
        assert [each.told and each.told.metrics["loss"] for each in found.ranks] == [0.5, 1.5, 2.5]
        assert [each.told and (each.told.faults, each.told.fault) for each in found.ranks] == [
            (0, ""),
            (1, NOT_RANK_0),
            (0, ""),
        ]
        assert (await alice.task(task)).result == found.ranks[0].told
        every = await alice.logged(LoggedQuery(target=task, limit=1_000))
        lines = [line for line in every.lines if line.severity == "info"]
        assert len(lines) == RANKS * PARTS * LINES
        assert {(line.rank, line.node) for line in lines} == set(places.items())

        async def is_noted() -> bool:
            noted = await alice.logged(LoggedQuery(target=f"{task}:1", severity="warning"))
            return [NOT_RANK_0 in line.text for line in noted.lines] == [True]

        await cluster.until(is_noted, "the log of rank 1 says that its job was refused")
        assert [each.parent for each in (await alice.jobs()).jobs if each.parent] == []


async def test_a_try_that_lost_a_node_is_heard_no_more(cluster: LiveCluster, cluster_folder: Path) -> None:
    """SIGKILL of an agent, its guard and its ranks: the next try of every rank begins anew."""
    async with cluster.client() as alice:
        go = cluster_folder / "node"
        task = await a_gang(alice, go)
        let_go(go, 0)
        for rank in range(RANKS):
            await cluster.until(
                lambda rank=rank: has_told(alice, task, rank, LINES),  # type: ignore[misc]
                f"rank {rank} was heard",
                wait_s=SLOW_S,
            )
        doomed = (await alice.ranks(task)).ranks[2].node
        cluster.kill_node(doomed)
        cluster.start_agent(doomed, *cluster.nodes[doomed])

        async def try_anew() -> bool:
            found = await alice.ranks(task)
            return found.gang.attempt == 2 and found.gang.running == RANKS

        await cluster.until(try_anew, "all ranks run again", wait_s=SLOW_S)
        let_go(go, 1)
        let_go(go, 2)
        over = await alice.wait(int(task.partition(".")[0]))
        assert over.state == "completed", (over, cluster.logs())

        async def is_done() -> bool:
            found = (await alice.ranks(task)).ranks
            return all(each.told is not None and each.told.progress == 100.0 for each in found)

        await cluster.until(is_done, "every rank was heard to its end", wait_s=SLOW_S)
        told = [each.told for each in (await alice.ranks(task)).ranks]
        assert [each and (each.fence, each.faults) for each in told] == [(2, 0), (2, 1), (2, 0)]
        for rank in range(RANKS):
            assert await lines_of(alice, f"{task}:{rank}#1") == [f"line {step}" for step in range(LINES)]
            every = [f"line {step}" for step in range(PARTS * LINES)]
            assert await lines_of(alice, f"{task}:{rank}#2") == every
    await cluster.settle()
