"""Errors told in the words of the command line: which of them a refused field of a request came from."""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Iterable

from tui.cli import diagnostics
from tui.cli.diagnostics import CommandError, Exit

_OPTIONS = {
    "/resources/cpu": "cpu",
    "/resources/memory": "memory",
    "/resources/gpu": "gpu",
    "/resources/gpu_type": "gpu_type",
    "/resources/gpu_memory": "gpu_memory",
    "/resources/gpu_uuid": "gpu_uuid",
    "/resources/storage": "storage",
    "/resources/net": "net",
    "/constraints/labels": "label",
    "/constraints/nodes": "node",
    "/constraints/prefer": "prefer",
    "/constraints/avoid": "avoid",
    "/constraints/topology": "topology",
    "/states": "state",
    "/ttl_s": "ttl",
    "/add": "add_nodes",
    "/like": "add_nodes",
}
"""Where a field and its option are not simply called the same."""

_ARGUMENTS = ("/job", "/task", "/node", "/target", "/name")
"""Ids without a flag: the refusal quotes the very word that was typed."""


def report(error: BaseException, arguments: Namespace) -> int:
    """As `diagnostics.report`, in the form and words of the line that was typed."""
    as_json = arguments.output in ("json", "jsonl")
    return diagnostics.report(error, as_json=as_json, typed_as=lambda field: typed_as(field, arguments))


def typed_as(field: str, arguments: Namespace) -> str:
    """How the person who typed the line knows a field: by its flag; "" where it is an id without one.

    What no option set keeps its JSON pointer: it stands in the job's file.
    """
    flags = set(re.findall(r"--[a-z-]+", arguments.parser.format_usage()))
    parts = field.split("/")
    for end in range(len(parts), 1, -1):  # a fault inside of --env or --for-each is the option's
        option = _OPTIONS.get("/".join(parts[:end]), parts[1] if end == 2 else "")
        if option == "filter" and "--where" in flags:
            option = "where"
        flag = f"--{option.replace('_', '-')}"
        if flag in flags and getattr(arguments, option, None) not in (None, "", [], False):
            return flag
    return "" if field in _ARGUMENTS and not getattr(arguments, "file", None) else field


def check_effect(arguments: Namespace, options: Iterable[str], *, beside: str) -> None:
    """Refuse what was set among `options`: it would do nothing. Raises CommandError."""
    for option in options:
        if getattr(arguments, option) != arguments.parser.get_default(option):
            raise CommandError(
                "E_USAGE",
                f"it does nothing with {beside}",
                exit=Exit.USAGE,
                field=f"--{option.replace('_', '-')}",
            )
