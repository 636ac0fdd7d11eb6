"""What was appended and not acknowledged is there again, whatever became of the process."""

from __future__ import annotations

from pathlib import Path

import msgpack
import pytest

from agent.guard import journal, wire
from agent.guard.journal import Journal
from agent.guard.wire import Exit, Key


def exit_of(index: int) -> Exit:
    return Exit((1, index, 1), wire.EXITED, 2.0, 1.0, 0, output=b"{}")


def keys(opened: Journal) -> list[Key]:
    return list(opened.exits)


def sizes(folder: Path) -> list[int]:
    return [(folder / f"journal.{number}").stat().st_size for number in (0, 1)]


def test_what_was_not_acknowledged_comes_back(tmp_path: Path) -> None:
    first = Journal(str(tmp_path))
    first.append([exit_of(0), exit_of(1)])
    first.acknowledge([(1, 0, 1), (9, 9, 9)])
    first.close()
    second = Journal(str(tmp_path))
    assert second.exits[(1, 1, 1)] == exit_of(1)
    second.acknowledge(keys(second))
    second.close()
    assert sizes(tmp_path) == [0, 0]


@pytest.mark.parametrize("cut", range(1, 20))
def test_a_last_record_cut_short_costs_only_itself(tmp_path: Path, cut: int) -> None:
    first = Journal(str(tmp_path))
    first.append([exit_of(0)])
    first.append([exit_of(1)])
    first.close()
    path = tmp_path / "journal.0"
    path.write_bytes(path.read_bytes()[:-cut])
    second = Journal(str(tmp_path))
    assert keys(second) == [(1, 0, 1)]
    second.append([exit_of(2)])
    second.close()
    third = Journal(str(tmp_path))
    assert keys(third) == [(1, 0, 1), (1, 2, 1)]  # written where the half one stood, not behind it
    third.close()


def test_under_steady_load_the_files_take_turns_and_stay_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "_TURN_SIZE", 500)
    opened = Journal(str(tmp_path))
    for number in range(500):
        opened.append([exit_of(number)])
        if number:
            opened.acknowledge([(1, number - 1, 1)])  # never all of them
    assert max(sizes(tmp_path)) < 1500
    opened.close()
    again = Journal(str(tmp_path))
    assert (1, 499, 1) in again.exits
    again.close()


def test_half_a_record_on_a_full_disk_is_cut_off_and_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Journal(str(tmp_path))
    write = journal.os.write
    first.append([exit_of(0)])
    size = sizes(tmp_path)[0]
    monkeypatch.setattr(journal.os, "write", lambda fd, data: write(fd, bytes(data[: len(data) // 2])))
    first.append([exit_of(1)])
    assert sizes(tmp_path)[0] == size and keys(first) == [(1, 0, 1), (1, 1, 1)]

    def full(fd: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(journal.os, "write", full)
    first.append([exit_of(2)])
    monkeypatch.setattr(journal.os, "write", write)
    first.append([exit_of(3)])
    first.close()
    assert keys(Journal(str(tmp_path))) == [(1, index, 1) for index in range(4)]


@pytest.mark.parametrize(
    "rot",
    [
        b"\xdd\xff\xff\xff\xff",  # the head of an array of four thousand million
        b"\xdf\xff\xff\xff\xff",
        b"\xc1\xff rubbish",
        msgpack.packb(["key", "exited", 2.0]),
        msgpack.packb(exit_of(5)._replace(key=(1, "x", 1))),
        msgpack.packb(exit_of(5)._replace(key=(1, 2))),
        msgpack.packb(exit_of(5)._replace(stdout_size=None)),
        msgpack.packb(exit_of(5)._replace(message=7)),
    ],
)
def test_rot_costs_what_it_hid_and_is_told(
    tmp_path: Path, rot: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    first = Journal(str(tmp_path))
    first.append([exit_of(0)])
    first.close()
    path = tmp_path / "journal.0"
    sound = path.read_bytes()
    path.write_bytes(sound + rot + msgpack.packb(exit_of(1)))
    second = Journal(str(tmp_path))
    assert keys(second) == [(1, 0, 1)]
    assert path.read_bytes() == sound
    second.close()
    assert "journal.0: " in capsys.readouterr().err


def test_what_is_no_file_is_put_aside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "journal.0").mkdir()
    (tmp_path / "journal.1").symlink_to("nowhere")
    made = Journal(str(tmp_path))
    made.append([exit_of(0)])
    made.close()
    assert keys(Journal(str(tmp_path))) == [(1, 0, 1)]
    assert len(list(tmp_path.glob("journal.?.damaged-*"))) == 2
    assert capsys.readouterr().err.count("a new one begins") == 2


def test_an_end_of_another_sort_costs_only_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A bit of it has rotted, or a guard of a later version wrote it: the agent would not understand it."""
    odd = msgpack.packb(exit_of(0)._replace(outcome="exitee"))
    (tmp_path / "journal.0").write_bytes(odd + msgpack.packb(exit_of(1)))
    made = Journal(str(tmp_path))
    assert keys(made) == [(1, 1, 1)]
    made.close()
    assert "(1, 0, 1) ended in a way" in capsys.readouterr().err
