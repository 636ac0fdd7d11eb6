"""No row of the contract is forgotten: a test names it, or `later.txt` says why it waits."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
TESTS = HERE.parent

_ID = re.compile(r"S\d\.\d+")


def listed(name: str) -> dict[str, str]:
    """The rows of a list in this folder: id and the words behind it. A range `S0.1-S0.9` names each."""
    found: dict[str, str] = {}
    for line in (HERE / name).read_text().splitlines():
        if line and not line.startswith("#"):
            ids, words = line.split("\t", 1)
            source, first, last = re.fullmatch(r"(S\d)\.(\d+)(?:-S\d\.(\d+))?", ids).groups()  # type: ignore[union-attr]
            for number in range(int(first), int(last or first) + 1):
                assert f"{source}.{number}" not in found, f"{name} lists {source}.{number} twice"
                found[f"{source}.{number}"] = words
    return found


def named() -> dict[str, set[str]]:
    """Every row that a `contract` mark names, and the files that do."""
    found: dict[str, set[str]] = {}
    for path in sorted(TESTS.rglob("*.py")):
        tree = ast.parse(path.read_text(), str(path))
        tuples = {
            target.id: ast.literal_eval(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple)
            for target in node.targets
            if isinstance(target, ast.Name)
            and all(isinstance(item, ast.Constant) for item in node.value.elts)
        }
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "contract"
            ):
                for argument in node.args:
                    ids = (
                        tuples[argument.value.id]
                        if isinstance(argument, ast.Starred) and isinstance(argument.value, ast.Name)
                        else (ast.literal_eval(argument),)
                    )
                    for row in ids:
                        found.setdefault(row, set()).add(path.name)
    return found


@pytest.mark.contract("S4.69")
def test_every_row_is_named_or_waits_for_a_reason() -> None:
    rows, later, marked = listed("rows.txt"), listed("later.txt"), named()
    forgotten = [row for row in rows if row not in marked and row not in later]
    done = [row for row in later if row in marked]
    print(f"contract: {len(rows)} rows, {len(marked)} named, {len(later) - len(done)} later")
    places_only = [row for row, files in marked.items() if files == {"test_columns.py"}]
    print(f"{len(places_only)} only have their columns, no behaviour yet:", ", ".join(sorted(places_only)))
    print("named, and still in later.txt:", ", ".join(done) or "none")
    print(
        "waiting:",
        *(f"{row} {rows[row]}: {why}" for row, why in later.items() if row not in marked),
        sep="\n  ",
    )
    assert forgotten == []


def test_no_test_names_a_row_that_does_not_exist() -> None:
    rows = listed("rows.txt")
    assert {row: where for row, where in named().items() if row not in rows} == {}
    assert [row for row in listed("later.txt") if row not in rows] == []


def test_the_list_is_whole() -> None:
    counts = {f"S{source}": 0 for source in range(5)}
    for row in listed("rows.txt"):
        assert _ID.fullmatch(row)
        counts[row[:2]] += 1
    assert counts == {"S0": 64, "S1": 55, "S2": 105, "S3": 47, "S4": 75}
