"""What a power cut leaves of credentials that we mint: they are made anew, and stop no other service."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bus.auth import Authority
from bus.credentials import parse_credentials
from bus.errors import CredentialsError
from bus.layout import Layout, read_secret
from bus.supervision import ProcessHealth, ProcessStatus
from coordinator.supervisor.access import Access
from coordinator.supervisor.child import Launch
from coordinator.supervisor.keeper import Keeper, Service

WAIT_S = 30.0


def empty(path: Path) -> None:
    path.write_bytes(b"")


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


def rubbish(path: Path) -> None:
    path.write_bytes(b"\xff\xfe" * 100)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir(0o700)


def dangling(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


DAMAGES = (empty, half, rubbish, folder, dangling)


@pytest.fixture
def access(tmp_path: Path) -> Access:
    layout = Layout(tmp_path)
    return Access(layout, authority=Authority.create_or_load(layout.keys), url="nats://x")


@pytest.mark.parametrize("damage", DAMAGES)
def test_an_agents_credentials_are_made_anew_and_the_old_ones_kept(
    access: Access, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    path = access.agent_credentials("n1")
    damage(path)
    assert access.agent_credentials("n1") == path
    assert parse_credentials(read_secret(path)).name == "n1"
    aside = list(path.parent.glob("agent.creds.damaged-*"))
    assert len(aside) == (0 if damage is dangling else 1)


def test_what_others_can_read_is_still_refused(access: Access) -> None:
    path = access.agent_credentials("n1")
    path.chmod(0o644)
    with pytest.raises(CredentialsError, match="can be read by others"):
        access.agent_credentials("n1")


async def test_a_service_that_cannot_be_launched_is_tried_again_by_itself() -> None:
    async def launch() -> Launch:
        raise CredentialsError("E_TOKEN_MODE", "agent.creds can be read by others")

    async def probe() -> None:
        raise AssertionError("nothing runs")

    status = ProcessStatus(name="agent-n1")
    keeper = Keeper(Service(name="agent-n1", launch=launch, probe=probe), status=status, changed=lambda: None)
    running = asyncio.create_task(keeper.run(()))
    async with asyncio.timeout(WAIT_S):
        while status.restarts < 2:
            await asyncio.sleep(0.01)
    assert not running.done()
    assert status.health in (ProcessHealth.BACKOFF, ProcessHealth.STARTING)
    running.cancel()


@pytest.mark.parametrize("damage", DAMAGES)
def test_an_agent_without_its_identity_says_which_file_and_what_to_do(
    access: Access, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    path = access.agent_credentials("n1")
    damage(path)
    arguments = ["--data", str(path.parent), "--credentials", str(path), "--nats", "nats://127.0.0.1:1"]
    ended = subprocess.run(
        [sys.executable, "-m", "agent", *arguments, "--name", "n1"],
        capture_output=True,
        text=True,
        timeout=WAIT_S * 4,
        env=dict(os.environ),
    )
    assert ended.returncode == 78
    error, hint = ended.stderr.splitlines()[-2:]
    assert error.startswith("error: ") and str(path) in error
    assert hint.startswith("hint: corral up makes")
    assert "Traceback" not in ended.stderr
