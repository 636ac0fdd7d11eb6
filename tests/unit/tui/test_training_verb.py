"""`corral train`: what it asks for and what it shows."""

from __future__ import annotations

import json

import pytest
from msgspec import Struct
from msgspec.structs import replace

from bus.results import TaskResult
from bus.training import GangPage, GangProgress, GangQuery, GangRanks, Rank, RankQuery, RankUsage
from bus.values import TaskState
from tests.unit.tui.command import Corral
from tui.view.training import RANK_COLUMNS, available_text, gang_row, rank_row, rank_rows, said_text, spans

GANG = GangProgress(
    task="7.0", name="net\x1b[31m", state=TaskState.RUNNING, attempt=2, ranks=4, nodes=2, live=3, running=3,
    completed=1, progress=45.5, message="epoch 3", metrics={"loss": 0.25, "a": 1, "b": 2, "c": 3}, step=1200,
    saved_at=1_000.0, saving=1300, shards=3,
)  # fmt: skip
RANKS = [
    Rank(
        rank=0, node="n1", state="running", assigned_at=1.0, started_at=10.0, checkpoint="step-1200",
        usage=RankUsage(at=50.0, cpu_millis=1_500.0, mem_mib=2_048.0, gpus=0.5, gpu_mem_mib=512.0),
    ),
    Rank(
        rank=1, node="n2", state="failed", assigned_at=1.0, started_at=10.0, ended_at=13.0, exit_code=3,
        message="exit code 3", checkpoint="step-10", metrics={"saved": 0.5},
        told=TaskResult(fence=2, progress=45.5, step=17, message="epoch\x1b3", metrics={"lag": 0.125},
                        faults=2, fault="no JSON"),
    ),
]  # fmt: skip
FOUND = GangRanks(gang=GANG, ranks=RANKS, available=[1, 2, 3])


def answer(request: Struct) -> Struct | None:
    match request:
        case GangQuery():
            return GangPage(gangs=[GANG], next="0")
        case RankQuery():
            return FOUND
    return None


@pytest.fixture
def train(corral: Corral) -> Corral:
    corral.answer = answer
    return corral


def test_how_far_it_is(train: Corral) -> None:
    code, said, told = train("train", "status", "7", "--limit", "1")
    assert code == 0 and train.asked == [GangQuery(target="7", limit=1)]
    for words in ("7.0", "running", "3/4", "45.5 %", "1200", "1300: 3/4 ranks", "a=1 b=2 c=3 …", "epoch 3"):
        assert words in said
    assert "\x1b" not in said and "--limit" in told
    assert json.loads(train("train", "status", "7", "-o", "json")[1])["gangs"][0]["shards"] == 3
    assert json.loads(train("train", "status", "7", "-o", "jsonl")[1])["task"] == "7.0"
    assert train("train", "status", "7", "-o", "name")[1] == "7.0\n"


def test_rank_by_rank(train: Corral) -> None:
    code, said, told = train("train", "ranks", "7.0")
    assert code == 0 and train.asked == [RankQuery(task="7.0")]
    for words in ("n1", "1.50", "2.0G", "512M", "step-1200", "failed", "3.0s", "exit code 3"):
        assert words in said
    head, first, second = said.splitlines()
    assert first.split()[head.split().index("STEP") :][:3] == ["–"] * 3, "it has told nothing"
    for words in ("17", "lag=0.125", "45.5 %, epoch", "2 lines could not be used: no JSON"):
        assert words in second
    assert "saved=" not in second and "\x1b" not in said
    assert told.strip() == "3 of 4 ranks have no place now: 1-3"
    assert len(json.loads(train("train", "ranks", "7", "-o", "json")[1])["ranks"]) == 2
    assert len(train("train", "ranks", "7", "-o", "jsonl")[1].splitlines()) == 2
    assert train("train", "ranks", "7", "-o", "name")[1].splitlines() == ["7.0:0", "7.0:1"]


def test_before_the_first_try_every_rank_waits() -> None:
    rows = rank_rows(replace(FOUND, ranks=[], available=[0, 1]), now_s=60.0)
    assert [row[:3] for row in rows] == [("0", "–", "waits"), ("1", "–", "waits")]
    assert len({len(row) for row in rows} | {len(rank_rows(FOUND, now_s=60.0)[0])}) == 1


def test_what_a_rank_told_last_comes_before_what_it_saved() -> None:
    silent, failed = RANKS
    assert failed.told is not None
    saved = replace(failed, told=replace(failed.told, metrics={}))
    place = [each.title for each in RANK_COLUMNS].index("METRICS")
    shown = [
        rank_row(each, now_s=60.0)[place] for each in (silent, failed, saved, replace(failed, told=None))
    ]
    assert shown == ["–", "lag=0.125", "saved=0.5", "saved=0.5"]


def test_what_a_rank_says() -> None:
    assert said_text(None) == said_text(TaskResult(fence=1)) == "–"
    assert said_text(TaskResult(fence=1, progress=100.0)) == "100 %"
    assert said_text(TaskResult(fence=1, faults=1, fault="x")) == "1 line could not be used: x"


def test_what_was_never_told_is_a_dash() -> None:
    bare = GangProgress(
        task="7.0", state=TaskState.QUEUED, attempt=0, ranks=2, nodes=0, live=0, running=0, completed=0
    )
    assert gang_row(bare, now_s=0.0) == ("7.0", "–", "queued", "–", "0/2", "0", "0", *"––––––")


def test_ranks_without_a_place() -> None:
    assert available_text(replace(FOUND, available=[])) == ""
    assert available_text(replace(FOUND, available=[2])) == "1 of 4 ranks has no place now: 2"
    over = replace(FOUND, gang=replace(GANG, state=TaskState.COMPLETED))
    assert available_text(over) == ""
    assert spans([0, 1, 2, 4, 6, 7]) == "0-2, 4, 6-7"


@pytest.mark.parametrize("words", [("status",), ("ranks",), ("show", "7"), ("status", "7", "--limit", "0")])
def test_lines_that_are_refused(train: Corral, words: tuple[str, ...]) -> None:
    code, _, told = train("train", *words)
    assert code == 2 and "E_" in told and train.asked == []
