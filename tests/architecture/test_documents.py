"""What the documents name exists: every file, and every function or class named beside its file."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = {
    "docs/architecture.md": ROOT,
    "coordinator/README.md": ROOT / "coordinator",
    "coordinator/store/README.md": ROOT / "coordinator" / "store",
}
_TOKEN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^)#:]+)\)")
_FILE = re.compile(r"[\w/]+\.py")
_NAME = re.compile(r"[A-Za-z_][\w.]*")


@cache
def names_in(path: Path) -> frozenset[str]:
    """Everything defined at a module's top level, and `Class.method`."""

    def found() -> Iterator[str]:
        for node in ast.parse(path.read_text()).body:
            match node:
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                    yield name
                case ast.ClassDef(name=name, body=body):
                    yield name
                    for inner in body:
                        if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
                            yield f"{name}.{inner.name}"
                case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                    yield name

    return frozenset(found())


def named(line: str) -> Iterator[tuple[str, str]]:
    """(file, name) for each name that stands right after its file, or after another of its names."""
    file, end = "", 0
    for match in _TOKEN.finditer(line):
        token = match[1]
        if _FILE.fullmatch(token):
            file = token
            yield file, ""
        elif file and _NAME.fullmatch(token) and not line[end : match.start()].strip(" ,"):
            yield file, token
        else:
            file = ""
        end = match.end()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_file_and_function_named_is_there(document: str) -> None:
    folder = DOCUMENTS[document]
    missing = []
    seen = 0
    for line in (ROOT / document).read_text().splitlines():
        for file, name in named(line):
            seen += 1
            path = folder / file
            if not path.is_file() or (name and name not in names_in(path)):
                missing.append(f"{file} {name}")
    assert seen > 5 and not missing


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_leads_somewhere(document: str) -> None:
    path = ROOT / document
    assert not [link for link in _LINK.findall(path.read_text()) if not (path.parent / link).exists()]


def test_a_wrong_name_would_be_found() -> None:
    assert list(named("x `a/b.py` `f`, `C.g` and `h`, `c.py` `i`")) == [
        ("a/b.py", ""),
        ("a/b.py", "f"),
        ("a/b.py", "C.g"),
        ("c.py", ""),
        ("c.py", "i"),
    ]


def test_every_file_of_the_coordinator_is_in_its_readme() -> None:
    text = (ROOT / "coordinator" / "README.md").read_text()
    words = set(re.findall(r"[\w/]+", text))
    files = [p for p in (ROOT / "coordinator").rglob("*.py") if p.stem not in ("__init__", "__main__")]
    inside = [p for p in files if p.parent.name not in ("store", "supervisor")]
    assert not [str(p.relative_to(ROOT)) for p in inside if p.stem not in words]
