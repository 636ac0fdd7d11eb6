"""Looking at Python code by its syntax tree (`ast`): nothing of it is run or imported.

Complexity is McCabe's: 1, and 1 more for each branch, loop, handler, condition of a comprehension and further
operand of a boolean. What is found beside it is certain from the text alone; names that are used only through
`globals()` or text are taken as unused.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from typing import Any

CODE_BYTES_MAX = 1024 * 1024
COMPLEX = 10

_BRANCHES = (
    ast.If,
    ast.IfExp,
    ast.For,
    ast.AsyncFor,
    ast.While,
    ast.ExceptHandler,
    ast.Assert,
    ast.match_case,
)
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
_MUTABLE = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def code_analysis(given: dict[str, Any], needs: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """{"code": text, "language"?: "python"} → {"valid", "lines", "functions", "classes", "imports", …}.

    Code that does not parse has `valid` false and one finding. Raises ValueError.
    """
    del needs
    code = given.get("code")
    if not isinstance(code, str):
        raise ValueError("code must be a text")
    if given.get("language", "python") != "python":
        raise ValueError("language must be python: no other is understood")
    if len(code.encode("utf-8", "replace")) > CODE_BYTES_MAX:
        raise ValueError(f"code has more than {CODE_BYTES_MAX} bytes")
    try:
        tree = ast.parse(code)
    except SyntaxError as error:
        return _unparsed(code, error.lineno or 1, error.msg or "invalid syntax")
    except (ValueError, RecursionError, MemoryError) as error:
        return _unparsed(code, 1, str(error) or "nested too deeply")
    try:
        return _analysed(code, tree)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _unparsed(code: str, line: int, message: str) -> dict[str, Any]:
    return {
        "valid": False, "lines": _lines(code), "functions": [], "classes": [], "imports": [],
        "unused_imports": [], "findings": [_finding("syntax_error", line, message)],
    }  # fmt: skip


def _analysed(code: str, tree: ast.Module) -> dict[str, Any]:
    imported = list(_imports(tree))
    used = _names_used(tree)
    unused = [(name, line) for name, line, _ in imported if name not in used]
    functions = [_function(node, path) for node, path in _definitions(tree, "")]
    findings = [_finding("unused_import", line, f"{name} is imported and not used") for name, line in unused]
    findings += _faults(tree)
    findings += [
        _finding("complex_function", each["line"], f"{each['name']} has a complexity of {each['complexity']}")
        for each in functions
        if each["complexity"] > COMPLEX
    ]
    return {
        "valid": True,
        "lines": _lines(code),
        "functions": functions,
        "classes": [
            {
                "name": node.name,
                "line": node.lineno,
                "methods": sum(isinstance(e, _DEFINITIONS) for e in node.body),
            }
            for node in ast.walk(tree)
            if isinstance(node, ast.ClassDef)
        ],
        "imports": sorted({module for _, _, module in imported}),
        "unused_imports": [name for name, _ in unused],
        "findings": sorted(findings, key=lambda found: (found["line"], found["rule"])),
    }


def _lines(code: str) -> dict[str, int]:
    lines = code.splitlines()
    return {
        "total": len(lines),
        "blank": sum(not line.strip() for line in lines),
        "comment": sum(line.lstrip().startswith("#") for line in lines),
    }


def _definitions(node: ast.AST, path: str) -> Iterator[tuple[ast.FunctionDef | ast.AsyncFunctionDef, str]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, _DEFINITIONS):
            yield child, path + child.name
            yield from _definitions(child, f"{path}{child.name}.")
        elif isinstance(child, ast.ClassDef):
            yield from _definitions(child, f"{path}{child.name}.")
        else:
            yield from _definitions(child, path)


def _function(node: ast.FunctionDef | ast.AsyncFunctionDef, path: str) -> dict[str, Any]:
    takes = node.args
    named = [*takes.posonlyargs, *takes.args, *takes.kwonlyargs]
    return {
        "name": path,
        "line": node.lineno,
        "lines": (node.end_lineno or node.lineno) - node.lineno + 1,
        "arguments": len(named) + (takes.vararg is not None) + (takes.kwarg is not None),
        "complexity": _complexity(node),
        "documented": ast.get_docstring(node) is not None,
    }


def _complexity(function: ast.AST) -> int:
    """Without what is defined inside it, which counts for itself."""
    total = 1
    waiting = list(ast.iter_child_nodes(function))
    while waiting:
        node = waiting.pop()
        if isinstance(node, _SCOPES):
            continue
        total += isinstance(node, _BRANCHES)
        total += len(node.values) - 1 if isinstance(node, ast.BoolOp) else 0
        total += 1 + len(node.ifs) if isinstance(node, ast.comprehension) else 0
        waiting.extend(ast.iter_child_nodes(node))
    return total


def _imports(tree: ast.Module) -> Iterator[tuple[str, int, str]]:
    """(name that it binds, line, module) of all but `from __future__` and `import *`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.asname or alias.name.partition(".")[0], node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom) and node.module != "__future__":
            module = "." * node.level + (node.module or "")
            for alias in node.names:
                if alias.name != "*":
                    yield alias.asname or alias.name, node.lineno, module


def _names_used(tree: ast.Module) -> set[str]:
    """Names that are read or deleted anywhere, and what `__all__` lists."""
    used = {
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Store)
    }
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(
            isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets
        ):
            used |= {each.value for each in ast.walk(node.value) if isinstance(each, ast.Constant)}  # type: ignore[misc]
    return used


def _faults(tree: ast.Module) -> Iterator[dict[str, Any]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and node.type is None:
            yield _finding("bare_except", node.lineno, "except without a class catches everything")
        elif isinstance(node, _DEFINITIONS):
            for default in (*node.args.defaults, *filter(None, node.args.kw_defaults)):
                if isinstance(default, _MUTABLE):
                    message = f"{node.name} has a default that all its calls share"
                    yield _finding("mutable_default", default.lineno, message)
        elif isinstance(node, ast.Compare):
            for operator, right in zip(node.ops, node.comparators, strict=True):
                if (
                    isinstance(operator, ast.Eq | ast.NotEq)
                    and isinstance(right, ast.Constant)
                    and right.value is None
                ):
                    yield _finding("none_comparison", node.lineno, "compare with None by `is`")
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("eval", "exec")
        ):
            yield _finding("dynamic_code", node.lineno, f"{node.func.id} runs text as code")


def _finding(rule: str, line: int, message: str) -> dict[str, Any]:
    return {"rule": rule, "line": line, "message": message}
