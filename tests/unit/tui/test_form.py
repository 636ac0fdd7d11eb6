"""A form gives the job that the command it shows would give, and says what is wrong where it stands."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import to_builtins

from bus.codec import from_fields
from bus.errors import Error
from bus.spec import JobSpec
from tui.cli.dispatch import parse
from tui.cli.form import LINES, Form, check, form_of, is_typable, told
from tui.cli.specification import job_spec

WORD = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)


def test_a_form_and_its_command_line_give_the_same_job() -> None:
    texts = {
        "command": "python3 'my train.py' -n 3", "name": "train", "array": "0-9%3", "cpu": "2",
        "memory": "4GiB", "gpu": "a100:2", "timeout": "1h30m", "priority": "high", "retries": "1",
        "env": "A=1 'B=two words'", "after": "7 8:any", "label": "zone=a", "more": "--preemptible --spread",
    }  # fmt: skip
    checked = check(Form(texts=texts))
    assert checked.faults == {} and checked.spec is not None
    arguments = parse(shlex.split(checked.command)[1:])
    assert arguments is not None and job_spec(arguments) == checked.spec
    assert checked.spec.env == {"A": "1", "B": "two words"} and checked.spec.preemptible
    assert checked.spec.resources is not None and checked.spec.resources.gpu_type == ["a100"]


@pytest.mark.parametrize(
    ("texts", "line", "said"),
    [
        ({}, "", "nothing to run"),
        ({"command": "echo 'x"}, "command", "no closing quotation"),
        ({"command": "x", "cpu": "many"}, "cpu", "expected"),
        ({"command": "x", "memory": "4 parsecs"}, "memory", "expected"),
        ({"command": "x", "array": "9-1"}, "array", "expected"),
        ({"command": "x", "priority": "12"}, "priority", "expected"),
        ({"command": "x", "retries": "99"}, "retries", "expected"),
        ({"command": "x", "env": "A"}, "env", "NAME=VALUE"),
        ({"command": "x", "timeout": "soon"}, "timeout", "expected"),
        ({"command": "x", "shell": "y"}, "shell", "exclude"),
        ({"command": "x", "file": "/no/such/file.toml"}, "file", "No such file"),
        ({"command": "x", "more": "--nonsense"}, "", "nonsense"),
        ({"command": "x", "more": "--help"}, "more", "no place"),
    ],
)
def test_what_is_wrong_is_said_where_it_stands(texts: dict[str, str], line: str, said: str) -> None:
    checked = check(Form(texts=texts))
    assert checked.spec is None and said in checked.faults[line], checked.faults


def test_several_faults_are_all_told() -> None:
    assert {"cpu", "memory"} <= set(check(Form(texts={"command": "x", "cpu": "q", "memory": "q"})).faults)
    refused = Error(code="E_RANGE", message="too much", field="/resources/gpu")
    refused.more = [Error(code="E_FIELD", message="odd", field="/metadata")]
    assert told(refused) == {"gpu": "too much", "": "odd"}


@pytest.mark.parametrize(
    "spec",
    [
        {"command": ["/bin/sh", "-c", "a | b"], "name": "pipe", "dedupe_key": "once"},
        {"command": ["x", "a b"], "resources": {"cpu": 1500, "memory": "2GiB", "gpu": 1, "gpu_type": ["t4"]}},
        {"tool": "wordcount", "input": {"files": ["a"]}, "after": [7, "8:any"], "env": {"A": "b c"}},
        {"tasks": [{"command": ["a"]}, {"command": ["b"], "needs": ["a"]}], "timeout": 90.0, "priority": 7},
        {"command": ["x"], "constraints": {"labels": {"zone": "a"}, "nodes": ["n1"]}, "array": "0-9%3"},
    ],
)
def test_an_old_job_comes_out_as_it_was(spec: dict[str, Any]) -> None:
    before = from_fields(spec, JobSpec)
    form = form_of(to_builtins(before))
    checked = check(form)
    assert checked.faults == {} and checked.spec is not None
    before.dedupe_key = None
    assert meaning(checked.spec) == meaning(before)


@pytest.mark.parametrize(
    "spec",
    [
        {"command": ["echo", "\x1b]52;c;ZXZpbA==\x07"]},
        {"command": ["/bin/sh", "-c", "first line\nsecond line"]},
        {"command": ["echo", "x" * 5_000], "name": "long"},
        {"command": ["x"], "name": "\u202egnp.exe", "env": {"A": "\t"}},
        {"command": ["x"], "constraints": {"labels": {"zone": "\x9b31m"}, "nodes": ["n1"]}},
    ],
)
def test_what_must_not_be_shown_or_would_be_cut_comes_out_as_it_was(spec: dict[str, Any]) -> None:
    form = form_of(spec)
    assert all(is_typable(text) for text in form.texts.values())
    assert form.base, "it is kept beside the lines"
    checked = check(form)
    assert checked.spec is not None, checked.faults
    plain = to_builtins(checked.spec)
    assert {name: plain[name] for name in spec} == spec


def meaning(spec: JobSpec) -> dict[str, Any]:
    """A spec with amounts in one way of writing."""
    plain: dict[str, Any] = to_builtins(spec)
    resources = plain.get("resources", {})
    for name, unit in (("cpu", "m"), ("memory", "MiB"), ("gpu", "")):
        if isinstance(resources.get(name), int):
            resources[name] = f"{resources[name]}{unit}"
    for name in ("priority", "timeout", "retries"):
        if name in plain:
            plain[name] = str(plain[name])
    plain["after"] = [str(one) for one in plain.get("after", [])]
    return plain


@given(st.lists(WORD, min_size=1, max_size=4))
def test_any_command_comes_back_word_for_word(words: list[str]) -> None:
    checked = check(form_of({"command": words}))
    assert checked.spec is not None and checked.spec.command == words


@given(st.fixed_dictionaries({}, optional={line.name: WORD for line in LINES if line.name != "file"}))
def test_nothing_that_is_typed_breaks_the_form(texts: dict[str, str]) -> None:
    checked = check(Form(texts=texts))
    assert (checked.spec is None) == bool(checked.faults)
