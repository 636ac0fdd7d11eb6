"""Who may only look, at a desk on a real cluster: nothing is offered, and whatever is asked is refused."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from bus.bulk import BulkSteer
from bus.client import Client
from bus.errors import Forbidden
from tests.fixtures_cluster import LiveCluster
from tests.integration.console.desk import at_desk

ACTED = {"cancel", "retry", "hold", "pause", "requeue", "cordon", "drain", "submit", "resolve"}
"""Words of which the help of who may act has some on each of these screens."""

ASKED: list[Callable[[Client], Coroutine[Any, Any, object]]] = [
    lambda client: client.submit(command=["true"]),
    lambda client: client.cancel(1),
    lambda client: client.retry(1),
    lambda client: client.hold(1),
    lambda client: client.release(1),
    lambda client: client.pause(1),
    lambda client: client.resume(1),
    lambda client: client.requeue(1),
    lambda client: client.prioritize(1, 9),
    lambda client: client.cordon("n1"),
    lambda client: client.drain("n1"),
    lambda client: client.maintenance("n1"),
    lambda client: client.undrain("n1"),
    lambda client: client.label("n1", {"a": "b"}),
    lambda client: client.resolve("1:00000000-0000-0000-0000-000000000000"),
    lambda client: client.scheduler_mode("off"),
    lambda client: client.steer_all(BulkSteer(noun="job", verb="cancel", filter="state=running")),
]


def test_who_may_only_look_is_offered_nothing_and_refused_everything(
    tmux: None, cluster: LiveCluster, tmp_path: Path
) -> None:
    with at_desk(cluster, "rita", tmp_path) as desk:
        for digit, keys in (("3", "CRQhepoPSsz"), ("2", "urmtLzS"), ("7", "RzS"), ("6", "mzS")):
            desk.at(digit)
            desk.screen.press(*keys, "?")
            seen = desk.screen.wait_for("everywhere")
            assert not ACTED & set(seen.split()), (digit, seen)
            desk.screen.press("q")
            desk.screen.wait_for(gone=("everywhere", "$ corral"))
        for asked in ASKED:
            with pytest.raises(Forbidden):  # by the bus itself
                desk.witness.ask(asked)
