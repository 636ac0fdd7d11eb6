"""One rig for the module; whole again before every test."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from bus.client import Client
from bus.spec import ResourceSpec
from bus.values import TaskState
from tests.integration.recovery.rig import Rig


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_rig() -> AsyncIterator[Rig]:
    """Its servers are its own: tests stop and wipe them."""
    folder = Path(tempfile.mkdtemp(prefix="corral-recovery-"))
    folder.chmod(0o711)
    made = Rig(folder)
    try:
        await made.start()
        yield made
    finally:
        await made.close()
        shutil.rmtree(folder, ignore_errors=True)


@pytest_asyncio.fixture(loop_scope="module")
async def rig(module_rig: Rig) -> Rig:
    await module_rig.ready()
    return module_rig


@pytest_asyncio.fixture(loop_scope="module")
async def client(rig: Rig) -> AsyncIterator[Client]:
    async with rig.client() as client:
        yield client


@pytest_asyncio.fixture(loop_scope="module")
async def bystander(rig: Rig, client: Client) -> AsyncIterator[str]:
    """A task that runs all the while: at the end it must be the same attempt."""
    job = await client.submit(command=["sleep", "600"], resources=ResourceSpec(cpu="100m"))
    name = f"{job.number}.0"

    async def running() -> bool:
        return (await client.task(name)).state is TaskState.RUNNING

    await rig.until_answered(running, "the bystander runs")
    yield name
    await rig.until_answered(running, "the bystander runs on")
    task = await client.task(name)
    assert (task.fence, len(task.attempts)) == (1, 1)
    await client.cancel(job.number)
