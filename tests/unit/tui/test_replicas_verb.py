"""`corral replica`: what it shows, asks and refuses."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import Any

import pytest

from bus.copies import Replica, Replicas, ReplicaScrubbed, Under
from tui.cli import replicas
from tui.cli.diagnostics import Exit
from tui.cli.dispatch import run
from tui.view.amounts import NONE

SHA = "ab" * 32
COPY = Replica(
    id="r1", sha256=SHA, size=2048, task="7.0", primary="n1", node="n2", state="out_of_sync", at=0.0,
    fault="E_HASH",
)  # fmt: skip
UNDER = Under(sha256=SHA, size=2048, task="7.0", copies=1, nodes=["n1"])


class FakeClient:
    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.unanswered: dict[str, str] = {}

    async def replicas(self, target: str, **asked: Any) -> Replicas:
        self.asked.append((target, asked))
        if asked["under"]:
            return Replicas(under=[UNDER], total=3, lacking=1, lost=1)
        return Replicas(replicas=[COPY], total=3, lacking=1, next="more")

    async def scrub_replicas(self, node: str) -> ReplicaScrubbed:
        self.asked.append(node)
        return ReplicaScrubbed(nodes=["n1"], unanswered=self.unanswered)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeClient:
    made = FakeClient()

    @asynccontextmanager
    async def client(arguments: object) -> Any:
        yield made

    monkeypatch.setattr(replicas, "client", client)
    return made


def test_copies_are_listed(fake: FakeClient, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["replica", "ls", "7", "--node", "n2", "--state", "out_of_sync", "--limit", "5"]) == Exit.OK
    said = capsys.readouterr()
    assert said.out.splitlines()[1].split() == [
        SHA[:12], "2.0", "KiB", "7.0", "n1", "n2", "out_of_sync", NONE, "E_HASH",
    ]  # fmt: skip
    assert "3 pieces of content should have copies: 1 lack some\n" in said.err and "--limit" in said.err
    assert fake.asked == [("7", {"node": "n2", "state": "out_of_sync", "under": False, "limit": 5})]


def test_what_lacks_copies_is_listed(fake: FakeClient, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["replica", "ls", "--under"]) == Exit.OK
    said = capsys.readouterr()
    assert said.out.splitlines()[1].split() == [SHA[:12], "2.0", "KiB", "7.0", "2", "1", "n1"]
    assert "1 on no node that is there" in said.err
    assert run(["replica", "ls", "--under", "-o", "name"]) == Exit.OK
    assert capsys.readouterr().out == f"{SHA}\n"
    for form in ("json", "jsonl"):
        assert run(["replica", "ls", "-o", form]) == Exit.OK
        said_json = json.loads(capsys.readouterr().out)
        assert (said_json["replicas"][0] if form == "json" else said_json)["sha256"] == SHA


def test_a_scrub_says_who_reads(fake: FakeClient, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["replica", "scrub", "--node", "n1"]) == Exit.OK
    assert capsys.readouterr().out == "n1 reads its content again\n"
    fake.unanswered = {"n2": "no answer"}
    assert run(["replica", "scrub"]) == Exit.UNAVAILABLE
    assert "n2 does not: no answer" in capsys.readouterr().out
    assert run(["replica", "scrub", "--under"]) == Exit.USAGE
    assert "E_USAGE" in capsys.readouterr().err
    assert fake.asked == ["n1", ""]
