"""`corral model`: what it shows, asks, brings and writes."""

from __future__ import annotations

import hashlib
import json
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from bus.artifacts import Artifact
from bus.errors import ApiError
from bus.models import Model, Models
from bus.refusal import refusal
from tui.cli import models
from tui.cli.diagnostics import Exit
from tui.cli.dispatch import run

CONTENT = b"weights"
SHA = hashlib.sha256(CONTENT).hexdigest()
RESNET = Model(
    name="resnet", version="1.0", file="w.bin", media_type="text/plain", size=7, sha256=SHA,
    url=f"corral://{SHA}", user="ann", at=1_799_999_000.0, tags=["vision"], metrics={"accuracy": 0.91},
    nodes=["n1", "n2"],
)  # fmt: skip
BROUGHT = Artifact(
    id="a1", name="x", media_type="text/plain", size=7, sha256=SHA, pointer="", user="ann", at=0.0
)


class FakeClient:
    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.refusing = False

    async def register_model(self, name: str, version: str, **fields: Any) -> Model:
        if self.refusing:
            raise ApiError(refusal("E_NAME_CLASH"))
        self.asked.append(("register", (name, version, fields)))
        return RESNET

    async def models(self, name: str = "", *, tag: str = "", limit: int = 100) -> Models:
        self.asked.append(("list", (name, tag, limit)))
        return Models(models=[RESNET], next="more")

    async def model(self, model: str) -> Model:
        return RESNET

    async def remove_model(self, model: str) -> Model:
        self.asked.append(("remove", model))
        return RESNET

    async def remove_artifact(self, artifact: str) -> Artifact:
        self.asked.append(("remove_artifact", artifact))
        return BROUGHT


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeClient:
    made = FakeClient()

    @asynccontextmanager
    async def client(arguments: object) -> Any:
        yield made

    async def bring(corral: FakeClient, path: Path, name: str, *, node: str) -> Artifact:
        made.asked.append(("bring", (path.name, name, node)))
        return BROUGHT

    monkeypatch.setattr(models, "client", client)
    monkeypatch.setattr(models, "bring", bring)
    monkeypatch.setattr("time.time", lambda: 1_800_000_000.0)
    return made


def test_versions_are_listed_and_shown(fake: FakeClient, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["model", "ls", "resnet", "--tag", "vision", "--limit", "7"]) == Exit.OK
    said = capsys.readouterr()
    assert said.out.splitlines()[1].split()[:7] == [
        "resnet", "1.0", "7", "B", SHA[:12], "accuracy=0.91", "vision",
    ]  # fmt: skip
    assert "--limit" in said.err and fake.asked == [("list", ("resnet", "vision", 7))]
    for form, shown in (("name", "resnet@1.0\n"), ("jsonl", '"sha256"'), ("json", '"next": "more"')):
        assert run(["model", "ls", "-o", form]) == Exit.OK
        assert shown in capsys.readouterr().out
    assert run(["model", "show", "resnet"]) == Exit.OK
    assert f"sha256     {SHA}" in capsys.readouterr().out
    assert run(["model", "rm", "resnet@1.0", "-o", "json"]) == Exit.OK
    assert json.loads(capsys.readouterr().out)["version"] == "1.0"


def test_a_file_is_brought_and_only_the_version_stays(fake: FakeClient, tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text("depth = 50\n")
    words = ["model", "register", "resnet", "--version", "1.0", "--file", "/x/w.bin", "--node", "n2"]
    assert run([*words, "--metric", "loss=0.5", "--tag", "a", "--config", str(config)]) == Exit.OK
    described = {"artifact": "a1", "tags": ["a"], "metrics": {"loss": 0.5}, "config": {"depth": 50}}
    assert fake.asked == [
        ("bring", ("w.bin", "models/resnet/1.0/w.bin", "n2")),
        ("register", ("resnet", "1.0", described)),
        ("remove_artifact", "a1"),
    ]
    fake.refusing = True
    fake.asked.clear()
    assert run(words) == Exit.USAGE
    assert fake.asked[-1] == ("remove_artifact", "a1")


@pytest.mark.parametrize(
    "words",
    [
        ["register", "--version", "1"],
        ["register", "m", "--file", "x"],
        ["register", "m", "--version", "1"],
        ["register", "m", "--version", "1", "--file", "x", "--artifact", "y"],
        ["register", "m", "--version", "1", "--file", "x", "--metric", "loss"],
        ["register", "m", "--version", "1", "--file", "x", "--metric", "loss=low"],
        ["show"],
        ["pull"],
        ["rm"],
    ],
)
def test_what_is_not_said(fake: FakeClient, words: list[str]) -> None:
    assert run(["model", *words]) == Exit.USAGE
    assert fake.asked == []


@pytest.mark.contract("S1.38")
def test_a_pull_is_whole_and_right_or_not_there(
    fake: FakeClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def pull(corral: object, model: Model, target: BinaryIO) -> None:
        target.write(CONTENT)

    async def damaged(corral: object, model: Model, target: BinaryIO) -> None:
        target.write(b"Weights")
        raise ApiError(refusal("E_HASH", got="other", expected=SHA))

    monkeypatch.setattr(models, "pull", damaged)
    assert run(["model", "pull", "resnet", "--to", str(tmp_path)]) == Exit.CONFLICT
    assert "E_HASH" in capsys.readouterr().err and list(tmp_path.iterdir()) == []
    monkeypatch.setattr(models, "pull", pull)
    assert run(["model", "pull", "resnet", "--to", str(tmp_path)]) == Exit.OK
    assert (tmp_path / "w.bin").read_bytes() == CONTENT
    assert run(["model", "pull", "resnet", "--to", str(tmp_path)]) == Exit.CONFLICT
    assert run(["model", "pull", "resnet", "--to", str(tmp_path), "--force"]) == Exit.OK
