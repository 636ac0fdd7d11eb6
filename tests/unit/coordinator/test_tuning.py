"""The gate's shell: when it looks, what a verdict becomes, and that a replay ends with its leader."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest

from coordinator.core.effects import ExperienceRecord, LearningNotes
from coordinator.core.scheduler import places
from coordinator.core.scheduler.after_state import START
from coordinator.core.scheduler.learner import Action, Arrival, Experience, Learner, Situation
from coordinator.core.scheduler.planner import Asked
from coordinator.core.scheduler.policies import BASE_RULES, POLICIES, Kind, Mode, Policy
from coordinator.core.scheduler.values import LEARNED
from coordinator.sim.trace_files import TraceError
from coordinator.sim.tuning import OWN_MIN, Ran, Tuning, judged
from coordinator.sim.workload_model import model_jobs
from coordinator.store.learned import Ran as Known
from coordinator.tuning import Tuning as Replaying
from coordinator.tuning import has_changed
from tests.unit.coordinator.shell import Shell, running_shell

PLANTED = "predicted long"
EVIDENCE = {"policy": "rollout", "static": "sjf", "windows": 16, "tried": 2, "log_ratio": -0.2, "t": -3.0}
RESULT = {
    "source": "history",
    "jobs": 300,
    "policy": "rollout",
    "static": "sjf",
    "evidence": EVIDENCE,
    "costs": {"rollout": [8.0, 4.0], "sjf": [10.0, 5.0], "fcfs": [20.0, 10.0]},
    "table": {"rules": ["short"], "values": {"queue 1": {"short": -1.0}}, "visits": {}},
    "seconds": 1.0,
}


def saying(*lines: dict[str, Any], then: str = "") -> list[str]:
    """A child that reads all, says these, and does `then`."""
    text = "\n".join(json.dumps(line) for line in lines)
    return [sys.executable, "-c", f"import sys, time; sys.stdin.read(); print({text!r}, flush=True); {then}"]


async def over(shell: Shell) -> None:
    async with asyncio.timeout(10.0):
        while shell.tuning.busy:
            await asyncio.sleep(0.01)
    await shell.loop.barrier()


async def test_a_verdict_becomes_the_policy() -> None:
    async with running_shell(tune=saying({"progress": [1, 2]}, {"result": RESULT})) as shell:
        answer = await shell.ask("olga", "scheduler.train")
        assert answer["test"]["by"] == "olga" and answer["test"]["ended_at"] is None
        assert (await shell.ask("olga", "scheduler.train"))["error"]["code"] == "E_TOO_OFTEN"
        await over(shell)
        found = await shell.ask("rita", "scheduler.status")
        assert found["policy"] == found["acts"] == "rollout"
        assert found["evidence"]["t"] == -3.0 and found["evidence"]["source"] == "history"
        assert found["test"]["done"] == 1 and found["test"]["total"] == 2
        assert found["snapshots"][0]["reason"] == "policy rollout"
        assert found["shadow"] == pytest.approx(0.0)
        shown = await shell.ask("olga", "scheduler.mode", mode="shadow")
        assert shown["acts"] == "fcfs" and shown["shadow"] == pytest.approx(-0.9163, abs=1e-3)
        (row,) = (await shell.ask("olga", "audit.list", id=shown["audit"]))["audits"]
        assert (row["actor"], row["action"], row["object"]) == ("olga", "scheduler.mode", "shadow")
        assert (await shell.ask("olga", "scheduler.mode", mode="shadow"))["audit"] == "", "it was so already"
        assert shell.cluster.planner.table.values == {"queue 1": {"short": -1.0}}


async def test_who_does_not_pass_leaves_it_to_the_best_static_rule() -> None:
    failed = RESULT | {"policy": ""}
    async with running_shell(tune=saying({"result": failed})) as shell:
        await shell.ask("olga", "scheduler.train")
        await over(shell)
        assert shell.cluster.policy == "sjf"
        assert (await shell.ask("olga", "scheduler.replay"))["test"]["adopts"] is False
        await over(shell)
    configured = failed | {"static": "fcfs"}
    async with running_shell(tune=saying({"result": configured})) as shell:
        shell.cluster.policy = "rollout"
        await shell.ask("olga", "scheduler.train")
        await over(shell)
        assert shell.cluster.policy == "", "the configured rule is the best one"


async def test_placements_are_judged_where_they_are_to_be_learned(tmp_path: Path) -> None:
    weights = places.write(START, [(100, 64, 1, 500)])
    placed = {"weights": base64.b64encode(weights).decode(), "evidence": EVIDENCE | {"policy": "after_state"}}
    said, heard = json.dumps({"result": RESULT | {"placed": placed}}), tmp_path / "heard"
    text = f"import sys; open({str(heard)!r}, 'w').write(sys.stdin.read()); print({said!r}, flush=True)"
    async with running_shell(tune=[sys.executable, "-c", text]) as shell:
        for name in ("n2", "n1"):
            await shell.agent(name)
        shell.cluster.rank = LEARNED
        for _ in range(2):
            await shell.ask("olga", "scheduler.train")
            await over(shell)
        asked = msgspec.json.decode(heard.read_bytes(), type=Tuning)
        assert asked.places is not None and [node.name for node in asked.places.nodes] == ["n1", "n2"]
        assert asked.places.known == (tuple(START.tolist()),) * 2, "what acts, and what it comes to"
        assert shell.cluster.planner.weights == weights
        found = await shell.ask("rita", "scheduler.status")
        assert found["evidence"]["placement"]["policy"] == "after_state"
        await shell.ask("olga", "scheduler.replay")
        await over(shell)
        shell.cluster.rank = "best_fit"
        await shell.ask("olga", "scheduler.replay")
        await over(shell)
        assert msgspec.json.decode(heard.read_bytes(), type=Tuning).places is None


@pytest.mark.parametrize(
    ("child", "text"),
    [
        (saying({"error": {"code": "E_TRACE", "message": "line 3: no number"}}), "line 3"),
        (saying({"progress": [1, 2]}, then="print('boom', file=sys.stderr); sys.exit(3)"), "code 3"),
    ],
)
async def test_a_replay_that_fails_says_so_and_changes_nothing(
    child: list[str], text: str, capfd: pytest.CaptureFixture[str]
) -> None:
    async with running_shell(tune=child) as shell:
        await shell.ask("olga", "scheduler.train")
        await over(shell)
        found = await shell.ask("olga", "scheduler.status")
        assert text in found["test"]["error"] and not found["policy"] and not found["snapshots"]
    assert ("boom" in capfd.readouterr().err) == ("code" in text), "whoever reads the log learns why"


async def test_a_replay_ends_with_its_leader() -> None:
    async with running_shell(tune=saying({"progress": [1, 2]}, then="time.sleep(60)")) as shell:
        running = asyncio.create_task(shell.tuning.run())
        await shell.ask("olga", "scheduler.train")
        async with asyncio.timeout(10.0):
            while not (shell.tuning.test and shell.tuning.test.done):
                await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.wait({running})
        assert not shell.tuning.busy


async def test_experiences_of_the_leader_before_are_written_once() -> None:
    async with running_shell() as shell:
        job = Asked(1.0, "u", 1, 1, 60.0)
        learner = Learner()
        for number in range(3):
            learner.note(Arrival(job))
            learner.note(
                Experience(
                    task=UUID(int=number),
                    at_s=5.0,
                    before=None,
                    action=Action(node="n1", order="fcfs"),
                    reward=-1.0,
                    after=None,
                    over=True,
                    priority=0.0,
                    job=job,
                    run_s=4.0,
                )
            )
        notes = LearningNotes(at=5.0, last=6, notes=msgspec.json.encode(learner.take_notes()))
        shell.learned.written = {2, 6}
        written: list[Any] = []
        tuning = Replaying(
            shell.loop,
            shell.learned,
            shell.clock,
            record=written.extend,
            epoch=7,
            every_s=3600.0,
            notes=(notes,),
        )
        running = asyncio.create_task(tuning.run())
        async with asyncio.timeout(10.0):
            while not written:
                await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.wait({running})
        assert [each.sequence for each in written if isinstance(each, ExperienceRecord)] == [4]


def test_a_change_of_mix_is_a_factor_of_four() -> None:
    then = Situation(queue=1, load=0.5, mix=6.0, width=3.0)
    assert not has_changed(then, then._replace(queue=1000, load=1.0, mix=7.9))
    assert has_changed(then, then._replace(mix=8.0)) and has_changed(then, then._replace(width=1.0))


async def test_unknown_orders_and_pickles_are_refused() -> None:
    async with running_shell() as shell:
        error = (await shell.ask("olga", "scheduler.replay", policies=["best"]))["error"]
        assert (error["code"], error["got"]) == ("E_VALUE", "'best'") and "fcfs" in error["expected"]
        error = (await shell.ask("olga", "scheduler.replay", policies=["predicted short"]))["error"]
        assert (error["code"], error["field"]) == ("E_VALUE", "/policies") and "fcfs" in error["expected"]
        error = (await shell.ask("olga", "scheduler.export", snapshot=7))["error"]
        assert error["code"] == "E_NOT_FOUND"
        error = (await shell.ask("olga", "scheduler.replay", swf="gASVBQ=="))["error"]
        assert error["code"] == "E_PICKLE"
        shell.cluster.mode = Mode.OFF
        assert (await shell.ask("rita", "scheduler.status"))["next_test_s"] is None


def test_own_history_is_replayed_and_a_planted_bad_order_stays_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("coordinator.sim.tuning._say", lambda key, value: None)
    monkeypatch.setitem(BASE_RULES, "long", lambda run_s, nodes, weight: -run_s)
    monkeypatch.setitem(POLICIES, PLANTED, Policy(name=PLANTED, kind=Kind.PREDICTED, rules=("long",)))
    ran = tuple(
        Ran(place * 60.0, run_s := (600.0, 5.0, 5.0, 60.0)[place % 4], 2 * run_s, f"u{place % 4}", 4, 4)
        for place in range(600)
    )
    found = judged(Tuning(jobs=ran, nodes=4, policies=("fcfs", "sjf", PLANTED)))
    assert (found.source, found.jobs, found.policy) == ("history", 600, "")
    assert found.evidence.windows >= 16 and found.evidence.log_ratio > 0
    early = judged(Tuning(jobs=ran[: OWN_MIN - 1], nodes=4, policies=("fcfs", "sjf")))
    assert early.source == "model"


def test_a_trace_is_not_named_by_where_it_lies_here() -> None:
    with pytest.raises(TraceError, match=r"^the trace, line 1: 2 fields instead of 18"):
        judged(Tuning(jobs=(), nodes=4, swf=b"1 2\n"))


def test_the_model_asks_for_most_of_the_machine() -> None:
    jobs = model_jobs(4000, 1000, seen=[], seed=3)
    span_s = jobs[-1].submitted_s - jobs[0].submitted_s
    load = sum(job.run_s * job.nodes for job in jobs) / (span_s * 1000)
    assert 0.8 < load < 1.0 and all(
        1 <= job.nodes <= 1000 and job.run_s <= job.requested_s + 60 for job in jobs
    )
    assert jobs == model_jobs(4000, 1000, seen=[], seed=3) != model_jobs(4000, 1000, seen=[], seed=4)
    assert model_jobs(50, 1000, seen=jobs[:256], seed=5)[0].nodes in {job.nodes for job in jobs}


def test_known_jobs_travel_as_they_are() -> None:
    assert Known.__struct_fields__ == Ran.__struct_fields__
