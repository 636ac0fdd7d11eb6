"""What tasks leave in their folders, meant or not, ends no agent and no guard: other tasks go on."""

from __future__ import annotations

import os
from pathlib import Path

import msgpack
import pytest

from agent import translate
from agent.guard import wire
from bus.values import AttemptRef, Outcome
from tests.integration.agent.harness import Guard
from tests.integration.agent.world import A, B, World, until

TRAPS = r"""
import os, sys
base = os.environ["CORRAL_RESULT"].removesuffix(".notes")
tasks = os.path.dirname(os.path.dirname(base))
def put(path, data=b""):
    with open(path, "wb") as file:
        file.write(data)
for job in ("99999999999999999999999999", "1" * 200, "²", "１"):
    for name in ("0.1.artifacts", "99999999999999999999999999.1.artifacts", "²."):
        os.makedirs(f"{tasks}/{job}/{name}", exist_ok=True)
        put(f"{tasks}/{job}/{name}/x")
notes = base + ".notes"
put(notes, b'{"progress":\xff}\n' + b"[" * 100_000 + b'\n{"artifact":"a\\u0000b"}\n{"log":"\xed\xa0\x80"}\n'
    + b'{"progress":' + b"9" * 5000 + b'}\n{"metrics":{"x":1e999}}\n{"step":1}\n{"checkpoint":"\\ud800"}\n'
    + b'{"progress":' + b"9" * 400 + b'}\n{"metrics":{"x":1.75e308}}\n{"message":"a\\u0000b"}\n'
    + b'{"message":"last"}\n')
put(base + ".children.ask", b'{"ask":"x","place":' + b"9" * 400 + b',"y":' + b"[" * 500)
artifacts = os.environ["CORRAL_ARTIFACTS"]
put(os.fsencode(artifacts) + b"/\xff\xfe\n", b"odd name")
os.makedirs(artifacts + "/closed/in/it")
os.chmod(artifacts + "/closed", 0)
os.mkfifo(artifacts + "/pipe")
os.symlink("/etc/shadow", artifacts + "/link")
deep = artifacts
for _ in range(40):
    deep += "/deep"
    os.mkdir(deep)
put(artifacts + "/honest", b"honest")
"""


async def works(world: World, attempt: AttemptRef) -> None:
    await world.coordinator.assign(attempt, "true")
    assert (await world.coordinator.ended(attempt)).exit_code == 0
    assert world.node.running is not None and not world.node.running.done()


async def test_whatever_a_task_leaves_the_agent_goes_on_and_starts_again(world: World) -> None:
    await world.coordinator.assign(A, "python3", "-c", TRAPS)
    ended = await world.coordinator.ended(A)
    assert ended.exit_code == 0, ended.stderr_tail
    await until(lambda: "honest" in {file.name for file in world.coordinator.kept if not file.code}, "taken")
    await until(lambda: any(told.message == "last" for told in world.coordinator.told), "all of it is heard")
    await works(world, B)
    before = len(world.coordinator.kept)
    await world.node.stop()
    await world.start_again()  # what is left is looked at again
    await works(world, AttemptRef(1, 2, 1))
    await until(lambda: len(world.coordinator.kept) > before, "what could not be taken is told again")
    await works(world, AttemptRef(1, 3, 1))


@pytest.mark.parametrize("trap", ["folder", "pipe", "link", "away"])
async def test_files_that_are_none_stop_nobody(world: World, trap: str) -> None:
    make = {
        "folder": "mkdir {0}", "pipe": "mkfifo {0}", "link": "ln -s {0} {0}", "away": "rm -rf $(dirname {0})",
    }[trap]  # fmt: skip
    names = [
        "$CORRAL_RESULT", "$CORRAL_OUTPUT", "${CORRAL_RESULT%notes}children.ask", "$CORRAL_CHILDREN",
        "${CORRAL_RESULT%notes}when", "$CORRAL_ARTIFACTS", "$HOME",
    ]  # fmt: skip
    script = "; ".join(f"rm -rf {name}; {make.format(name)}" for name in names)
    await world.coordinator.assign(A, "sh", "-c", f"exec 2>/dev/null; {script}; exit 0")
    assert (await world.coordinator.ended(A)).outcome is Outcome.EXITED
    await works(world, B)
    await world.node.stop()
    await world.start_again()
    await works(world, AttemptRef(1, 2, 1))


@pytest.mark.parametrize(
    "rot", [b"\x92\x91\x92\x01\xcb\x7f\xf0" + bytes(6) + b"\x90", b"\xdd\xff\xff\xff\xff", b"\x92\x01\x02"]
)
def test_marks_that_are_none_of_ours_are_none(guard: Guard, rot: bytes) -> None:
    guard.run((7, 0, 1), "echo", "hello")
    (guard.folder / "tasks" / "7" / "0.1.when").write_bytes(rot)
    assert guard.read((7, 0, 1), offset=0, limit=10)[1] == b"hello\n"
    marks = msgpack.packb([[[float("inf"), 1.0]], []])
    (guard.folder / "tasks" / "7" / "0.1.when").write_bytes(marks)
    assert guard.read((7, 0, 1), offset=0, limit=10)[1] == b"hello\n"


def test_a_place_that_no_file_has_is_empty(guard: Guard) -> None:
    guard.run((7, 0, 1), "echo", "hello")
    assert guard.read((7, 0, 1), offset=2**64 - 1, limit=10)[1] == b""
    assert guard.run((7, 1, 1), "true").exit_code == 0


def test_a_name_with_a_nul_ends_its_own_task_alone(guard: Guard) -> None:
    exit_ = guard.run((7, 0, 1), "true", workdir="/tmp/\0")
    assert exit_.outcome == wire.NOT_STARTED and "null" in exit_.message
    assert guard.run((7, 1, 1), "true").exit_code == 0


@pytest.mark.parametrize("trap", ["folder", "pipe", "link", "file"])
def test_the_next_guard_starts_whatever_lies_in_the_place_of_its_own_files(guard: Guard, trap: str) -> None:
    tasks = guard.folder / "tasks"
    guard.process.kill()
    guard.process.wait()
    for path in (tasks / "no-input.json", tasks / "helper", tasks / "containers"):
        if path.is_dir():
            for each in path.iterdir():
                each.unlink()
            path.rmdir()
        path.unlink(missing_ok=True)
        _lay(trap, path)
    if trap == "folder":
        _lay("folder", tasks / "helper" / "corral_task.py")
        _lay("pipe", tasks / "containers" / "runtime")
    guard.process = guard.launch()
    guard.connect()
    guard.renew(60.0, 62.0)
    script = 'cat "$CORRAL_INPUT" && grep -q def "$CORRAL_HELPER"'
    assert guard.run((7, 0, 1), "sh", "-c", script).exit_code == 0
    guard.send(wire.RUNTIME, ["podman", "/usr/bin/podman", [], {}, [], "", False, ""])
    assert guard.run((7, 1, 1), "true").exit_code == 0


def _lay(trap: str, path: Path) -> None:
    """As a task would."""
    match trap:
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "link":
            path.symlink_to(path)
        case _:
            path.write_bytes(b"rubbish")
    owner = path.parent.stat()
    os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


async def test_an_end_with_too_many_words_is_told_with_fewer(world: World) -> None:
    """A report that is never taken would be said for ever, and no other of this node be heard."""
    await world.coordinator.assign(A, "nowhere", env={"PATH": "/x:" * 20_000})
    ended = await world.coordinator.ended(A)
    assert ended.outcome is Outcome.NOT_FOUND and ended.message.startswith("nowhere not found on node")
    assert len(ended.message) < 8_192
    await works(world, B)


@pytest.mark.parametrize("words", ["x" * 9_000, "a \0 in it"])
async def test_a_report_that_is_never_taken_holds_up_no_other(
    world: World, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(translate, "plain", lambda text, most: words)
    world.coordinator.deaf = True
    for each in (A, B):
        await world.coordinator.assign(each, "true")
    agent = world.node.agent
    assert agent is not None
    await until(lambda: len(agent._executor.ledger.outbox) == 4, "both have ended, and nobody has heard it")
    world.coordinator.deaf = False
    monkeypatch.undo()
    for each in (A, B):
        ended = await world.coordinator.ended(each)
        assert ended.exit_code == 0 and "were refused: E_" in ended.message
    await works(world, AttemptRef(1, 2, 1))
