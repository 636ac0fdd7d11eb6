"""Fixtures of the console's tests."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from tests.tui.driving import NOW_S
from tui.client.fake import FakeCluster
from tui.client.fake_world import World

SEED = 7
COLLECT_EVERY = 100_000
"""Objects more than there were: a console makes thousands a picture, and there are a hundred thousand tasks
to look through each time."""


@pytest.fixture(scope="session", autouse=True)
def _seldom_collected() -> Iterator[None]:
    """Two fifths of these tests' time went into looking for garbage."""
    before = gc.get_threshold()
    gc.set_threshold(COLLECT_EVERY, 20, 100)
    yield
    gc.set_threshold(*before)


@pytest.fixture
def fake() -> FakeCluster:
    """Twenty nodes and forty jobs; a test may take them away, and sees what was done."""
    return FakeCluster(World(seed=SEED, now_s=NOW_S, nodes=20, jobs=40))


@pytest.fixture(scope="session")
def big_world() -> World:
    """A thousand nodes, a hundred thousand tasks; nobody may change it."""
    return World(seed=SEED, now_s=NOW_S)
