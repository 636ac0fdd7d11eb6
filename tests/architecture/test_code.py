"""The house rules that no linter of ours knows: sizes, dangerous calls, who writes to the terminal."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("bus", "sql", "agent", "coordinator", "tui")
FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70
FORBIDDEN_MODULES = {"pickle", "marshal", "shelve", "dill", "cloudpickle"}
FORBIDDEN_CALLS = {
    "eval",
    "exec",
    "os.system",
    "os.popen",
    "yaml.load",
    "yaml.unsafe_load",
    "tempfile.mktemp",
}
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


def dotted(node: ast.expr) -> str:
    """`os.path.join` of a call's function; empty for anything that is not a plain name."""
    match node:
        case ast.Name():
            return node.id
        case ast.Attribute():
            owner = dotted(node.value)
            return f"{owner}.{node.attr}" if owner else ""
        case _:
            return ""


def places(found: Iterator[tuple[Path, int, str]]) -> list[str]:
    return [f"{path.relative_to(ROOT)}:{line}: {what}" for path, line, what in found]


def test_no_file_is_longer_than_a_reader_can_hold() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in SOURCES}
    assert not [f"{p.relative_to(ROOT)}: {n} lines" for p, n in lengths.items() if n > FILE_LINES_MAX]


def test_no_function_is_longer_than_a_screen() -> None:
    def found() -> Iterator[tuple[Path, int, str]]:
        for path in SOURCES:
            for node in ast.walk(parsed(path)):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    length = (node.end_lineno or node.lineno) - node.lineno + 1
                    if length > FUNCTION_LINES_MAX:
                        yield path, node.lineno, f"{node.name} has {length} lines"

    assert not places(found())


def test_nothing_deserialises_code_or_runs_a_shell() -> None:
    def found() -> Iterator[tuple[Path, int, str]]:
        for path in SOURCES:
            for node in ast.walk(parsed(path)):
                match node:
                    case ast.Import(names=names):
                        for name in names:
                            if name.name.partition(".")[0] in FORBIDDEN_MODULES:
                                yield path, node.lineno, f"import {name.name}"
                    case ast.ImportFrom(module=str(module)):
                        if module.partition(".")[0] in FORBIDDEN_MODULES:
                            yield path, node.lineno, f"from {module}"
                    case ast.Call():
                        if dotted(node.func) in FORBIDDEN_CALLS:
                            yield path, node.lineno, dotted(node.func)
                        for keyword in node.keywords:
                            shell = keyword.arg == "shell" and not is_false(keyword.value)
                            pickled = keyword.arg == "allow_pickle" and not is_false(keyword.value)
                            if shell or pickled:
                                yield path, node.lineno, f"{keyword.arg}={ast.unparse(keyword.value)}"

    assert not places(found())


def is_false(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


@pytest.mark.parametrize(
    ("stream", "writer"), [("sys.stdout", "tui/cli/output.py"), ("sys.stderr", "tui/cli/diagnostics.py")]
)
def test_one_module_writes_each_stream_of_the_command(stream: str, writer: str) -> None:
    def found() -> Iterator[tuple[Path, int, str]]:
        for path in sorted((ROOT / "tui").rglob("*.py")):
            if path == ROOT / writer:
                continue
            for node in ast.walk(parsed(path)):
                if isinstance(node, ast.Attribute) and dotted(node) == stream:
                    yield path, node.lineno, stream

    assert not places(found())


def test_package_files_hold_a_docstring_only() -> None:
    def found() -> Iterator[tuple[Path, int, str]]:
        for path in SOURCES:
            if path.name != "__init__.py" or path == ROOT / "sql" / "__init__.py":
                continue
            body = parsed(path).body
            if len(body) != 1 or ast.get_docstring(parsed(path)) is None:
                yield path, 1, "more, or less, than a docstring"

    assert not places(found())


def test_every_module_says_what_it_is_for() -> None:
    missing = [str(path.relative_to(ROOT)) for path in SOURCES if ast.get_docstring(parsed(path)) is None]
    assert not missing


def test_no_file_has_a_name_that_says_nothing() -> None:
    nothing = {"utils", "util", "common", "helpers", "misc", "stuff"}
    assert not [str(path.relative_to(ROOT)) for path in SOURCES if path.stem in nothing]
