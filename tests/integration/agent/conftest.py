"""A real guard process in a folder that the tasks' account can reach, and a whole agent."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.integration.agent.harness import Guard
from tests.integration.agent.world import World, guards, until


@pytest.fixture
def node_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="corral-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def guard(node_folder: Path) -> Iterator[Guard]:
    made = Guard(node_folder)
    yield made
    made.stop()


@pytest.fixture
async def world(node_folder: Path) -> AsyncIterator[World]:
    made = World(node_folder)
    await made.coordinator.start()
    made.node.start()
    await until(lambda: made.coordinator.registrations, "registered")
    yield made
    await made.end_all()
    await made.node.stop()
    await until(lambda: not guards(node_folder), "the guard has gone too")
