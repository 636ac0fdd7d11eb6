"""One desk for each module of the console's end-to-end tests: a cluster, the console in tmux, a shell."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.fixtures_cluster import LiveCluster
from tests.integration.console.desk import Desk, at_desk
from tests.not_here import not_here


@pytest.fixture(scope="module")
def tmux() -> None:
    """tmux itself: `.ci/debian` installs it where it can."""
    if shutil.which("tmux") is None:
        not_here("the console in tmux", "there is no tmux")


@pytest.fixture(scope="module")
def desk(tmux: None, cluster: LiveCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """olga's: an operator."""
    with at_desk(cluster, "olga", tmp_path_factory.mktemp("olga")) as found:
        yield found
