"""Job files in every form: what they mean, and errors that name the file and the line."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bus.errors import DecodeError
from bus.spec import JobSpec
from tests.unit.tui.test_command_line import parsed
from tui.cli.diagnostics import CommandError, describe
from tui.cli.specification import job_spec


def spec_of(path: Path, *words: str) -> JobSpec:
    return job_spec(parsed("submit", "--file", str(path), *words))


def refused(path: Path, text: str) -> str:
    path.write_text(text)
    with pytest.raises((CommandError, DecodeError)) as caught:
        spec_of(path)
    error, _ = describe(caught.value)
    return f"{caught.value} {error.hint}"


YAML = """
name: sweep
command: [train, --fast]
matrix:
  lr: [0.1, 1e-3]
  model: [small, no]
resources:
  cpu: "2"
env:
  START: 2026-11-23
  LIMIT: "1:30"
"""


def test_yaml_is_the_json_that_it_stands_for(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(YAML)
    spec = spec_of(tmp_path / "job.yaml", "--priority", "7")
    assert spec.matrix == {"lr": [0.1, 0.001], "model": ["small", "no"]}
    assert (spec.env, spec.priority) == ({"START": "2026-11-23", "LIMIT": "1:30"}, 7)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("job.yaml", "command: [a\nname: x\n", "job.yaml:2:"),
        ("job.yaml", "name: a\nname: b\n", "job.yaml:2:1: not YAML: 'name' stands there twice"),
        ("job.yaml", "name: &a x\nenv: {A: *a}\n", "anchors and aliases"),
        ("job.yaml", "name: !!python/name:os.system x\n", "job.yaml:1:7"),
        ("job.yml", "- a\n", "no mapping"),
        ("job.yml", "1: a\n", "a key that is no text"),
        ("job.yaml", "[" * 100_000, "not YAML"),
        ("job.yaml", "a: \x00", "not YAML"),
        ("job.toml", "name = 'a'\ncommand = [\n", "job.toml:2: not TOML"),
        ("job.toml", "name = 'a'\nname = 'b'\n", "job.toml:2:"),
        ("job.toml", 'comand = ["true"]\ntool = "wordcount"\n', "did you mean command?"),
        ("job.sh", "#!/bin/sh\n#CORRAL --cpu 2\n#CORRAL --cpuu 3\n", "job.sh:3: unrecognized arguments"),
        ("job.sh", "#!/bin/sh\n#CORRAL --cpu much\n", "job.sh:2: "),
        ("job.sh", "#!/bin/sh\n#CORRAL --name 'x\n", "job.sh:2: no closing quotation"),
        ("job.sh", "#!/bin/sh\n#CORRAL --wait\n", "job.sh:2: not an option of a script at --wait"),
        ("job.sh", "#!/bin/sh\n#CORRAL -- true\n", "job.sh:2: not an option of a script at -- COMMAND"),
        ("job.sh", "#!/bin/sh\n#CORRAL --help\n", "job.sh:2: help is no option"),
        ("job.sh", "#!\n", "job.sh:1: no program"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, name: str, text: str, said: str) -> None:
    assert said in refused(tmp_path / name, text)


SCRIPT = """#!/bin/sh
# counts
#CORRAL --cpu 2 --name counting   # both
#CORRALS are no options
#CORRAL --env A=1 --array 0-3

#CORRAL --priority 7
echo "$A $1 $2"
#CORRAL --cpu 9
"""


def test_a_script_says_its_own_options(tmp_path: Path) -> None:
    (tmp_path / "job.sh").write_text(SCRIPT)
    spec = spec_of(tmp_path / "job.sh", "--env", "B=2", "--priority", "3", "--", "one", "two words")
    assert spec.resources is not None
    assert (spec.name, spec.resources.cpu, spec.array) == ("counting", "2", "0-3")
    assert (spec.env, spec.priority) == ({"A": "1", "B": "2"}, 3)
    assert spec.command is not None
    ran = subprocess.run(
        spec.command, env={**spec.env, "TMPDIR": str(tmp_path)}, capture_output=True, check=True, text=True
    )
    assert ran.stdout == "1 one two words\n"


def test_a_script_runs_under_its_own_interpreter(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text("#!/usr/bin/env python3\nimport sys\nprint('py', sys.argv[1:])\n")
    spec = spec_of(tmp_path / "job.py", "--", "a")
    assert spec.command is not None and spec.name == "job.py"
    env = {"TMPDIR": str(tmp_path), "PATH": "/usr/local/bin:/usr/bin:/bin"}
    ran = subprocess.run(spec.command, env=env, capture_output=True, check=True, text=True)
    assert ran.stdout == "py ['a']\n"


def test_patterns_and_lists_are_meant_where_the_file_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "jobs"
    (folder / "texts").mkdir(parents=True)
    for name in ("b.txt", "a.txt"):
        (folder / "texts" / name).write_text(name)
    (folder / "list").write_text("one\n\ntwo words\n")
    (folder / "job.toml").write_text('command = ["cat"]\nfor_each = ["texts/*.txt", "@list", "plain"]\n')
    monkeypatch.chdir(tmp_path)
    found = [str(folder / "texts" / name) for name in ("a.txt", "b.txt")]
    assert spec_of(folder / "job.toml").for_each == [*found, "one", "two words", "plain"]
    (folder / "dag.yaml").write_text(
        "tasks:\n  - {command: [cat], for_each: texts/*.txt}\n  - {command: [x]}\n"
    )
    tasks = spec_of(folder / "dag.yaml").tasks
    assert tasks is not None and tasks[0].for_each == found
    said = refused(folder / "none.toml", 'command = ["cat"]\nfor_each = "*.md"\n')
    assert f"relative to the job file, in {folder}" in said


def test_a_list_on_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("".join(f"item {n}\n" for n in range(10_000)))
    spec = job_spec(parsed("submit", "--for-each", f"@{tmp_path}/list", "--", "true"))
    assert spec.for_each is not None and len(spec.for_each) == 10_000
    (tmp_path / "list").write_text("\n\n")
    with pytest.raises(CommandError, match="no item"):
        job_spec(parsed("submit", "--for-each", f"@{tmp_path}/list", "--", "true"))


def test_a_list_in_the_cluster_is_pointed_to(tmp_path: Path) -> None:
    word = "corral://1042.7/names.txt"
    assert job_spec(parsed("submit", "--for-each", word, "--", "true")).for_each == word
    (tmp_path / "job.toml").write_text(f'command = ["cat"]\nfor_each = "{word}"\n')
    assert spec_of(tmp_path / "job.toml").for_each == word
    (tmp_path / "list").write_text("a\n")
    with pytest.raises(CommandError, match="stands alone"):
        job_spec(parsed("submit", "--for-each", word, "--for-each", f"@{tmp_path}/list", "--", "true"))


def test_a_list_may_be_longer_than_a_message(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("".join(f"/data/scans/2026/{n:06}.png\n" for n in range(100_000)))
    spec = job_spec(parsed("submit", "--for-each", f"@{tmp_path}/list", "--", "true"))
    assert spec.for_each is not None and len(spec.for_each) == 100_000


def test_a_matrix_on_the_command_line_has_numbers_and_texts() -> None:
    spec = job_spec(parsed("submit", "--matrix", "lr=0.1,1e-3,5", "--matrix", "m=a,1.2.3", "--", "true"))
    assert spec.matrix == {"lr": [0.1, 0.001, 5], "m": ["a", "1.2.3"]}
    assert job_spec(parsed("submit", "--array", "0-9", "--max-parallel", "2", "--", "x")).max_parallel == 2


def test_a_schedule_on_the_command_line() -> None:
    words = ("--cron", "30 4 * * mon-fri", "--zone", "Europe/Berlin", "--overlap", "replace")
    spec = job_spec(parsed("submit", *words, "--", "true"))
    assert (spec.cron, spec.zone, spec.overlap) == ("30 4 * * mon-fri", "Europe/Berlin", "replace")


def test_a_start_is_an_instant_with_a_zone_or_from_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1_800_000_000.0)
    assert job_spec(parsed("submit", "--start-at", "+2h", "--", "true")).start_at == "2027-01-15T10:00:00Z"
    given = "2026-11-24T08:00+01:00"
    assert job_spec(parsed("submit", "--start-at", given, "--", "true")).start_at == given
    for wrong in ("+", "+2x", "08:00", "2026-11-24T08:00"):
        with pytest.raises(CommandError, match="not an instant at --start-at"):
            job_spec(parsed("submit", "--start-at", wrong, "--", "true"))
