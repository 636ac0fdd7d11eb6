"""How commands end: each exit code, through the whole command."""

from __future__ import annotations

import json
import re

import pytest
from msgspec import Struct

from bus.api import Cancelled, Changed, Node, Submitted, TaskCounts
from bus.codes import CODES
from bus.errors import Disconnected, Error
from bus.requests import Cancel, JobQuery, NodeSteer, Retry, TaskQuery
from bus.spec import JobSpec
from bus.values import JobState, NodeAdmin, NodeHealth, NodeKind, Resources, TaskState
from tests.unit.tui.command import Answer, Corral, a_job, a_task
from tui.cli.diagnostics import Exit


def refusing(code: str, status: int) -> Answer:
    return lambda request: Error(code=code, message="so it is", status=status)


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("E_RANGE", 422, Exit.USAGE),
        ("E_NOT_FOUND", 404, Exit.NOT_FOUND),
        ("E_AUTH", 401, Exit.NOT_AUTHENTICATED),
        ("E_FORBIDDEN", 403, Exit.FORBIDDEN),
        ("E_IDEM_CONFLICT", 409, Exit.CONFLICT),
        ("E_UNSATISFIABLE", 422, Exit.UNSATISFIABLE),
        ("E_UNAVAILABLE", 503, Exit.UNAVAILABLE),
        ("E_TIMEOUT", 504, Exit.TIMEOUT),
        ("E_FROM_A_NEWER_SERVER", 409, Exit.CONFLICT),
    ],
)
def test_a_refusal_has_its_exit_code(corral: Corral, code: str, status: int, expected: int) -> None:
    corral.answer = refusing(code, status)
    exit_code, out, err = corral("jobs")
    assert (exit_code, out) == (expected, "")
    assert err.startswith(f"error[{code}]: so it is\n")


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_code_ends_as_its_table_says(corral: Corral, code: str) -> None:
    corral.answer = refusing(code, CODES[code].status)
    exit_code, _, err = corral("job", "7")
    assert exit_code == CODES[code].exit
    assert re.fullmatch(r"error\[E_\w+\]: .+\nhint: .+\n", err)


def test_an_error_is_json_where_the_answer_would_be(corral: Corral) -> None:
    corral.answer = refusing("E_NOT_FOUND", 404)
    code, out, err = corral("job", "7", "-o", "json")
    error = json.loads(err)["error"]
    assert (code, out, error["code"], error["status"]) == (Exit.NOT_FOUND, "", "E_NOT_FOUND", 404)
    assert error["hint"]
    code, _, err = corral("job", "x1", "-o", "jsonl")
    error = json.loads(err)["error"]
    assert (code, error["code"], error["got"]) == (Exit.USAGE, "E_ID", "'x1'")


def test_no_connection_is_69(corral: Corral, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(*_: object, **__: object) -> object:
        raise Disconnected("no NATS server answers at nats://x:1")

    monkeypatch.setattr("bus.client.Client.connect", nobody)
    code, _, err = corral("jobs")
    assert code == Exit.UNAVAILABLE
    assert "nats://x:1" in err and "hint: " in err


def ended(job_state: JobState, *, total: int = 1, **task: object) -> Answer:
    def answer(request: Struct) -> Struct | None:
        match request:
            case JobQuery():
                return a_job(int(request.job), state=job_state, counts=TaskCounts(total=total))
            case TaskQuery():
                return a_task(7, 0, **task)
            case JobSpec():
                return Submitted(number=7, id="i", tasks=total)
        return None

    return answer


@pytest.mark.parametrize(
    ("state", "task", "expected"),
    [
        (JobState.COMPLETED, {"exit_code": 0}, 0),
        (JobState.FAILED, {"exit_code": 9}, 9),
        (JobState.FAILED, {"signal": 9}, 137),
        (JobState.FAILED, {"state": TaskState.TIMEOUT, "signal": 15}, 143),
        (JobState.CANCELLED, {"state": TaskState.CANCELLED}, 1),
    ],
)
@pytest.mark.parametrize("argv", [("wait", "7"), ("submit", "--wait", "--", "true")])
def test_a_job_of_one_task_ends_as_its_task(
    corral: Corral, argv: tuple[str, ...], state: JobState, task: dict[str, object], expected: int
) -> None:
    corral.answer = ended(state, **task)
    code, out, _ = corral(*argv)
    assert code == expected
    assert out.startswith(f"job 7 {state}: ")


@pytest.mark.parametrize("argv", [("wait", "7"), ("submit", "--wait", "--", "true")])
def test_what_was_waited_for_is_one_document_in_json(corral: Corral, argv: tuple[str, ...]) -> None:
    corral.answer = ended(JobState.COMPLETED, exit_code=0)
    document = json.loads(corral(*argv[:1], "-o", "json", *argv[1:])[1])
    assert (document["number"], document["state"]) == (7, "completed")


def test_several_that_were_waited_for_are_an_array(corral: Corral) -> None:
    corral.answer = ended(JobState.COMPLETED, exit_code=0)
    assert [job["number"] for job in json.loads(corral("wait", "7", "8", "-o", "json")[1])] == [7, 8]
    assert len(corral("wait", "7", "8")[1].splitlines()) == 2


def test_a_job_of_many_tasks_that_failed_is_1(corral: Corral) -> None:
    corral.answer = ended(JobState.FAILED, total=3, exit_code=9)
    assert corral("wait", "7")[0] == Exit.JOB_FAILED


def test_of_several_jobs_one_that_failed_is_1(corral: Corral) -> None:
    def answer(request: Struct) -> Struct | None:
        assert isinstance(request, JobQuery)
        state = JobState.FAILED if request.job == "8" else JobState.COMPLETED
        return a_job(int(request.job), state=state, counts=TaskCounts(total=1))

    corral.answer = answer
    assert corral("wait", "7", "9")[0] == Exit.OK
    assert corral("wait", "7", "8", "9")[0] == Exit.JOB_FAILED


def test_wait_gives_up_in_time_with_75(corral: Corral) -> None:
    corral.answer = ended(JobState.RUNNING)
    code, _, err = corral("wait", "7", "--timeout", "100ms", "--quiet")
    assert code == Exit.TIMEOUT
    assert "corral wait 7 comes back" in err


def test_one_bad_target_does_not_keep_the_others_from_their_turn(corral: Corral) -> None:
    def answer(request: Struct) -> Struct | None:
        assert isinstance(request, Cancel)
        return Cancelled(tasks=2) if request.target != "8" else None

    corral.answer = answer
    code, out, err = corral("cancel", "7", "8", "9.1")
    assert code == Exit.NOT_FOUND
    assert out == "7: 2 tasks told to end\n9.1: 2 tasks told to end\n"
    assert "E_NOT_FOUND" in err
    code, out, _ = corral("cancel", "7", "-o", "json")
    assert (code, json.loads(out)) == (Exit.OK, {"cancelled": [{"target": "7", "tasks": 2}]})


def test_a_bad_id_among_many_changes_nothing(corral: Corral) -> None:
    code, _, err = corral("retry", "7", "8x")
    assert (code, corral.asked) == (Exit.USAGE, [])
    assert "E_ID" in err


def test_retry_says_how_many_tasks(corral: Corral) -> None:
    corral.answer = lambda request: Changed(tasks=1) if isinstance(request, Retry) else None
    assert corral("retry", "7.3")[1] == "7.3: 1 task queued again\n"


@pytest.mark.parametrize(("verb", "admin"), [("drain", NodeAdmin.DRAINING), ("uncordon", NodeAdmin.ACTIVE)])
def test_steering_tells_what_the_node_is_now(corral: Corral, verb: str, admin: NodeAdmin) -> None:
    def answer(request: Struct) -> Struct | None:
        assert isinstance(request, NodeSteer)
        return Node(
            name=request.node, id="i", health=NodeHealth.HEALTHY, admin=admin, kind=NodeKind.COMPUTE,
            capacity=Resources(), allocated=Resources(), running=2, waiting=0, load=0.0, last_heartbeat_s=0.0,
            labels={}, version="0", reason=request.reason,
        )  # fmt: skip

    corral.answer = answer
    code, out, _ = corral(verb, "n1", "n2", "--reason", "disk")
    word = "healthy, draining" if admin is NodeAdmin.DRAINING else "healthy"
    assert (code, out) == (0, "".join(f"{name}: {word}; 2 running (disk)\n" for name in ("n1", "n2")))
