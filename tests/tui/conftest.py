"""Fixtures of the console's tests."""

from __future__ import annotations

import pytest

from tests.tui.fake_cluster import FakeSession


@pytest.fixture
def session() -> FakeSession:
    """A session that yields what the test puts in."""
    return FakeSession()
