"""`corral verify`: the report for people and for scripts, and an exit code that a script can trust."""

from __future__ import annotations

import json

import pytest

from bus.api import Verification, Violation
from bus.requests import Empty
from tests.unit.tui.command import Corral
from tui.cli.diagnostics import Exit

CLEAN = Verification(at=1.0, epoch=7, checked={"jobs": 1200, "nodes asked": 2}, silent=["n3"], took_s=0.25)
BROKEN = Verification(
    at=1.0,
    epoch=7,
    checked={"jobs": 3},
    violations=[
        Violation(invariant="I2", object="1042.7#2", what="runs twice", hint="end it"),
        Violation(invariant="I4", object="n1", what="books\x1b[31m", hint="end it"),
        Violation(invariant="I8", object="n2", what="differs"),
    ],
)


def test_a_sound_cluster_ends_with_0_and_says_what_was_looked_at(corral: Corral) -> None:
    corral.answer = lambda request: CLEAN if isinstance(request, Empty) else None
    code, out, err = corral("verify")
    assert (code, err) == (Exit.OK, "")
    assert out.splitlines() == [
        "checked: 1,200 jobs, 2 nodes asked",
        "not asked, they are silent: n3",
        "no violation; epoch 7, in 0.2 s",
    ]


def test_a_broken_promise_ends_with_1_and_is_named(corral: Corral) -> None:
    corral.answer = lambda request: BROKEN
    code, out, _ = corral("verify")
    lines = out.splitlines()
    assert code == Exit.JOB_FAILED
    assert lines[0].split() == ["RULE", "OBJECT", "WHAT"]
    assert lines[1].split() == ["I2", "1042.7#2", "runs", "twice"]
    assert "\x1b" not in out
    assert lines[5:] == ["hint: end it (I2, I4)", "checked: 3 jobs", "3 violations; epoch 7, in 0.0 s"]


@pytest.mark.parametrize("form", ["json", "jsonl", "name"])
def test_scripts_get_it_whole(corral: Corral, form: str) -> None:
    corral.answer = lambda request: BROKEN
    code, out, _ = corral("verify", "-o", form)
    assert code == Exit.JOB_FAILED
    objects = ["1042.7#2", "n1", "n2"]
    if form == "json":
        document = json.loads(out)
        assert document["epoch"] == 7 and [each["object"] for each in document["violations"]] == objects
    elif form == "jsonl":
        assert [json.loads(line)["object"] for line in out.splitlines()] == objects
    else:
        assert out.split() == objects
