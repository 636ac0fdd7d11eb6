"""`corral bench scheduler`, as whole processes: a table, JSON, and one clear error."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import psutil
import pytest

from tests.unit.coordinator.test_swf import HEADER, line, write
from tui.view.safe import text_width


def corral(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tui", "bench", "scheduler", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def trace(tmp_path: Path) -> str:
    rows = (line(id, 5 * id, 50 + id, 4, 4, 100) for id in range(1, 61))
    return str(write(tmp_path, HEADER + "".join(rows)))


def test_the_table_and_the_json_say_the_same(trace: str) -> None:
    short = ("--swf", trace, "--length", "20", "--sequences", "2", "--policy", "fcfs,sjf", "--backfill")
    table = corral(*short)
    assert table.returncode == 0 and table.stderr == ""
    document = json.loads(corral(*short, "-o", "json").stdout)
    assert [result["policy"] for result in document["results"]] == ["fcfs", "sjf"]
    for result, row in zip(document["results"], table.stdout.splitlines()[1:], strict=True):
        assert row.split()[:3] == ["small", result["policy"], f"{result['mean_bounded_slowdown']:.2f}"]
        assert result["backfill"] and len(result["values"]) == 2


def test_the_learned_order_names_who_acted(trace: str) -> None:
    short = (
        "--swf",
        trace,
        "--length",
        "10",
        "--starts",
        "20",
        "--policy",
        "learned",
        "--training-seed",
        "2",
    )
    seeded = corral(*short, "--training-seed", "2", "-o", "json")
    (result,) = json.loads(seeded.stdout)["results"]
    assert result["training_seed"] == 2 and result["evidence"]["windows"] in (40, 80)
    assert f"learned ({result['acted']})" in corral(*short, "--training-seed", "2").stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--swf", "/nowhere.swf"), "error[E_PATH]: cannot read /nowhere.swf"),
        (("--starts", "x"), "--starts"),
        (("--policy", "best"), "error[E_VALUE]: no policy 'best' at --policy: expected some of fcfs"),
    ],
)
def test_what_is_wrong_is_one_error(trace: str, arguments: tuple[str, ...], words: str) -> None:
    done = corral("--swf", trace, *arguments)
    assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr
    assert done.stdout == ""


def test_results_are_read_again_and_drawn(trace: str, tmp_path: Path) -> None:
    """As one document, as lines, and straight from the bench: the same charts."""
    short = ("--swf", trace, "--length", "20", "--sequences", "2", "--policy", "fcfs,sjf")
    straight = corral(*short, "-o", "json", "--plots", str(tmp_path / "straight"))
    (tmp_path / "a.json").write_text(straight.stdout)
    (tmp_path / "b.jsonl").write_text(corral(*short, "-o", "jsonl").stdout)
    drawn = (tmp_path / "straight" / "slowdown-small.svg").read_text()
    assert ">fcfs</text>" in drawn and ">sjf</text>" in drawn
    for file in ("a.json", "b.jsonl"):
        into = tmp_path / f"of {file}"
        again = corral("--results", str(tmp_path / file), "--plots", str(into))
        assert again.returncode == 0 and f"wrote {into / 'slowdown-small.svg'}" in again.stderr
        assert again.stdout.split()[0] == "TRACE"
        assert (into / "slowdown-small.svg").read_text().count("<path") == drawn.count("<path")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "E_JSON"),
        (b"\xff\xfe{}", "E_JSON"),
        (b"[" * 100_000, "E_JSON"),
        (b"{}\n{}\n", "E_FIELD"),
        (b'{"results": []}', "E_EMPTY"),
        (
            b'{"results": [{"trace": "a", "policy": "b", "values": [0], "mean_bounded_slowdown": 0}]}',
            "below 1",
        ),
        (None, "E_PATH"),
    ],
)
def test_what_are_no_results_is_one_error(tmp_path: Path, content: bytes | None, words: str) -> None:
    file = tmp_path / "results.json"
    if content is not None:
        file.write_bytes(content)
    done = corral("--results", str(file))
    assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr
    assert done.stdout == ""


def test_who_interrupts_keeps_what_is_done(trace: str) -> None:
    """Ctrl-C reaches the whole group; the JSON is whole, says that it is not all, and nobody complains."""
    endless = ("--swf", trace, "--length", "20", "--sequences", "1000000", "--policy", "fcfs", "-o", "json")
    command = [sys.executable, "-m", "tui", "bench", "scheduler", *endless]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as child:
        child_of(child.pid)
        os.killpg(child.pid, signal.SIGINT)
        said, complaints = child.communicate(timeout=60)
    assert child.returncode == 130 and json.loads(said) == {"results": [], "complete": False}
    assert "Traceback" not in complaints


def child_of(pid: int) -> psutil.Process:
    """The program that computes, once it runs."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        found = [each for each in psutil.Process(pid).children() if "bench" in each.cmdline()]
        if found:
            return found[0]
        time.sleep(0.02)
    raise AssertionError("the bench never started")


@pytest.mark.parametrize("columns", [80, 20, 3])
def test_progress_never_wraps(trace: str, tmp_path: Path, columns: int) -> None:
    """However narrow the terminal is; stdout is a file, whose width says nothing."""
    terminal, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    arguments = ("--swf", trace, "--length", "20", "--sequences", "3", "--policy", "sjf")
    command = [sys.executable, "-m", "tui", "bench", "scheduler", *arguments]
    with (tmp_path / "out").open("wb") as out:
        child = subprocess.Popen(command, stdout=out, stderr=side, env={**os.environ, "TERM": "xterm"})
    os.close(side)
    drawn = b""
    with contextlib.suppress(OSError):  # so a terminal says that nobody is left at the other side
        while data := os.read(terminal, 65536):
            drawn += data
    os.close(terminal)
    assert child.wait(timeout=60) == 0
    lines = drawn.decode().split("\r\x1b[K")
    assert len(lines) > 3 and lines[-1] == "", "drawn over, and taken away at the end"
    assert all(text_width(line) < columns for line in lines)
    assert ("3 of 3 runs" in lines[-2]) is (columns > 12)
