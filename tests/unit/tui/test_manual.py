"""Help, manual pages and the reference: one source, and what is drawn from it is true."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from bus.codes import CODES
from tests.unit.tui.command import Corral
from tests.unit.tui.test_streams import ROOT
from tui.cli.dispatch import where
from tui.cli.manual import markdown, pages
from tui.cli.parser import TOPICS
from tui.cli.reference import verbs


def test_the_reference_in_docs_is_the_grammar() -> None:
    """`make documents` makes it true again."""
    assert (ROOT / "docs" / "commands.md").read_text() == markdown(verbs())


def test_every_verb_of_the_issue_is_there() -> None:
    names = {name for verb in verbs() for name in (verb.name, *verb.aliases)}
    wanted = (
        "submit run jobs job tasks logs cancel retry hold release wait why plan nodes node drain undrain"
        " cordon uncordon events top up down join login logout whoami config doctor help completion man"
        " status pause resume requeue maintenance schema"
    )
    assert set(wanted.split()) - names == set()


@pytest.mark.parametrize("name", [name for verb in verbs() for name in (verb.name, *verb.aliases)])
def test_every_verb_leads_to_a_function_and_explains_itself(corral: Corral, name: str) -> None:
    from importlib import import_module

    module, function = where(name)
    assert callable(getattr(import_module(module), function))
    code, out, err = corral("help", name)
    assert (code, err) == (0, "")
    assert out.startswith("usage: corral ")
    assert corral(name, "--help")[1].split("\n", 1)[1:] == out.split("\n", 1)[1:]


@pytest.mark.parametrize("topic", TOPICS)
def test_every_topic_is_explained_in_lines_that_fit(corral: Corral, topic: str) -> None:
    code, out, _ = corral("help", topic)
    assert code == 0
    assert out.startswith(f"{topic}: ")
    assert len(out.splitlines()) > 3


@pytest.mark.parametrize("name", sorted(CODES))
def test_every_code_is_explained(corral: Corral, name: str) -> None:
    code, out, _ = corral("help", name.lower())
    assert code == 0
    assert out.startswith(f"{name}: ") and "hint: " in out and f"ends with {CODES[name].exit}" in out


def test_unknown_help_is_refused_with_the_nearest(corral: Corral) -> None:
    code, _, err = corral("help", "E_RANG")
    assert code == 2
    assert "did you mean E_RANGE?" in err


def test_pages_are_written_below_a_folder(corral: Corral, tmp_path: Path) -> None:
    code, out, _ = corral("man", str(tmp_path))
    written = sorted(path.name for path in (tmp_path / "man1").iterdir())
    assert code == 0
    assert written == sorted(["corral.1", *(f"corral-{verb.name}.1" for verb in verbs())])
    assert len(out.splitlines()) == len(written)
    assert corral("man")[1] == (tmp_path / "man1" / "corral.1").read_text()


def test_a_folder_that_cannot_be_made_is_refused(corral: Corral, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, _, err = corral("man", str(tmp_path / "file"))
    assert code == 2
    assert err.startswith("error[E_PATH]")


def test_pages_are_plain_ascii_and_say_every_option() -> None:
    made = pages(verbs(), version="1.0")
    assert all(text.isascii() for text in made.values())
    for verb in verbs():
        text = made[f"corral-{verb.name}.1"]
        for option in verb.options:
            assert all(flag.replace("-", "\\-") in text for flag in option.flags)


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed here")
def test_groff_renders_every_page_without_a_warning(tmp_path: Path) -> None:
    for name, text in pages(verbs(), version="1.0").items():
        done = subprocess.run(
            ["groff", "-man", "-Tascii", "-ww"],
            input=text, capture_output=True, text=True, check=True, timeout=20,
        )  # fmt: skip
        assert done.stderr == "", name
        shown = re.sub(".\x08", "", done.stdout)  # bold is struck twice
        assert "NAME" in shown and "SYNOPSIS" in shown
