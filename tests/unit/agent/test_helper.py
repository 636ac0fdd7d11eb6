"""The library for tasks: a file that any Python runs, and that tells what the agent understands."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.core.notes import hear
from agent.helper import corral_task

SOURCE = Path(corral_task.__file__)


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where it is told to."""
    (tmp_path / "artifacts").mkdir()
    monkeypatch.setenv("CORRAL_RESULT", str(tmp_path / "notes"))
    monkeypatch.setenv("CORRAL_ARTIFACTS", str(tmp_path / "artifacts"))
    return tmp_path / "notes"


def test_what_it_tells_is_understood(told: Path) -> None:
    corral_task.progress(45.5, loss=0.5, message="epoch 3")
    corral_task.metrics(step=3, loss=0.25)
    corral_task.output({"accuracy": 0.982})
    found = hear(told.read_bytes(), values_max=100)
    assert (found.progress, found.message, found.faults) == (45.5, "epoch 3", 0)
    assert [(value.name, value.value, value.step) for value in found.values] == [
        ("loss", 0.5, None),
        ("loss", 0.25, 3),
    ]
    assert found.output is not None and json.loads(found.output) == {"accuracy": 0.982}


def test_a_file_is_copied_where_it_is_kept(told: Path, tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"weights")
    assert corral_task.artifact(str(tmp_path / "model.bin")) == "model.bin"
    assert corral_task.artifact(str(tmp_path / "model.bin"), "best/model.bin") == "best/model.bin"
    assert (tmp_path / "artifacts" / "best" / "model.bin").read_bytes() == b"weights"
    assert corral_task.artifact(str(tmp_path / "artifacts" / "model.bin")) == "model.bin"
    assert hear(told.read_bytes(), values_max=9).artifacts == ["model.bin", "best/model.bin", "model.bin"]
    assert sorted(path.name for path in (tmp_path / "artifacts").rglob("*")) == [
        "best",
        "model.bin",
        "model.bin",
    ]
    with pytest.raises(OSError):
        corral_task.artifact(str(tmp_path / "missing"))


def test_mistakes_are_found_where_they_are_made(told: Path) -> None:
    mistakes: list[Callable[[], object]] = [
        lambda: corral_task.progress(101),
        lambda: corral_task.metrics(loss=float("nan")),
        lambda: corral_task.metrics(loss="much"),
        lambda: corral_task.output(float("inf")),
    ]
    for mistake in mistakes:
        with pytest.raises(ValueError):
            mistake()
    assert not told.exists()


def test_outside_of_a_task_nothing_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CORRAL_RESULT", raising=False)
    monkeypatch.delenv("CORRAL_ARTIFACTS", raising=False)
    monkeypatch.chdir(tmp_path)
    corral_task.progress(50)
    (tmp_path / "f").touch()
    assert corral_task.artifact("f") == "f"
    with pytest.raises(OSError):
        corral_task.artifact("missing")
    assert os.listdir(tmp_path) == ["f"]


def test_a_shell_can_use_it(told: Path, tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    for words in (
        ["progress", "7"],
        ["metrics", "loss=0.5", "step=2"],
        ["output", "[1]"],
        ["artifact", str(tmp_path / "a")],
    ):
        subprocess.run([sys.executable, "-I", SOURCE, *words], check=True)
    found = hear(told.read_bytes(), values_max=9)
    assert (found.progress, found.output, found.artifacts, found.faults) == (7.0, b"[1]", ["a"], 0)
    assert [(value.value, value.step) for value in found.values] == [(0.5, 2)]
    for words in (
        [],
        ["progress"],
        ["progress", "x"],
        ["output", "{"],
        ["metrics", "loss"],
        ["artifact", "/missing"],
        ["submit", "[]"],
        ["wait_children", "soon"],
    ):
        done = subprocess.run([sys.executable, "-I", SOURCE, *words], capture_output=True, text=True)
        assert done.returncode in (1, 2) and done.stderr and "Traceback" not in done.stderr


@pytest.fixture
def answers(told: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], object]:
    """Answers each question about children with those in `children`, until called."""
    path = tmp_path / "children"
    monkeypatch.setenv("CORRAL_CHILDREN", str(path))
    over = threading.Event()
    told.touch()

    def serve() -> None:
        while not over.wait(0.01):
            try:
                ask = json.loads((tmp_path / "children.ask").read_text())
            except (OSError, ValueError):
                continue
            answer = {**ask, "children": CHILDREN}
            (tmp_path / "answer").write_text(json.dumps(answer))
            os.replace(tmp_path / "answer", path)

    thread = threading.Thread(target=serve)
    thread.start()

    def stop() -> None:
        over.set()
        thread.join()

    return stop


CHILDREN = [
    {"job": 8, "state": "failed"},
    {"job": None, "state": "refused"},
    {"job": 7, "state": "completed"},
]


def test_it_waits_for_an_answer_to_its_own_question(
    told: Path, tmp_path: Path, answers: Callable[[], object]
) -> None:
    """By number; also where several processes of the task wait, and one has left its question behind."""
    (tmp_path / "children.ask").write_text('{"ask": "old", "place": 0}')
    told.write_text("x" * 17)
    command = [sys.executable, "-I", str(SOURCE), "wait_children", "60"]
    others = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        found = corral_task.wait_children(60)
        assert [child["job"] for child in found] == [None, 7, 8]
        for other in others:
            said, _ = other.communicate(timeout=60)
            assert [json.loads(line)["job"] for line in said.splitlines()] == [None, 7, 8]
            assert other.returncode == 1
    finally:
        for other in others:
            other.kill()
            other.wait()
        answers()
    assert json.loads((tmp_path / "children").read_text())["place"] == 17
    assert not (tmp_path / "children.ask").exists(), "nobody asks any more"


def test_what_is_not_answered_in_time_is_told(
    told: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OSError, match="older version"):
        corral_task.wait_children()
    monkeypatch.setenv("CORRAL_CHILDREN", str(tmp_path / "children"))
    with pytest.raises(TimeoutError, match=r"within 0\.01 s"):
        corral_task.wait_children(0.01)
    assert os.listdir(tmp_path) == ["artifacts"], "it asks no longer"
    done = subprocess.run(
        [sys.executable, "-I", SOURCE, "wait_children", "0.01"], capture_output=True, text=True
    )
    assert done.returncode == 124 and "not over within" in done.stderr
    monkeypatch.delenv("CORRAL_RESULT")
    assert corral_task.wait_children() == [], "outside of a task nothing was submitted"


def test_it_needs_nothing_but_an_old_python() -> None:
    tree = ast.parse(SOURCE.read_text(), feature_version=(3, 7))
    imported = {
        alias.name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in (node.names if isinstance(node, ast.Import) else [ast.alias(node.module or "")])
    }
    assert imported <= sys.stdlib_module_names and "__future__" not in imported


def test_lines_for_the_log(told: Path) -> None:
    corral_task.log("begun")
    assert corral_task.main(["log", "--level", "error", "no", "labels"]) == 0
    assert corral_task.main(["log", "a line"]) == 0
    found = hear(told.read_bytes(), values_max=1)
    assert [(one.level, one.text) for one in found.logs] == [
        ("info", "begun"),
        ("error", "no labels"),
        ("info", "a line"),
    ]
    for words in (["log", "--level"], ["log", "--level", "info"], ["log", "--level", "loud", "x"]):
        with pytest.raises(ValueError):
            corral_task.main(words)
    assert hear(told.read_bytes(), values_max=1).used == found.used
    assert corral_task.main(["log"]) == 2
