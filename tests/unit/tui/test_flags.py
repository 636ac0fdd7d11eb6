"""A refused field is told in the words of the line that was typed; programs get its pointer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bus.errors import Error
from tests.unit.tui.command import Answer, Corral


def refusing(field: str) -> Answer:
    return lambda request: Error(code="E_VALUE", message="not so", field=field, got="'x'")


@pytest.mark.parametrize(
    ("argv", "field", "told"),
    [
        ("jobs --filter x", "/filter", "at --filter: "),
        ("jobs --sort x", "/sort", "at --sort: "),
        ("jobs --cursor x", "/cursor", "at --cursor: "),
        ("jobs --user x", "/user", "at --user: "),
        ("jobs --state failed", "/states/0", "at --state: "),
        ("submit --cpu 2 -- true", "/resources/cpu", "at --cpu: "),
        ("submit --gpu 1 -- true", "/resources/gpu", "at --gpu: "),
        ("submit --array 0-9 -- true", "/array", "at --array: "),
        ("submit --dedupe-key x -- true", "/dedupe_key", "at --dedupe-key: "),
        ("submit --env A=1 -- true", "/env/A", "at --env: "),
        ("submit --label a=b -- true", "/constraints/labels/a", "at --label: "),
        ("submit --node n1 -- true", "/constraints/nodes/0", "at --node: "),
        ("submit --prefer a=b:0 -- true", "/constraints/prefer/0", "at --prefer: "),
        ("plan --avoid 7 -- true", "/constraints/avoid/0", "at --avoid: "),
        ("run --topology rack -- true", "/constraints/topology", "at --topology: "),
        ("plan --retries 3 -- true", "/retries", "at --retries: "),
        ("run --timeout 3s -- true", "/timeout", "at --timeout: "),
        ("cordon n1 --reason x", "/reason", "at --reason: "),
        ("token user ann --ttl 1h", "/ttl_s", "at --ttl: "),
        ("submit -- true", "/command/0", "at /command/0: "),
        ("submit --cpu 2 -- true", "/resources/memory", "at /resources/memory: "),
        ("job 7", "/job", "not so: "),
        ("cancel 7", "/target", "not so: "),
        ("cordon n1", "/node", "not so: "),
        ("events --node n1", "/node", "at --node: "),
        ("token user ann", "/name", "not so: "),
    ],
)
def test_a_field_is_told_as_it_was_typed(corral: Corral, argv: str, field: str, told: str) -> None:
    corral.answer = refusing(field)
    code, out, err = corral(*argv.split())
    assert (code, out) == (2, "")
    assert told in err.splitlines()[0]


def test_what_stands_in_a_file_keeps_its_pointer(corral: Corral, tmp_path: Path) -> None:
    corral.answer = refusing("/array")
    file = tmp_path / "job.json"
    file.write_text('{"command": ["true"], "array": "0-9"}')
    assert "at /array: " in corral("submit", "--file", str(file))[2]
    assert "at --array: " in corral("submit", "--file", str(file), "--array", "0-9")[2]
    corral.answer = refusing("/name")
    assert "at /name: " in corral("submit", "--file", str(file))[2]


def test_programs_are_told_the_pointer(corral: Corral) -> None:
    corral.answer = refusing("/filter")
    error = json.loads(corral("jobs", "--filter", "x", "-o", "json")[2])["error"]
    assert (error["field"], error["pointer"]) == ("/filter", "/filter")


def test_every_fault_is_told_as_it_was_typed(corral: Corral) -> None:
    def two(_: object) -> Error:
        more = [Error(code="E_RANGE", message="nor so", field="/resources/memory")]
        return Error(code="E_RANGE", message="not so", field="/resources/cpu", more=more)

    corral.answer = two
    err = corral("submit", "--cpu", "2", "--memory", "1G", "--", "true")[2]
    assert "not so at --cpu\n" in err and "nor so at --memory\n" in err


@pytest.mark.parametrize(
    ("argv", "flag", "beside"),
    [
        ("scheduler status --snapshot 3", "--snapshot", "status"),
        ("scheduler mode on --seed 2", "--seed", "mode"),
        ("scheduler export --from-history", "--from-history", "export"),
        ("scheduler train --snapshot 3", "--snapshot", "train"),
        ("bench scheduler --openb nodes pods --backfill", "--backfill", "--openb"),
        ("bench scheduler --openb nodes pods --starts 1,2", "--starts", "--openb"),
        ("bench scheduler --swf trace --seeds 3", "--seeds", "--swf"),
        ("bench scheduler --results file --training-seed 2", "--training-seed", "--results"),
    ],
)
def test_what_would_do_nothing_is_refused(corral: Corral, argv: str, flag: str, beside: str) -> None:
    code, out, err = corral(*argv.split())
    assert (code, out, corral.asked) == (2, "", [])
    assert f"it does nothing with {beside} at {flag}\n" in err
