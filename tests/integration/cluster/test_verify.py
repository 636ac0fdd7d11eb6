"""`corral verify` on a real cluster: nothing to find while it works, and every damage by its name."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys

import asyncpg
import psutil
import pytest

from bus.api import Verification
from bus.client import Client
from bus.layout import Layout
from bus.spec import ResourceSpec
from bus.values import JobState
from tests.fixtures_cluster import LiveCluster

SMALL = ResourceSpec(cpu="100m", memory="16MiB")


def named(found: Verification) -> set[tuple[str, str]]:
    return {(violation.invariant, violation.object) for violation in found.violations}


async def running(cluster: LiveCluster, client: Client) -> int:
    """The number of a job whose one task runs."""
    job = await client.submit(command=["sleep", "300"], resources=SMALL)

    async def runs() -> bool:
        return (await client.job(job.number)).counts.running == 1

    await cluster.until(runs, "it runs")
    return job.number


async def test_a_cluster_at_work_keeps_its_promises(cluster: LiveCluster) -> None:
    async with cluster.client() as alice, cluster.client("olga") as olga:
        submitted = [
            await alice.submit(command=["sh", "-c", "sleep 0.05"], array="0-199", resources=SMALL),
            await alice.submit(command=["false"], array="0-9%2", retries=1, backoff=0.05, resources=SMALL),
            await alice.submit(
                tasks=[
                    {"name": "a", "command": ["true"], "array": "0-9"},
                    {"command": ["true"], "needs": ["a"]},
                ]
            ),
        ]
        busy = 0
        while True:
            over = [(await alice.job(job.number)).state.is_terminal for job in submitted]
            found = await olga.verify()
            assert (found.violations, found.silent) == ([], []), cluster.logs()
            busy += bool(found.checked["live jobs"])
            if all(over):
                if busy:
                    break
                # what it saw first passed by, so it looked again: at a cluster that had done all meanwhile
                submitted.append(
                    await alice.submit(command=["sleep", "0.05"], array="0-999", resources=SMALL)
                )
        print(f"{busy} looks at a busy cluster, the last one in {found.took_s:.3f} s: {found.checked}")
        assert found.checked["nodes asked"] == 3


async def test_damaged_rows_are_found_in_the_database_and_in_memory(
    cluster: LiveCluster, postgres_dsn: str
) -> None:
    database = await asyncpg.connect(postgres_dsn)
    async with cluster.client() as alice, cluster.client("olga") as olga:
        job = await running(cluster, alice)
        try:
            await database.execute("set session_replication_role = replica")
            await database.execute(
                "update corral.tasks t set fence = 9 from corral.jobs j"
                " where j.id = t.job_id and j.number = $1",
                job,
            )
            found = named(await olga.verify())
            assert {("I2", f"{job}.0#1"), ("I8", f"{job}.0")} <= found, (found, cluster.logs())
            await database.execute("update corral.tasks set fence = 1 where fence = 9")
            assert (await olga.verify()).violations == []
        finally:
            await database.close()
        await alice.cancel(job)
        assert (await alice.wait(job)).state is JobState.CANCELLED


async def test_what_runs_and_should_not_is_found_on_its_node(cluster: LiveCluster) -> None:
    async with cluster.client() as alice, cluster.client("olga") as olga:
        job = await running(cluster, alice)
        (task,) = [
            process
            for process in psutil.process_iter(["cmdline"])
            if process.info["cmdline"] == ["sleep", "300"] and _job_of(process) == str(job)
        ]
        marked = task.environ()
        as_task = {"user": task.uids().real, "group": task.gids().real} if os.geteuid() == 0 else {}
        await alice.cancel(job)
        await alice.wait(job)
        stray = subprocess.Popen(["sleep", "299"], env=marked, start_new_session=True, **as_task)
        try:
            found = await olga.verify()
            assert any(
                violation.invariant == "I2" and violation.object.endswith(f":{stray.pid}")
                for violation in found.violations
            ), (found, cluster.logs())
        finally:
            stray.kill()
            stray.wait()
        assert (await olga.verify()).violations == []


def _job_of(process: psutil.Process) -> str:
    try:
        return process.environ().get("CORRAL_TASK_ID", "").partition(".")[0]
    except psutil.Error:
        return ""


async def test_the_command_names_a_silent_node_and_ends_as_scripts_expect(cluster: LiveCluster) -> None:
    def verify() -> tuple[int, dict[str, object]]:
        credentials = Layout(cluster.folder).credentials("olga")
        words = ["--url", cluster.nats.url, "--credentials", str(credentials)]
        done = subprocess.run(
            [sys.executable, "-P", "-m", "tui", "verify", "-o", "json", *words],
            env={**os.environ, "PYTHONPATH": os.getcwd(), "CORRAL_DATA": str(cluster.folder)},
            capture_output=True,
            check=False,
            timeout=60,
        )
        return done.returncode, json.loads(done.stdout)

    code, report = await asyncio.to_thread(verify)
    assert (code, report["violations"], report["silent"]) == (0, [], [])
    cluster.kill("n3", signal.SIGSTOP)
    try:
        code, report = await asyncio.to_thread(verify)
        assert (code, report["silent"]) == (0, ["n3"]), report
    finally:
        cluster.kill("n3", signal.SIGCONT)
    await cluster.settle()


pytestmark = pytest.mark.timeout(180)
