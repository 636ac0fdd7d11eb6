"""`corral top` as people have it: on a terminal, on a real cluster, through the end of its coordinator."""

from __future__ import annotations

import asyncio
import signal
import sys

import pytest

from bus.layout import Layout
from bus.values import JobState, NodeAdmin
from tests.fixtures_cluster import LiveCluster
from tests.tui.pty_session import PtySession, on_pty

SCRIPT = "i=0; while true; do i=$((i+1)); echo line $i; sleep 0.2; done"


def console(cluster: LiveCluster, user: str) -> list[str]:
    credentials = Layout(cluster.folder).credentials(user)
    door = ["--url", cluster.nats.url, "--credentials", str(credentials)]
    return [sys.executable, "-P", "-m", "tui", "top", *door]


def press(terminal: PtySession, keys: bytes, *words: str) -> None:
    terminal.press(keys)
    terminal.wait_for(*words)


async def submitted(cluster: LiveCluster, name: str) -> int:
    async with cluster.client("alice") as alice:
        return (await alice.submit(command=["sh", "-c", SCRIPT], name=name)).number


async def state_of(cluster: LiveCluster, job: int) -> JobState:
    async with cluster.client("alice") as alice:
        return (await alice.job(job)).state


async def admin_of(cluster: LiveCluster, name: str) -> NodeAdmin:
    async with cluster.client("olga") as olga:
        return (await olga.node(name)).admin


def test_a_job_is_followed_through_the_coordinators_end_and_cancelled(cluster: LiveCluster) -> None:
    with on_pty(console(cluster, "olga")) as terminal:
        terminal.wait_for("LIVE", "olga (operator)")
        press(terminal, b"3", "No jobs yet")
        job = asyncio.run(submitted(cluster, "endless"))
        terminal.wait_for("endless", "running")
        press(terminal, b"/", "user=me")
        press(terminal, b"name~endless\r", "[/name~endless]")
        press(terminal, b"l", f"{job}.0", "line 3")
        terminal.press(b"")
        cluster.kill("coordinator", signal.SIGKILL)
        terminal.wait_for("OFFLINE", "retry in")
        terminal.press(b"")
        cluster.start_coordinator()
        terminal.wait_for("LIVE")
        terminal.press(b"")
        terminal.wait_for("line ")  # what it prints is told again
        press(terminal, b"\x1b", "[/name~endless]", "running")
        press(terminal, b"C", f"$ corral cancel {job}")
        press(terminal, b"y", "cancelled")
        assert asyncio.run(state_of(cluster, job)) is JobState.CANCELLED
        terminal.press(b"q")
        assert terminal.wait_for_end() == 0


def test_a_node_is_drained_and_taken_back(cluster: LiveCluster) -> None:
    with on_pty(console(cluster, "olga"), size=(80, 24)) as terminal:
        terminal.wait_for("LIVE")
        press(terminal, b"2", "n1", "healthy")
        press(terminal, b"r", "$ corral drain n1")
        press(terminal, b"y", "draining")
        assert asyncio.run(admin_of(cluster, "n1")) is NodeAdmin.DRAINING
        press(terminal, b"t", "$ corral undrain n1")
        press(terminal, b"y", "healthy")
        assert asyncio.run(admin_of(cluster, "n1")) is NodeAdmin.ACTIVE


@pytest.mark.parametrize("size", [(80, 24), (200, 60)], ids=["small", "large"])
def test_who_may_only_look_sees_the_nodes_and_no_action(cluster: LiveCluster, size: tuple[int, int]) -> None:
    with on_pty(console(cluster, "rita"), size=size) as terminal:
        terminal.wait_for("LIVE", "rita (readonly)")
        press(terminal, b"2", "n1", "n2", "n3")
        press(terminal, b"?", "sort by")
        assert b"drain" not in terminal.shown
