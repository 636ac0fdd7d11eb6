"""Every command in the README and in docs/ is run, against a cluster of three agents on this machine."""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
from collections import Counter
from pathlib import Path

import pytest

from tests.documents.blocks import ELSEWHERE, blocks, missing, run
from tests.documents.traces import write_traces
from tests.integration.up.conftest import Corral

ROOT = Path(__file__).parents[3]
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
RUN = [path for path in DOCUMENTS if any(b.kind in ("sh", "console") and not b.tag for b in blocks(path))]
TIMEOUT_S = 120.0

FILES = {
    "texts/one.txt": "the quick brown fox\n",
    "texts/two.txt": "jumps over the lazy dog\n",
    "train.py": "print('loss 0.1')\n",
    "job.toml": 'name = "from-a-file"\ncommand = ["echo", "hello"]\n',
    "job.json": '{"name": "from-json", "command": ["echo", "hello"]}\n',
}
"""What the documents' commands find in their folder, beside the files of the guides."""

EXAMPLES = sorted(path for path in (ROOT / "docs" / "guides").glob("*/*") if path.is_file())


def identify(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.fixture
def folder_of_user(folder: Path) -> Path:
    """A home with the files above and small traces, which tasks may read, and a `corral` on the PATH."""
    home = Path(tempfile.mkdtemp(prefix="home-", dir=folder))
    home.chmod(0o755)
    for path in EXAMPLES:
        (home / path.name).write_bytes(path.read_bytes())
    for name, text in FILES.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
    write_traces(home)
    command = home / "bin" / "corral"
    command.parent.mkdir()
    python = shlex.quote(sys.executable)
    command.write_text(f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(ROOT))} exec {python} -m tui "$@"\n')
    command.chmod(0o755)
    return home


@pytest.mark.parametrize("path", DOCUMENTS, ids=identify)
def test_every_block_of_commands_runs_or_says_why_not(path: Path) -> None:
    for block in blocks(path):
        where = f"{identify(path)}:{block.line}"
        if block.kind in ("sh", "console"):
            assert not block.tag or block.tag in ELSEWHERE, f"{where}: {block.tag!r} is no known reason"
        elif not block.kind:
            assert not block.has_commands, f"{where}: say ```sh, and why it is not run if it is not"


@pytest.mark.parametrize("path", [path for path in EXAMPLES if path.suffix in (".sh", ".toml", ".yaml")])
def test_a_guide_shows_its_files_as_they_are(path: Path) -> None:
    guide = path.parents[1] / f"{path.parent.name}.md"
    assert path.read_text() in guide.read_text()


def test_what_is_not_run_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    tags = Counter(b.tag for path in DOCUMENTS for b in blocks(path) if b.kind in ("sh", "console"))
    with capsys.disabled():
        told = ", ".join(f"{count} {tag} ({ELSEWHERE[tag]})" for tag, count in sorted(tags.items()) if tag)
        print(f"\nblocks of commands in the documents: {tags['']} run; not run: {told}")
    assert tags[""] > 0


@pytest.mark.parametrize("path", RUN, ids=identify)
def test_the_commands_of_a_document_do_what_it_says(path: Path, corral: Corral, folder_of_user: Path) -> None:
    steps = [
        step
        for block in blocks(path)
        if block.kind in ("sh", "console") and not block.tag
        for step in block.steps()
    ]
    environment = {
        **os.environ,
        "CORRAL_DATA": str(corral.data),
        "HOME": str(folder_of_user),
        "XDG_CONFIG_HOME": str(folder_of_user / ".config"),
        "PATH": f"{folder_of_user / 'bin'}:{os.environ['PATH']}",
    }
    told = run(steps, cwd=folder_of_user, environment=environment, timeout_s=TIMEOUT_S)
    problems = [
        f"{identify(path)}:{one.step.line}: {one.step.command}\n"
        f"  exit {one.exit}, not {one.step.exit}; not printed: {missing(one)}\n  {one.output}"
        for one in told
        if one.exit != one.step.exit or missing(one)
    ]
    assert not problems, "\n".join(problems)
