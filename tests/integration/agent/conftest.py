"""A real guard process in a folder that the tasks' account can reach."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.agent.harness import Guard


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
