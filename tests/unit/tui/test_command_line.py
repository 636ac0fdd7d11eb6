"""The grammar of the command: what a line means, and what is said about a line that means nothing."""

from __future__ import annotations

import json
import re
from argparse import Namespace
from pathlib import Path

import pytest

from bus.errors import (
    ApiError,
    CredentialsError,
    DecodeError,
    Disconnected,
    Error,
    NoResponders,
    RequestTimeout,
)
from bus.spec import Constraints
from tui.cli import diagnostics
from tui.cli.diagnostics import CommandError, Exit
from tui.cli.dispatch import parse, run
from tui.cli.ids import job_id, task_id
from tui.cli.specification import job_spec


def parsed(*argv: str) -> Namespace:
    arguments = parse(argv)
    assert arguments is not None
    return arguments


@pytest.mark.parametrize(
    ("argv", "hint"),
    [
        (["sumbit"], "did you mean submit?"),
        (["jobs", "--lmit", "3"], "did you mean --limit?"),
        (["jobs", "-o", "yml"], "corral jobs --help shows what it takes"),
        (["submit", "--memroy=4G", "--", "true"], "did you mean --memory?"),
        (["status", "--", "true"], "corral status --help shows what it takes"),
    ],
)
def test_a_wrong_line_ends_with_2_and_a_hint(
    argv: list[str], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(argv) == Exit.USAGE
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"error\[E_USAGE\]: .+\nhint: .+\n", err)
    assert f"hint: {hint}\n" in err


def test_no_verb_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == Exit.OK
    assert "corral run -- echo hello" in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["submit", "run"])
def test_all_after_the_first_dashes_is_the_command(verb: str) -> None:
    arguments = parsed(verb, "--cpu", "2", "--", "git", "log", "-o", "json", "--", "file")
    assert arguments.command == ["git", "log", "-o", "json", "--", "file"]
    assert arguments.output == "table"


def test_options_become_the_specification() -> None:
    spec = job_spec(
        parsed(
            "submit", "--name", "sweep", "--priority", "7", "--cpu", "0.5", "--memory", "4GiB", "--gpu", "1",
            "--env", "A=1", "--env", "B=x=y", "--label", "zone=a", "--node", "n1", "--array", "0-9%2",
            "--timeout", "1h", "--retries", "2", "--idempotent", "--dedupe-key", "k",
            "--after", "1041", "--after", "1042:any", "--retry-on", "exit:75", "--", "true",
        )
    )  # fmt: skip
    assert (spec.name, spec.priority, spec.command, spec.array) == ("sweep", 7, ["true"], "0-9%2")
    assert spec.env == {"A": "1", "B": "x=y"}
    assert spec.resources is not None
    assert (spec.resources.cpu, spec.resources.memory, spec.resources.gpu) == ("0.5", "4GiB", "1")
    assert spec.constraints is not None
    assert (spec.constraints.labels, spec.constraints.nodes) == ({"zone": "a"}, ["n1"])
    assert (spec.after, spec.retry_on) == (["1041", "1042:any"], ["exit:75"])
    assert (spec.timeout, spec.retries, spec.idempotent, spec.dedupe_key) == ("1h", 2, True, "k")


def test_wishes_become_constraints() -> None:
    wishes = "--prefer disk=ssd:5 --prefer zone=a --avoid 1041 --avoid self:2 --spread --topology rack"
    spec = job_spec(parsed("submit", *wishes.split(), "--", "true"))
    assert spec.constraints == Constraints(
        prefer=["disk=ssd:5", "zone=a"], avoid=["1041", "self:2"], placement="spread", topology="rack"
    )
    with pytest.raises(CommandError, match="--pack"):
        parsed("submit", "--spread", "--pack", "--", "true")


def test_for_each_names_every_file_once_sorted_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("b.txt", "a.txt", "c.md"):
        (tmp_path / name).write_text(name)
    (tmp_path / "folder.txt").mkdir()
    monkeypatch.chdir(tmp_path)
    spec = job_spec(parsed("submit", "--tool", "wordcount", "--for-each", "*.txt", "--for-each", "a.*"))
    assert spec.for_each == [str(tmp_path / "a.txt"), str(tmp_path / "b.txt")]


def test_a_pattern_without_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="no file matches"):
        job_spec(parsed("submit", "--tool", "wordcount", "--for-each", str(tmp_path / "*.txt")))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("job.json", '{"command": ["echo", "hi"], "priority": 3, "resources": {"cpu": "2"}}'),
        ("job.toml", 'command = ["echo", "hi"]\npriority = 3\n[resources]\ncpu = "2"\n'),
    ],
)
def test_a_file_gives_the_job_and_options_win(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    spec = job_spec(parsed("submit", "--file", str(tmp_path / name), "--priority", "9", "--memory", "1G"))
    assert (spec.command, spec.priority) == (["echo", "hi"], 9)
    assert spec.resources is not None
    assert (spec.resources.cpu, spec.resources.memory) == ("2", "1G")


def test_an_unknown_field_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text('{"comand": ["true"], "tool": "wordcount"}')
    with pytest.raises(DecodeError) as caught:
        job_spec(parsed("submit", "--file", str(tmp_path / "job.json")))
    error = caught.value.to_error()
    assert (error.code, error.field, error.hint) == ("E_FIELD", "/comand", "did you mean command?")


@pytest.mark.parametrize("text", ["1042", "@last", "0198c2f4", "0198c2f4-7a11-7c3e-9b1e-2f6d0c9a1b2c"])
def test_a_job_is_named_by_number_id_or_last(text: str) -> None:
    assert job_id(text) == text
    assert task_id(f"{text}.7") == f"{text}.7"


@pytest.mark.parametrize("text", ["abc", "1e3", " 12", "१२", "", "1042.", "-1", "1042\n", "0198c2f4-\x1b[2J"])
def test_anything_else_is_no_job(text: str) -> None:
    with pytest.raises(CommandError) as caught:
        job_id(text)
    assert caught.value.exit is Exit.USAGE


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ApiError(Error(code="E_NOT_FOUND", message="no job 7", status=404)), Exit.NOT_FOUND),
        (ApiError(Error(code="E_FORBIDDEN", message="no", status=403)), Exit.FORBIDDEN),
        (ApiError(Error(code="E_IDEM_CONFLICT", message="no", status=409)), Exit.CONFLICT),
        (ApiError(Error(code="E_UNSATISFIABLE", message="no", status=422)), Exit.UNSATISFIABLE),
        (ApiError(Error(code="E_QUOTA", message="no", status=429)), Exit.UNSATISFIABLE),
        (ApiError(Error(code="E_RANGE", message="no", status=422)), Exit.USAGE),
        (ApiError(Error(code="E_STARTING", message="no", status=503)), Exit.UNAVAILABLE),
        (CredentialsError("E_AUTH", "no credentials"), Exit.NOT_AUTHENTICATED),
        (NoResponders("x"), Exit.UNAVAILABLE),
        (Disconnected("x"), Exit.UNAVAILABLE),
        (RequestTimeout("x"), Exit.TIMEOUT),
    ],
)
def test_each_error_has_its_exit_code(error: Exception, code: Exit) -> None:
    assert diagnostics.describe(error)[1] == code


def test_errors_as_json_are_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    fault = Error(code="E_RANGE", message="cpu", field="/resources/cpu", status=422)
    diagnostics.report(
        ApiError(Error(code="E_NAME", message="bad\x1b[2J", status=422, more=[fault])), as_json=True
    )
    document = json.loads(capsys.readouterr().err)["error"]
    assert (document["code"], document["more"][0]["field"]) == ("E_NAME", "/resources/cpu")


def test_an_error_cannot_drive_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    diagnostics.report(ApiError(Error(code="E_NAME", message="bad\x1b]52;c;x\x07name", status=422)))
    assert "\x1b" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (["--gpu", "0.5"], ("0.5", [], 0)),
        (
            ["--gpu", "2", "--gpu-type", "a100,h100", "--gpu-memory", "40GiB"],
            ("2", ["a100", "h100"], "40GiB"),
        ),
        (["--gpu", "rtx 4090:1"], ("1", ["rtx 4090"], 0)),
    ],
)
def test_gpus_are_asked_for_by_number_model_and_memory(words: list[str], asked: tuple[object, ...]) -> None:
    found = job_spec(parsed("submit", *words, "--", "true")).resources
    assert found is not None and (found.gpu, found.gpu_type, found.gpu_memory) == asked
