"""What any recorded version said is understood for ever, and means what it meant.

A failing test here says: a peer of that version, or a file that it left, would be misread. Do not mend the
recording; give the message a new field, or a new name.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgpack
import pytest

from agent.guard.journal import Journal
from agent.guard.wire import EXITED
from bus.codec import Codec
from bus.errors import DecodeError
from bus.tokens import TokenKind, parse_token
from tests.versions import recording, stored_jobs
from tests.versions.families import Family, families
from tests.versions.recording import Example, examples_of, meaning_of, recorded_schema
from tests.versions.schema import Schema, breaches, grown

VERSIONS = recording.versions()
FAMILIES = families()


def differences(meant: Any, means: Any, place: str = "") -> list[str]:
    """Where what was recorded is no longer said; what came since is no difference."""
    if isinstance(meant, dict) and isinstance(means, dict):
        return [
            line
            for key, value in meant.items()
            for line in differences(value, means.get(key, "(gone)"), f"{place}/{key}")
        ]
    if isinstance(meant, list) and isinstance(means, list):
        while len(means) > len(meant) and means[-1] == 0:
            means = means[:-1]  # amounts that came since, of which nothing is asked
    if isinstance(meant, list) and isinstance(means, list) and len(meant) == len(means):
        pairs = enumerate(zip(meant, means, strict=True))
        return [line for index, (old, new) in pairs for line in differences(old, new, f"{place}/{index}")]
    return [] if meant == means else [f"{place}: meant {meant!r}, means {means!r}"]


@pytest.mark.parametrize("version", VERSIONS, ids=lambda path: path.name)
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_what_was_said_is_understood_for_ever(version: Path, family: Family) -> None:
    for example in examples_of(version, family.name):
        assert example.kind in family.kinds, f"{example.kind} is not understood any more"
        _, decode = family.kinds[example.kind]
        means = meaning_of(decode(example.data))
        meant = dict(example.meaning)
        if meant["is"] == "Empty":
            del meant["is"]  # a request that asked for nothing may have come to ask for something
        assert differences(meant, means) == [], f"{example.kind}, {example.form}, {example.codec}"


@pytest.mark.parametrize("version", VERSIONS, ids=lambda path: path.name)
def test_messages_only_grow(version: Path) -> None:
    assert breaches(recorded_schema(version), recording.current_schema()) == []


def test_everything_that_is_said_now_is_recorded() -> None:
    """`python -m tests.versions record` makes it true again; do so once a message is final."""
    seen: Schema = {}
    for version in VERSIONS:
        seen = grown(seen, recorded_schema(version))
    assert seen == grown(seen, recording.current_schema())
    for family in FAMILIES:
        known = {example.kind for version in VERSIONS for example in examples_of(version, family.name)}
        assert family.kinds.keys() - known == set()


def test_recording_changes_nothing_that_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "HERE", tmp_path)
    assert recording.add("9.9") > 100
    before = {path.name: path.read_bytes() for path in (tmp_path / "9.9").iterdir()}
    assert recording.add("9.9") == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "9.9").iterdir()} == before


@pytest.mark.parametrize(("spec", "means"), stored_jobs.recorded())
def test_a_stored_job_derives_the_same_tasks_for_ever(spec: dict[str, Any], means: dict[str, Any]) -> None:
    assert differences(means, stored_jobs.meaning(spec)) == []


@pytest.mark.parametrize("version", VERSIONS, ids=lambda path: path.name)
def test_exits_that_an_older_guard_journalled_are_found(version: Path, tmp_path: Path) -> None:
    for number, example in enumerate(examples_of(version, "guard")):
        if (example.kind, example.form) == ("Events", "full"):
            _, _, recorded = msgpack.unpackb(example.data, use_list=False)
            exits = [(key, EXITED, *rest) for key, _, *rest in recorded]  # the record has any text there
            folder = tmp_path / str(number)
            folder.mkdir()
            (folder / "journal.0").write_bytes(b"".join(map(msgpack.packb, exits)))
            journal = Journal(str(folder))
            assert [tuple(kept)[: len(exits[0])] for kept in journal.exits.values()] == exits


TOKEN = (
    "crl_node_abcdefgh_AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAgICAgICAgICAgICAgICAgICAgIC"
    "AgICAgICAgICAgIDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAw"
    "MDAwMDAwMDBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUF"
    "BQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUF_e8aaaafe"
)
"""Of version 0.1.0; it opens nothing."""


def test_a_token_of_any_version_is_read() -> None:
    token = parse_token(TOKEN)
    assert (token.kind, token.id, token.secret) == (TokenKind.NODE, "abcdefgh", b"\x01" * 32)
    assert token.text == TOKEN


def newer(example: Example) -> bytes:
    """The same message from a peer that says more, wherever it says anything by name."""

    def more(value: Any) -> Any:
        if isinstance(value, dict):
            grown_up = {key: more(each) for key, each in value.items()}
            return grown_up | {"said_since": {"by": ["a newer", 1]}} if not _is_free(value) else grown_up
        return [more(each) for each in value] if isinstance(value, list) else value

    tree = msgpack.unpackb(example.data)
    return msgpack.packb(more(tree))


def _is_free(value: dict[str, Any]) -> bool:
    """A map whose keys are data, not fields."""
    return not value or any(key.endswith("-key") for key in value)


SPOKEN = ("from_agent", "to_agent", "from_agent_reply", "to_agent_reply")
DAEMONS = [family for family in FAMILIES if family.name in SPOKEN]


@pytest.mark.parametrize("version", VERSIONS, ids=lambda path: path.name)
@pytest.mark.parametrize("family", DAEMONS, ids=lambda family: family.name)
def test_what_a_newer_peer_says_besides_is_skipped(version: Path, family: Family) -> None:
    for example in examples_of(version, family.name):
        if example.codec is Codec.MSGPACK:
            _, decode = family.kinds[example.kind]
            assert differences(example.meaning, meaning_of(decode(newer(example)))) == []


@pytest.mark.parametrize("family", DAEMONS, ids=lambda family: family.name)
def test_a_message_that_only_newer_peers_know_is_refused_by_name(family: Family) -> None:
    data = msgpack.packb({"type": "from_the_future", "node": "n1", "epoch": 1})
    _, decode = next(iter(family.kinds.values()))
    with pytest.raises(DecodeError, match="from_the_future") as refused:
        decode(data)
    assert refused.value.to_error().code == "E_VALUE"


SHAPE = {
    "m.A": {
        "tag": "a",
        "ordered": False,
        "fields": [
            {"name": "x", "type": "int", "default": None, "words": []},
            {"name": "y", "type": "Enum", "default": "1", "words": ["one", "two"]},
        ],
    }
}


@pytest.mark.parametrize(
    ("change", "breach"),
    [
        (lambda kind: kind["fields"].pop(0), "m.A.x is gone"),
        (lambda kind: kind["fields"][0].update(type="str"), "m.A.x was int, is str"),
        (lambda kind: kind["fields"][1].update(default="2"), "m.A.y: its default was 1, is 2"),
        (lambda kind: kind["fields"][1].update(words=["one"]), "m.A.y: two is no word of it any more"),
        (lambda kind: kind.update(tag="b"), "m.A has another tag or form"),
        (
            lambda kind: kind["fields"].append({"name": "z", "type": "int", "default": None, "words": []}),
            "m.A.z is new and has no default: older peers do not send it",
        ),
    ],
)
def test_a_change_that_older_peers_cannot_bear_is_named(change: Any, breach: str) -> None:
    now = json.loads(json.dumps(SHAPE))
    change(now["m.A"])
    assert breaches(SHAPE, now) == [breach]


def test_growth_is_no_breach_and_loss_is() -> None:
    now = json.loads(json.dumps(SHAPE))
    now["m.A"]["fields"].append({"name": "z", "type": "int", "default": "0", "words": []})
    now["m.A"]["fields"][1]["words"].append("three")
    now["m.B"] = now["m.A"]
    assert breaches(SHAPE, now) == []
    assert breaches(now, {}) == ["m.A is gone", "m.B is gone"]
    ordered = {"m.A": SHAPE["m.A"] | {"ordered": True}}
    swapped = {"m.A": ordered["m.A"] | {"fields": ordered["m.A"]["fields"][::-1]}}
    assert breaches(ordered, swapped) == ["m.A: fields of an array have changed places"]
