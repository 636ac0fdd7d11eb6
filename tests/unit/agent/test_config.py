"""The command line becomes one frozen Config, or one clear line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent import __main__, config
from agent.config import ConfigError, Declared, parse_arguments
from bus.values import NodeKind

BASE = ["--data", "/srv/node", "--name", "n1", "--nats", "nats://127.0.0.1:4222", "--credentials", "a.creds"]


def test_everything_said_is_kept() -> None:
    said = ["--cpu", "2", "--memory", "4GiB", "--gpus", "1", "--storage", "1GiB", "--net", "1Gbit"]
    made = parse_arguments(
        [*BASE, *said, "--kind", "gpu", "--label", "zone=a", "--label", "disk=", "--verbose"]
    )
    assert made.declared == Declared(cpu_millis=2000, mem_mib=4096, gpus=1, storage_mib=1024, net_mbps=1000)
    assert (made.kind, made.labels, made.verbose) == (NodeKind.GPU, {"zone": "a", "disk": ""}, True)
    assert made.simulated_gpus is None
    assert made.credentials == Path.cwd() / "a.creds"


def test_simulated_gpus_are_named_after_their_node() -> None:
    gpus = parse_arguments([*BASE, "--gpu-driver", "sim:2xA100-40"]).simulated_gpus
    assert gpus is not None
    assert [(gpu.uuid, gpu.model, gpu.mem_mib) for gpu in gpus] == [
        ("GPU-sim-n1-0", "A100", 40960),
        ("GPU-sim-n1-1", "A100", 40960),
    ]
    assert parse_arguments([*BASE, "--gpu-driver", "none"]).simulated_gpus == ()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--name", "N 1"], "--name"),
        (["--cpu", "many"], "many"),
        (["--memory", "4 parsecs"], "4 parsecs"),
        (["--gpus", "-1"], "--gpus"),
        (["--label", "zone"], "KEY=VALUE"),
        (["--interface", "eth1=fast"], "management"),
        (["--gpu-driver", "sim:lots"], "sim:2xA100-40"),
        (["--kind", "toaster"], "toaster"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_what_is_wrong_is_named_and_ends_with_78(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_arguments([*BASE, *arguments])
    assert __main__.main([*BASE, *arguments]) == 78
    assert capsys.readouterr().err.count("\n") == 1


def test_credentials_that_are_missing_end_with_78(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = [*BASE, "--data", str(tmp_path / "data"), "--credentials", str(tmp_path / "none.creds")]
    assert __main__.main(arguments) == 78
    assert "none.creds" in capsys.readouterr().err


def test_tasks_live_where_their_account_can_reach_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert config._tasks_folder(closed / "node", "n1") == closed / "node" / "tasks"
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert config._tasks_folder(closed / "node", "n1").parent == Path("/var/lib/corral/tasks")
    assert config._tasks_folder(Path("/usr/corral"), "n1") == Path("/usr/corral/tasks")
