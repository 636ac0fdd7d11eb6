"""Traces in the Standard Workload Format: read as the field reads them, or refused with the line."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from coordinator.sim.swf import TraceError, TraceJob, read_swf

HEADER = "; Computer: a small one\n; MaxNodes: 4\n; MaxProcs: 8\n;\n"


def line(id: int, submitted: int, run: int, allocated: int, asked: int, requested: int, user: int = 3) -> str:
    return f"{id} {submitted} -1 {run} {allocated} -1 -1 {asked} {requested} -1 1 {user} 1 1 1 1 -1 -1\n"


def write(folder: Path, text: str, *, packed: bool = False) -> Path:
    path = folder / ("small.swf.gz" if packed else "small.swf")
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    return path


@pytest.mark.parametrize("packed", [False, True])
def test_jobs_are_read_in_order_of_their_ids(tmp_path: Path, packed: bool) -> None:
    text = HEADER + line(2, 20, 100, 3, -1, 200) + line(1, 10, 50, 2, 5, -1)
    trace = read_swf(write(tmp_path, text, packed=packed))
    assert (trace.name, trace.nodes) == ("small", 4)
    assert trace.jobs == (
        TraceJob(1, 10, 50, 50, 5, 3, 3),  # no request: the run time; five processors are three nodes
        TraceJob(2, 20, 100, 200, 3, 2, 3),
    )


def test_what_never_ran_is_left_out_and_what_ran_for_unknown_times_ran_ten_seconds(tmp_path: Path) -> None:
    trace = read_swf(write(tmp_path, HEADER + line(1, 0, 0, 1, 1, 60) + line(2, 0, -1, 1, 1, 60)))
    assert [(job.id, job.run_s, job.requested_s) for job in trace.jobs] == [(2, 10, 60)]


def test_nodes_are_processors_where_only_those_are_known(tmp_path: Path) -> None:
    assert read_swf(write(tmp_path, "; MaxProcs: 8\n" + line(1, 0, 5, 3, 3, 5))).jobs[0].nodes == 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HEADER, "no job in it ever ran"),
        (line(1, 0, 5, 1, 1, 5), "MaxProcs"),
        (HEADER + "1 2 3\n", "line 5: 3 fields instead of 18"),
        (HEADER + line(1, 0, 5, 1, 1, 5).replace(" 5 ", " five ", 1), "line 5: a field is no number"),
        ("; MaxProcs: " + "9" * 5000 + "\n", "line 1: a field is beyond 1,000,000,000,000"),
        (HEADER + line(1, 10**300, 5, 1, 1, 5), "line 5: a field is beyond 1,000,000,000,000"),
        (HEADER + line(1, 0, 5, 1, 1, 5).replace(" 5 ", " nan "), "line 5: a field is no number"),
        (HEADER + line(1, 0, 5, 1, 1, 5).replace(" 5 ", " 1_0 "), "line 5: a field is no number"),
        (HEADER + line(1, 0, 5, -1, -1, 5), "no job in it ever ran"),
        (HEADER + "1 " * 40_000, "line 5: longer than 65,536 characters"),
        ("\0" * 100_000, "line 1: longer"),
        (HEADER + line(7, 0, 5, 9, 1, 5), "job 7 needs 5 nodes, the machine has 4"),
    ],
)
def test_what_is_no_trace_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(TraceError, match=words) as refused:
        read_swf(path)
    assert str(path) in str(refused.value)


def test_half_a_file_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER + line(1, 0, 5, 1, 1, 5) * 1000, packed=True)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(TraceError, match="not whole"):
        read_swf(path)


@pytest.mark.parametrize("damage", [b"\xff" * 400, b""])
def test_damaged_gzip_is_refused(tmp_path: Path, damage: bytes) -> None:
    path = write(tmp_path, HEADER + line(1, 0, 5, 1, 1, 5) * 1000, packed=True)
    data = path.read_bytes()
    path.write_bytes(data[:30] + damage + data[31 + len(damage) :])
    with pytest.raises(TraceError, match="not whole, or no text"):
        read_swf(path)


def test_what_is_no_plain_file_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.swf"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/zero")):
        with pytest.raises(TraceError, match="is no plain file"):
            read_swf(path)
    loop = tmp_path / "loop.swf"
    loop.symlink_to(loop)
    for path in (loop, tmp_path):
        with pytest.raises(OSError):
            read_swf(path)
