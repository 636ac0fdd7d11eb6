"""Bent specs, lines of random words: one clear answer, no traceback, no effect, bounded memory."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import sys
import tracemalloc
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bus.client import Client
from bus.codec import decode_request
from bus.codes import CODES
from bus.errors import CorralError, DecodeError, NoResponders
from bus.spec import JobSpec, TaskSpec
from tests.catalogue import doors
from tests.unit.coordinator.shell import running_shell, until
from tests.unit.coordinator.test_doors import no_traceback
from tui.cli import dispatch

SEEDED = settings(
    deadline=None,
    derandomize=True,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)

HARD = st.sampled_from(
    [
        *(
            "",
            " ",
            "\0",
            "\x1b[2J",
            "\u202e",
            "\ud800",
            "é",
            "e\u0301",
            "🚀",
            "x" * 5000,
            "../..",
            "{0.__class__}",
        ),
        *(
            "0",
            "-1",
            "1e999",
            "0x10",
            "१२",
            "4 GB",
            "1:99:00",
            "0-",
            "1-1000000000%3",
            "0-9:3,1,2",
            "$(true)",
        ),
        *(0, -1, 1, 2**31, 2**53 + 1, 2**63 - 1, -(2**63), 2**64, 10**400, 0.1, -0.0, 1e308, 1e-320),
        *(None, True, False),
    ]
)
"""Values that have broken something somewhere."""

VALUES = st.recursive(
    HARD | st.text(max_size=12) | st.integers() | st.floats(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)

SOUND: list[dict[str, Any]] = [
    {"command": ["true"], "array": "0-9%2", "resources": {"cpu": "500m", "memory": "64M"}, "timeout": "1h"},
    {"tool": "wordcount", "for_each": ["/a", "/b"], "priority": "high", "retries": 2, "retry_on": ["failed"]},
    {
        "name": "chain",
        "tasks": [
            {"name": "a", "command": ["true"], "env": {"A": "1"}},
            {"name": "b", "command": ["true"], "needs": ["a"], "input": {"x": 1}, "array": "1,5,9"},
        ],
        "constraints": {"labels": {"zone": "a"}, "nodes": ["n1"]},
        "metadata": {"deep": [[{"x": None}]]},
    },
]
_NAMES = st.sampled_from([*JobSpec.__struct_fields__, *TaskSpec.__struct_fields__, "comand", "~", "a/b", ""])


def _places(tree: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of a tree."""
    keys = list(tree) if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
    found = [(tree, key) for key in keys]
    return found + [place for key in keys for place in _places(tree[key])]


@st.composite
def bent_specs(draw: Callable[..., Any]) -> dict[str, Any]:
    """A sound spec, some of whose parts were replaced, left out, added, doubled or nested."""
    spec: dict[str, Any] = json.loads(json.dumps(draw(st.sampled_from(SOUND))))
    for _ in range(draw(st.integers(1, 4))):
        places = _places(spec)
        if not places:
            return spec
        container, key = draw(st.sampled_from(places))
        match draw(st.integers(0, 4)):
            case 0:
                container[key] = draw(VALUES)
            case 1:
                del container[key]
            case 2 if isinstance(container, dict):
                container[draw(_NAMES)] = draw(VALUES)
            case 3:
                container[key] = [container[key]] * draw(st.sampled_from([1, 2, 300]))
            case _:
                for _ in range(draw(st.sampled_from([1, 5, 40]))):
                    container[key] = {"a": container[key]}
    return spec


def as_bytes(spec: dict[str, Any], *, packed: bool) -> bytes:
    if packed:
        with contextlib.suppress(OverflowError, ValueError):
            return bytes(msgpack.packb(spec, unicode_errors="surrogatepass"))
    return json.dumps(spec).encode("utf-8", "surrogatepass")


@SEEDED
@given(st.lists(st.tuples(bent_specs(), st.booleans()), min_size=1, max_size=10))
def test_a_bent_spec_is_a_job_or_one_clear_error(specs: list[tuple[dict[str, Any], bool]]) -> None:
    async def play() -> None:
        async with running_shell() as shell:
            agent = await shell.agent("n1", labels={"zone": "a"})
            await agent.listen()
            for spec, packed in specs:
                before = doors.state(shell)
                codes, words = await doors.over_the_bus(
                    shell, "job.submit", as_bytes(spec, packed=packed), {}
                )
                assert "E_INTERNAL" not in codes and set(codes) <= CODES.keys()
                assert words
                if codes:
                    assert doors.state(shell) == before
                assert len(words) < 200_000
            await until(lambda: not shell.replies._waiting)

    with no_traceback():
        asyncio.run(play())


@SEEDED
@given(spec=bent_specs())
def test_the_python_client_refuses_in_the_same_words(spec: dict[str, Any]) -> None:
    async def play() -> None:
        async with running_shell() as shell:
            try:
                await Client(shell.client("alice")).submit(**spec)
            except CorralError as error:
                assert doors.diagnostics.describe(error)[0].code in CODES.keys() - {"E_INTERNAL"}

    with no_traceback():
        asyncio.run(play())


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 1_000_000,
        b'{"metadata":' + b'{"a":' * 170_000,
        b'{"name":"' + b"x" * 1_000_000 + b'"}',
        b'{"command":["x"],"metadata":{' + b",".join(b'"%d":0' % n for n in range(9_000)) + b"}}",
        b'{"env":{' + b",".join(b'"a b%d":""' % n for n in range(9_000)) + b'},"command":["x"]}',
        b'{"tasks":[' + b",".join([b'{"comand":["x"]}'] * 50_000) + b"]}",
        b'{"metadata":[' + b",".join([b"1" * 300] * 3_000) + b"]}",
        b'{"metadata":[' + b"{}," * 300_000 + b"0]}",
        b"\xdc\xff\xff" + b"\x90" * 65_535,
        b"\x81\xa1a\xdd\x7f\xff\xff\xff",
        b"\x81\xa1a\xc6\x7f\xff\xff\xff",
        b'{"array":"' + b"1," * 30_000 + b'1","command":["x"]}',
    ],
    ids=lambda data: data[:24].decode("latin-1").encode("unicode_escape").decode(),
)
def test_memory_is_bounded_by_the_message(data: bytes) -> None:
    """A byte of JSON costs most as an empty object: 64 bytes of Python for three of text."""
    tracemalloc.start()
    try:
        with contextlib.suppress(DecodeError):
            decode_request("job.submit", data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 60 * len(data) + 2**20


_READERS = (
    *("submit", "run", "plan", "jobs", "job", "tasks", "logs", "cancel", "retry", "hold", "release", "wait"),
    *("why", "nodes", "node", "events", "drain", "cordon", "undrain", "help"),
)
_OPTIONS = st.sampled_from(
    [
        *(
            "-o",
            "--output",
            "json",
            "jsonl",
            "wide",
            "--filter",
            "--sort",
            "--limit",
            "--columns",
            "--all",
            "--cpu",
        ),
        *(
            "--memory",
            "--array",
            "--env",
            "--label",
            "--file",
            "--shell",
            "--priority",
            "--timeout",
            "--since",
        ),
        *(
            "--",
            "-",
            "--o",
            "-x",
            "--data",
            "--url",
            "--help",
            "--version",
            "@last",
            "1042.7#2",
            "--for-each",
        ),
    ]
)
_WORDS = st.text(st.characters(exclude_characters="/*?["), max_size=8) | st.sampled_from(
    ["", "\0", "\x1b[2J", "\udcff", "=", "=x", "state=failed", "1e9", "-1", "%s", "{0}", "x" * 300]
)


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without cluster, configuration or terminal."""

    @contextlib.asynccontextmanager
    async def connect(*_: object, **__: object) -> AsyncIterator[Client]:
        raise NoResponders("corral.u.alice")
        yield

    monkeypatch.setattr(Client, "connect", connect)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("CORRAL_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))


@settings(SEEDED, max_examples=200)
@given(verb=st.sampled_from(_READERS) | _WORDS, words=st.lists(_OPTIONS | _WORDS, max_size=7))
def test_any_line_ends_with_an_exit_code_and_no_traceback(
    nowhere: None, capsys: pytest.CaptureFixture[str], verb: str, words: list[str]
) -> None:
    code = dispatch.run([verb, *words])
    out, err = capsys.readouterr()
    assert 0 <= code <= 141
    assert "Traceback" not in err and "E_INTERNAL" not in err
    assert not out or not err.startswith("error")
    if code and "json" not in words and "jsonl" not in words:
        assert err.startswith("error[E_"), (code, err)
    assert not any(ord(character) < 32 and character != "\n" for character in err)
