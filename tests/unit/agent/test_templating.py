"""Before a tool's command starts: its words are filled in, its file is the one that was registered."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from agent.guard import wire
from agent.guard.starting import CannotStart
from agent.guard.templating import Pins, filled
from agent.tools import selftest
from agent.tools.registry import TOOLS

ENV = {"CORRAL_INPUT": "/i", "CORRAL_OUTPUT": "/o", "HOME": "/w"}


def item(**fields: object) -> wire.Item:
    plain = {
        "key": (1, 0, 1), "body": 0, "granted": True, "resources": (0, 0, 0, 0, 0), "gpus": (),
        "array_index": None, "input": None, "item": None, "needs": False,
    }  # fmt: skip
    return wire.Item(**(plain | fields))  # type: ignore[arg-type]  # fields as the test says


def test_a_command_gets_the_tasks_own_values() -> None:
    argv = ("t", "{input}", "{output}", "{workdir}", "{index}", "{item}", "{input.a}")
    one = item(array_index=0, item="/x y", input=b'{"a":"-1"}')
    assert filled(one, argv, ENV) == ("t", "/i", "/o", "/w", "0", "/x y", "-1")


@pytest.mark.parametrize("given", [b"{", b"[1]", None, b'{"a":{}}'])
def test_a_value_that_is_not_there_keeps_it_from_starting(given: bytes | None) -> None:
    with pytest.raises(CannotStart) as caught:
        filled(item(input=given), ("t", "{input.a}"), ENV)
    assert (caught.value.outcome, caught.value.exit_code) == (wire.NOT_EXECUTABLE, 126)


def test_a_changed_file_is_refused_also_where_it_was_known(tmp_path: Path) -> None:
    path, pins = tmp_path / "tool", Pins()
    path.write_bytes(b"one")
    digest = hashlib.sha256(b"one").hexdigest()
    pins.check(str(path), digest)
    pins.check(str(path), digest)
    path.write_bytes(b"two")
    with pytest.raises(CannotStart, match="E_HASH"):
        pins.check(str(path), digest)
    with pytest.raises(CannotStart, match="E_HASH"):
        pins.check(str(tmp_path / "gone"), digest)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CannotStart, match="no plain file"):
        pins.check(str(tmp_path / "pipe"), digest)


def test_a_node_can_what_its_tools_show(monkeypatch: pytest.MonkeyPatch) -> None:
    able = selftest.capabilities(also=("text_generation",))
    assert all(able[name].verified and able[name].level == 1.0 for name in TOOLS)
    assert set(selftest.CASES) == set(TOOLS), "a tool without a test could never be verified"
    assert able["text_generation"].verified
    monkeypatch.setitem(TOOLS, "text_analysis", lambda given, needs: {"characters": 6, "words": 5})
    broken = selftest.tested("text_analysis")
    assert not broken.verified and broken.level == 0.0 and "unspaced_characters" in broken.fault

    def fails(given: object, needs: object) -> dict[str, object]:
        raise ImportError("no numpy")

    monkeypatch.setitem(TOOLS, "wordcount", fails)
    assert selftest.tested("wordcount").fault == "ImportError: no numpy"
