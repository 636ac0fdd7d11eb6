"""What the ranks of a gang tell, over two agents of which one is killed amid it: each line counts once."""

from __future__ import annotations

from pathlib import Path

from bus.children import NOT_RANK_0
from bus.client import Client
from bus.results import LoggedLine, LoggedQuery, MetricSeries
from bus.spec import Constraints, GangSpec, ResourceSpec
from tests.fixtures_cluster import LiveCluster

RANKS, PARTS, LINES = 3, 3, 40
SLOW_S = 120.0
TELL = """
tell() { printf '%s\\n' "$1" >> "$CORRAL_RESULT"; }
[ "$RANK" = 1 ] && tell '{"submit": {"command": ["true"]}}'
step=0
for part in 0 1 2; do
    until [ -e "$0/part-$part" ]; do sleep 0.05; done
    while [ $step -lt $((part * 40 + 40)) ]; do
        tell "{\\"metrics\\": {\\"loss\\": $RANK.5, \\"seen\\": $step}, \\"step\\": $step}"
        tell "{\\"log\\": \\"line $step\\"}"
        step=$((step + 1))
    done
done
tell "{\\"progress\\": 100, \\"message\\": \\"rank $RANK is done\\"}"
"""


async def told_by(client: Client, task: str, rank: int) -> tuple[list[float], list[LoggedLine]]:
    """What a rank counted, and what it logged."""
    logged = await client.logged(LoggedQuery(target=f"{task}:{rank}", limit=1_000))
    of_rank = [line for line in logged.lines if line.severity == "info"]
    series: list[MetricSeries] = (await client.task_metrics(f"{task}:{rank}")).series
    return next((each.values for each in series if each.name == "seen"), []), of_rank


async def has_told(client: Client, task: str, rank: int, lines: int) -> bool:
    """Whether all of these lines were heard, and no more; nothing is heard twice at any time."""
    values, logged = await told_by(client, task, rank)
    assert values == [float(step) for step in range(len(values))]
    assert [line.text for line in logged] == [f"line {step}" for step in range(len(logged))]
    assert len(values) <= lines and len(logged) <= lines
    return len(values) == len(logged) == lines


async def test_each_line_of_each_rank_counts_once(cluster: LiveCluster, cluster_folder: Path) -> None:
    async with cluster.client() as alice:
        job = await alice.submit(
            command=["sh", "-c", TELL, str(cluster_folder)],
            gang=GangSpec(size=RANKS, ranks_per_node=2, start_timeout=300),
            resources=ResourceSpec(cpu="500m", memory="64MiB"),
            constraints=Constraints(nodes=["n1", "n2"]),
            retries=0,
        )
        task = f"{job.number}.0"

        async def all_have(parts: int, ranks: list[int]) -> None:
            for rank in ranks:
                await cluster.until(
                    lambda rank=rank: has_told(alice, task, rank, parts * LINES),  # type: ignore[misc]
                    f"rank {rank} was heard to the end of part {parts}",
                    wait_s=SLOW_S,
                )

        (cluster_folder / "part-0").touch()
        await all_have(1, [0, 1, 2])
        places = {each.rank: each.node for each in (await alice.ranks(task)).ranks}
        assert len(set(places.values())) == 2
        killed = places[2]
        cluster.kill(killed)
        (cluster_folder / "part-1").touch()
        await all_have(2, [rank for rank, on in places.items() if on != killed])
        cluster.start_agent(killed, *cluster.nodes[killed])
        (cluster_folder / "part-2").touch()
        over = await alice.wait(job.number)
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
        assert [each.number for each in (await alice.jobs()).jobs] == [job.number]
