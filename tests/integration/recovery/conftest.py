"""One rig for the module; whole again before every test."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from bus.client import Client
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
