"""Fixtures of the console's tests."""

from __future__ import annotations

import pytest

from tests.tui.driving import NOW_S
from tui.client.fake import FakeCluster
from tui.client.fake_world import World

SEED = 7


@pytest.fixture
def fake() -> FakeCluster:
    """Twenty nodes and forty jobs; a test may take them away, and sees what was done."""
    return FakeCluster(World(seed=SEED, now_s=NOW_S, nodes=20, jobs=40))


@pytest.fixture(scope="session")
def big_world() -> World:
    """A thousand nodes, a hundred thousand tasks; nobody may change it."""
    return World(seed=SEED, now_s=NOW_S)
