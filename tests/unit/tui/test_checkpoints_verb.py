"""`corral checkpoint`: what it shows, asks and writes; and the options of a job that saves."""

from __future__ import annotations

import hashlib
import json
from argparse import Namespace
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from msgspec.structs import replace

from bus.checkpoints import Checkpoint, CheckpointDetails, CheckpointFile, CheckpointKind, Checkpoints
from tui.cli import checkpoints
from tui.cli.diagnostics import Exit
from tui.cli.dispatch import parse, run
from tui.cli.specification import job_spec
from tui.view.checkpoints import checkpoint_lines, kind_text, state_text

SHA = hashlib.sha256(b"weights").hexdigest()
ONE = Checkpoint(
    id="01a2072b-5047-786e-97f0-8a77d2b1ebc4", task="7.0", attempt=2, step=1200, kind=CheckpointKind.REGULAR,
    path="step-1200", complete=True, size=7, files=1, digest=SHA, ranks=1, world_size=1, replicas=1, copies=2,
    durable=True, chosen=True, at=1_799_999_000.0,
    metrics={"loss": 0.25, "accuracy": 0.9}, nodes=["n1", "n2"],
)  # fmt: skip
FILE = CheckpointFile(rank=0, name="step-1200/w.bin", sha256=SHA, size=7, nodes=["n1", "n2"])


class FakeClient:
    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.one = ONE
        self.files = [FILE]

    async def checkpoints(self, target: str = "", *, limit: int = 100) -> Checkpoints:
        self.asked.append((target, limit))
        half = replace(
            ONE, complete=False, ranks=1, world_size=4, durable=False, chosen=False, metrics={}, nodes=[]
        )
        return Checkpoints(checkpoints=[self.one, half], next="more")

    async def checkpoint(self, checkpoint: str) -> CheckpointDetails:
        self.asked.append(checkpoint)
        return CheckpointDetails(checkpoint=self.one, files=self.files)

    async def best_checkpoint(self, target: str, metric: str, *, most: bool = False) -> Checkpoint:
        self.asked.append((target, metric, most))
        return self.one

    async def use_checkpoint(self, task: str, checkpoint: str) -> Checkpoint:
        self.asked.append((task, checkpoint))
        return self.one

    async def remove_checkpoint(self, checkpoint: str) -> Checkpoint:
        self.asked.append(checkpoint)
        return self.one


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeClient:
    made = FakeClient()

    @asynccontextmanager
    async def client(arguments: object) -> Any:
        yield made

    async def fetch(corral: FakeClient, one: Checkpoint, file: CheckpointFile, target: BinaryIO) -> None:
        target.write(b"weights")

    monkeypatch.setattr(checkpoints, "client", client)
    monkeypatch.setattr(checkpoints, "fetch_saved", fetch)
    return made


def test_the_list_says_what_is_durable(fake: FakeClient, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["checkpoint", "ls", "7", "--limit", "2"]) == Exit.OK
    first, second = capsys.readouterr().out.splitlines()[1:]
    assert "7.0#2" in first and "1200 *" in first and "2/2" in first and " yes " in first
    assert "accuracy=0.9 loss=0.25" in first and "n1,n2" in first
    assert "1/4 ranks" in second and " no " in second
    assert fake.asked == [("7", 2)]


@pytest.mark.parametrize(("form", "lines"), [("json", None), ("jsonl", 2), ("name", 2)])
def test_other_forms(
    fake: FakeClient, capsys: pytest.CaptureFixture[str], form: str, lines: int | None
) -> None:
    assert run(["checkpoint", "ls", "-o", form]) == Exit.OK
    out = capsys.readouterr().out
    if lines is None:
        assert json.loads(out)["checkpoints"][0]["step"] == 1200
    else:
        assert len(out.splitlines()) == lines


def test_one_with_its_files(fake: FakeClient, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["checkpoint", "show", "7.0@1200"]) == Exit.OK
    out = capsys.readouterr().out
    assert "durable, 2/2 copies" in out and "step-1200/w.bin  7 B  n1,n2" in out and "chosen" in out


def test_a_checkpoint_is_fetched_whole(
    fake: FakeClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "got"
    assert run(["checkpoint", "get", "7.0", "--to", str(target)]) == Exit.OK
    assert (target / "step-1200" / "w.bin").read_bytes() == b"weights"
    assert run(["checkpoint", "get", "7.0", "--to", str(target)]) == Exit.CONFLICT
    fake.one = replace(ONE, ranks=2, world_size=2)
    fake.files = [FILE, replace(FILE, rank=1)]
    assert run(["checkpoint", "get", "7.0", "--to", str(tmp_path / "shards")]) == Exit.OK
    assert sorted(path.name for path in (tmp_path / "shards").iterdir()) == ["rank-0", "rank-1"]


def test_what_a_peer_names_stays_inside(fake: FakeClient, tmp_path: Path) -> None:
    fake.files = [replace(FILE, name="../../escape")]
    assert run(["checkpoint", "get", "7.0", "--to", str(tmp_path / "got")]) != Exit.OK
    assert list(tmp_path.iterdir()) == []


def test_best_use_and_rm(fake: FakeClient, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["checkpoint", "best", "7", "--metric", "loss", "--max"]) == Exit.OK
    assert run(["checkpoint", "use", "7.0@1200"]) == Exit.OK
    assert run(["checkpoint", "use", "01a2072b", "--task", "7.0"]) == Exit.OK
    assert run(["checkpoint", "rm", "7.0@1200"]) == Exit.OK
    assert fake.asked == [("7", "loss", True), ("7.0", "7.0@1200"), ("7.0", "01a2072b"), "7.0@1200"]
    out = capsys.readouterr().out
    assert "7.0@1200  loss=0.25" in out and "goes on from step 1200" in out and "removed" in out


@pytest.mark.parametrize("words", [["best", "7"], ["show"], ["best"]])
def test_what_is_missing_is_said(fake: FakeClient, words: list[str]) -> None:
    assert run(["checkpoint", *words]) == Exit.USAGE


def parsed(*argv: str) -> Namespace:
    arguments = parse(list(argv))
    assert isinstance(arguments, Namespace)
    return arguments


def test_options_of_a_job() -> None:
    plain = job_spec(parsed("submit", "--checkpoint", "--", "true"))
    assert plain.checkpoint is not None and plain.checkpoint.keep == 3
    best = job_spec(parsed("submit", "--checkpoint-keep-best", "loss:min", "--", "true")).checkpoint
    assert best is not None and (best.keep, best.keep_best) == (3, "loss:min")
    words = ["--checkpoint-keep", "2", "--checkpoint-replicas", "0", "--checkpoint-interval", "10m"]
    full = job_spec(parsed("submit", *words, "--checkpoint-dir", "v0", "--", "true")).checkpoint
    assert full is not None
    assert (full.keep, full.replicas, full.interval, full.dir) == (2, 0, "10m", "v0")
    assert job_spec(parsed("submit", "--", "true")).checkpoint is None


def test_the_best_that_stays_is_marked() -> None:
    best = replace(ONE, best=True)
    assert "regular, best" in checkpoint_lines([best], now_s=1_800_000_000.0)[0].text
    assert "best" not in checkpoint_lines([ONE], now_s=1_800_000_000.0)[0].text
    assert (kind_text(best), kind_text(ONE)) == ("regular, best", "regular")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "durable, 2/2 copies"),
        ({"durable": False, "copies": 1}, "1/2 copies"),
        ({"durable": False, "copies": 0}, "on no node"),
        ({"complete": False, "ranks": 1, "world_size": 4}, "1/4 ranks"),
    ],
)
def test_console_and_command_say_the_same_of_a_state(changes: dict[str, object], said: str) -> None:
    one = replace(ONE, **changes)
    (line,) = checkpoint_lines([one], now_s=1_800_000_000.0)
    assert state_text(one) == said and said in line.text
