"""Completion: what each word can become, and the shells that ask."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from bus.api import Jobs, Tasks
from bus.errors import Disconnected
from bus.requests import JobList, TaskList
from tests.not_here import not_here
from tests.unit.tui.command import Corral, Silence, a_job, a_task
from tests.unit.tui.test_streams import ROOT, environment
from tui.cli.completion import SCRIPTS, Candidate, candidates, joined
from tui.cli.grammar.help import SHELLS
from tui.cli.reference import Verb


def ids(kind: str, verb: Verb, current: str, where: Namespace) -> Iterable[Candidate]:
    return [Candidate(f"{kind}!{verb.name}")]


def words(*typed: str) -> list[str] | None:
    found = candidates(typed, ids)
    return None if found is None else [item.word for item in found]


def test_the_first_word_is_a_verb() -> None:
    found = words("su")
    assert found is not None
    assert {"submit", "jobs", "completion"} <= set(found)
    assert "__complete" not in found


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (("cancel", ""), ["JOB|TASK!cancel"]),
        (("cancel", "7", ""), ["JOB|TASK!cancel"]),
        (("uncordon", ""), ["NODE!undrain"]),
        (("submit", "--node", ""), ["NODE!submit"]),
        (("events", "--limit", "3", ""), ["JOB|TASK!events"]),
        (("events", "--limit=3", ""), ["JOB|TASK!events"]),
        (("events", "7", ""), []),
        (("jobs", "-o", ""), ["table", "wide", "json", "jsonl", "name"]),
        (("logs", "7", "-o", ""), ["table", "json", "jsonl"]),
        (("completion", ""), ["bash", "zsh", "fish"]),
        (("jobs", "--output=j"), ["--output=table", "--output=wide", "--output=json", "--output=jsonl",
                                  "--output=name"]),
        (("submit", "--file", ""), None),
        (("submit", "--", "ls", ""), None),
        (("nonsense", ""), []),
        (("jobs", "--user", ""), []),
    ],
)  # fmt: skip
def test_each_place_has_its_words(typed: tuple[str, ...], expected: list[str] | None) -> None:
    assert words(*typed) == expected


def test_lists_keep_what_was_typed_and_offer_the_rest() -> None:
    columns = words("jobs", "--columns", "number,st")
    assert columns is not None and "number,state" in columns and "number,number" not in columns
    states = words("tasks", "7", "--state", "failed,")
    assert states is not None and "failed,timeout" in states
    conditions = words("jobs", "--filter", "age>1h sta")
    assert conditions is not None and "age>1h state=" in conditions
    values = words("jobs", "--filter", "age>1h state=failed,")
    assert values is not None and "age>1h state=failed,cancelled" in values
    orders = words("nodes", "--sort", "")
    assert orders is not None and {"free_memory", "-free_memory"} <= set(orders)


def test_an_option_given_once_is_not_offered_again_unless_it_may_be() -> None:
    found = words("submit", "--cpu", "1", "--env", "A=1", "-")
    assert found is not None and "--cpu" not in found and "--env" in found


@settings(deadline=None)
@given(st.sampled_from(["jobs", "submit", "events", "help"]), st.lists(st.text(max_size=8), max_size=5))
def test_no_words_make_it_fail(verb: str, typed: list[str]) -> None:
    candidates([verb, *typed], ids)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["jobs", "--limit", "=", "5"], ["jobs", "--limit=5"]),
        (["jobs", "--filter", "state", "=", "fa"], ["jobs", "--filter", "state=fa"]),
        (["jobs", "--filter", "state", "="], ["jobs", "--filter", "state="]),
        (["jobs", "--filter", "state", "=", ""], ["jobs", "--filter", "state=", ""]),
        ([""], [""]),
    ],
)
def test_words_that_bash_took_apart_are_joined(typed: list[str], expected: list[str]) -> None:
    assert joined(typed) == expected


def test_live_ids_come_from_the_cluster(corral: Corral) -> None:
    def answer(request: Struct) -> Struct | None:
        match request:
            case JobList():
                return Jobs(jobs=[a_job(41), a_job(7)])
            case TaskList():
                return Tasks(tasks=[a_task(7, 0), a_task(7, 1)])
        return None

    corral.answer = answer
    assert corral("__complete", "zsh", "--", "cancel", "4")[1] == "41\trunning sweep\n"
    asked = corral.asked[0]
    assert isinstance(asked, JobList) and "state=" in asked.filter
    assert corral("__complete", "fish", "--", "logs", "7.")[1].split("\n")[0] == "7.0\trunning "


def test_without_a_cluster_it_is_silent(corral: Corral, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(*_: object, **__: object) -> object:
        raise Disconnected("nobody")

    monkeypatch.setattr("bus.client.Client.connect", nobody)
    assert corral("__complete", "bash", "--", "job", "") == (0, "", "")


def test_a_cluster_that_says_nothing_is_not_waited_for(
    corral: Corral, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(request: Struct) -> Struct | None:
        raise Silence

    corral.answer = silent
    monkeypatch.setattr("tui.cli.completion.ANSWER_S", 0.05)
    assert corral("__complete", "bash", "--", "job", "") == (0, "", "")


def test_each_shell_of_the_grammar_has_its_script(corral: Corral) -> None:
    assert set(SCRIPTS) == set(SHELLS)
    for shell in SHELLS:
        assert corral("completion", shell)[1] == SCRIPTS[shell]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with a `corral` that answers from the coordinator of a few lines."""
    program = tmp_path / "corral"
    program.write_text(f'#!/bin/sh\ncd {ROOT} && exec {sys.executable} -m tests.unit.tui.driven "$@"\n')
    program.chmod(0o755)
    return tmp_path


def in_shell(shell: str, script: str, home: Path) -> list[str]:
    """What a script prints in a real shell that finds `corral`."""
    if shutil.which(shell) is None:
        not_here(f"completion in {shell}", f"{shell} is not on PATH")
    variables = environment()
    variables |= {"PATH": f"{home}:{variables['PATH']}", "HOME": str(home), "XDG_CONFIG_HOME": str(home)}
    done = subprocess.run(
        [shell, *(["-f"] if shell == "zsh" else []), "-c", script], env=variables, cwd=home,
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout.splitlines()


def in_bash(line: str, home: Path) -> list[str]:
    """What real bash would offer for a line that ends where the cursor stands."""
    script = f"""
source <(corral completion bash)
COMP_LINE={line!r} COMP_POINT=${{#COMP_LINE}}
# as readline does: words end at blanks and at =, which is a word of its own
eval "COMP_WORDS=($(sed 's/=/ = /g' <<< "$COMP_LINE"))"
[[ $COMP_LINE == *" " ]] && COMP_WORDS+=("")
COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
compopt() {{ :; }}
_corral
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    return in_shell("bash", script, home)


def in_zsh(line: str, home: Path) -> str:
    """The line that real zsh, on a terminal of its own, makes of one when the tab key is pressed."""
    (home / "setup").write_text("""
autoload -Uz compinit; compinit -u -D
source <(corral completion zsh)
show() { print -r -- "$BUFFER" >shown.new; mv shown.new shown }
zle -N show; bindkey '^T' show
precmd() { print >ready }
""")
    script = f"""
zmodload zsh/zpty
zpty it zsh -f -i
appears() {{ repeat 600; do [[ -e $1 ]] && return; sleep 0.05; done; print -u2 "no $1"; exit 1 }}
zpty -w it 'source ./setup'
appears ready
zpty -w -n it {shlex.quote(line)}$'\t\x14'
appears shown
zpty -d it
cat shown
"""
    return in_shell("zsh", script, home)[0]


def in_fish(line: str, home: Path) -> list[str]:
    """What real fish would offer."""
    script = f"corral completion fish | source; complete -C {shlex.quote(line)}"
    return [found.split("\t")[0] for found in in_shell("fish", script, home)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("corral sub", ["submit"]),
        ("corral jobs -o js", ["json", "jsonl"]),
        ("corral jobs --output=js", ["json", "jsonl"]),
        ("corral jobs --filter state=fa", ["failed"]),
        ("corral cancel 9", ["9", *(str(number) for number in range(90, 100))]),
        ("corral submit --file corr", ["corral"]),
        ("corral jobs --columns number,na", ["number,name"]),
    ],
)
def test_real_bash_completes(line: str, expected: list[str], home: Path) -> None:
    assert in_bash(line, home) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("corral sub", "corral submit "),
        ("corral jobs -o w", "corral jobs -o wide "),
        ("corral jobs -o j", "corral jobs -o json"),
        ("corral jobs --output=w", "corral jobs --output=wide "),
        ("corral jobs --filter state=fa", "corral jobs --filter state=failed "),
        ("corral cancel 99", "corral cancel 99 "),
        ("corral submit --file corr", "corral submit --file corral "),
        ("corral jobs --columns number,na", "corral jobs --columns number,name "),
    ],
)
def test_real_zsh_completes(line: str, expected: str, home: Path) -> None:
    assert in_zsh(line, home) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("corral sub", ["submit"]),
        ("corral jobs -o js", ["json", "jsonl"]),
        ("corral jobs --output=js", ["--output=json", "--output=jsonl"]),
        ("corral jobs --filter state=fa", ["state=failed"]),
        ("corral cancel 99", ["99"]),
        ("corral submit --file corr", ["corral"]),
        ("corral jobs --columns number,na", ["number,name"]),
    ],
)
def test_real_fish_completes(line: str, expected: list[str], home: Path) -> None:
    assert in_fish(line, home) == expected


@pytest.mark.parametrize("shell", SHELLS)
def test_each_script_is_read_by_its_shell(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        not_here(f"completion in {shell}", f"{shell} is not on PATH")
    script = tmp_path / "script"
    script.write_text(SCRIPTS[shell])
    subprocess.run([shell, "-n", str(script)], check=True, timeout=20)
