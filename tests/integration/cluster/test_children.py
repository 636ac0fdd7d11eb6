"""A task submits jobs and waits for them on real agents, while its coordinator is killed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bus.spec import ResourceSpec
from bus.values import JobState
from tests.fixtures_cluster import LiveCluster

PYTHON = "/usr/bin/python3"  # that the account of tasks can execute
PARENT = """
import corral_task
for code in (0, 3):
    corral_task.submit({"name": f"ends with {code}", "command": ["sh", "-c", f"sleep 3; exit {code}"],
                        "retries": 0, "resources": {"cpu": "100m", "memory": "64MiB"}})
corral_task.submit({"comand": ["typo"]})
corral_task.output(corral_task.wait_children(120))
"""


@pytest.mark.contract("S4.19")
async def test_a_parent_hears_of_its_children_though_the_coordinator_dies(cluster: LiveCluster) -> None:
    if not Path(PYTHON).exists() or not os.access(PYTHON, os.X_OK):
        pytest.skip("no Python of the system")
    async with cluster.client() as alice:
        small = ResourceSpec(cpu="100m", memory="64MiB")
        job = await alice.submit(command=[PYTHON, "-c", PARENT], resources=small)

        async def has_children() -> bool:
            return (await alice.jobs(filter=f"parent={job.number}.0")).total == 2

        await cluster.until(has_children, "both are submitted", wait_s=60)
        cluster.kill("coordinator")
        cluster.start_coordinator()
        over = await alice.wait(job.number)
        assert over.state is JobState.COMPLETED, (await alice.logs(f"{job.number}.0")).data
        found = (await alice.task(f"{job.number}.0")).output
        assert [(child["state"], child["name"], child["exit_code"]) for child in found] == [
            ("refused", "", None), ("completed", "ends with 0", 0), ("failed", "ends with 3", 3)
        ]  # fmt: skip
        assert "comand" in found[0]["reason"]
        jobs = (await alice.jobs(filter=f"parent_job={job.number}", sort="number")).jobs
        assert [child["job"] for child in found[1:]] == [each.number for each in jobs]
