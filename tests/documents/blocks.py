"""The fenced blocks of a document, and a shell session that runs them.

    ```sh                 commands: all run, in order, in one shell; each must exit with 0
    ```console            `$ command` lines with some of their output below; `…` stands for anything
    ```sh elsewhere       not run: needs what a test's machine lacks; the last word is a key of ELSEWHERE

A comment `# exits 3` behind a command says which code it ends with.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

ELSEWHERE = {
    "install": "is how this very test run was installed",
    "another-machine": "takes two machines: tests/integration/join does it across network namespaces",
    "your-server": "takes servers of one's own: tests/integration/sql and join start such",
    "terminal": "takes over the terminal: tests/tui drives it on one",
    "measure": "takes minutes and a quiet machine; its small form runs in `make test`",
    "nats-cli": "takes the nats CLI: tests/integration/doors runs it where it is on the PATH",
    "webhook": "takes an address that may be called: test_deliveries runs the receiver",
    "node": "takes packages for Node: tests/integration/doors runs it with them",
}
"""Why a block is not run here, and what stands for it."""

COMMANDS = ("corral", "make", "nats", "psql", "curl", ".ci/run", "python")
_FENCE = re.compile(r"^```(\S*)(.*)$")
_EXITS = re.compile(r"#.*\bexits (\d+)\b")


class Step(NamedTuple):
    """One command, where it stands, and what its document says of it."""

    line: int
    command: str
    expected: tuple[str, ...]
    exit: int


class Block(NamedTuple):
    """One fenced block: `kind` is its language, `tag` the word behind it."""

    line: int
    kind: str
    tag: str
    lines: tuple[str, ...]

    @property
    def has_commands(self) -> bool:
        return any(line.removeprefix("$ ").split(" ", 1)[0] in COMMANDS for line in self.lines)

    def steps(self) -> list[Step]:
        """The commands of a block that runs; a line that ends with a backslash goes on."""
        steps: list[Step] = []
        waiting = ""
        for offset, line in enumerate(self.lines, self.line + 1):
            if waiting:
                text = line
            elif self.kind == "console":
                if not line.startswith("$ "):
                    if steps and line.strip():
                        steps[-1] = steps[-1]._replace(expected=(*steps[-1].expected, line))
                    continue
                text = line[2:]
            elif not line.strip() or line.startswith("#"):
                continue
            else:
                text = line
            if text.endswith("\\"):
                waiting += text[:-1] + " "
                continue
            exits = _EXITS.search(text)
            steps.append(Step(offset, waiting + text, (), int(exits[1]) if exits else 0))
            waiting = ""
        return steps


def blocks(document: Path) -> list[Block]:
    """Every fenced block of a document."""
    found: list[Block] = []
    opened: tuple[int, str, str] | None = None
    held: list[str] = []
    for number, line in enumerate(document.read_text().splitlines(), 1):
        fence = _FENCE.match(line)
        if fence is None:
            held.append(line)
        elif opened is None:
            opened, held = (number, fence[1], fence[2].strip()), []
        else:
            found.append(Block(*opened, tuple(held)))
            opened = None
    assert opened is None, f"{document}: a block is not closed"
    return found


class Ran(NamedTuple):
    """What became of a step; stdout and stderr together."""

    step: Step
    exit: int
    output: str


def run(steps: Sequence[Step], *, cwd: Path, environment: Mapping[str, str], timeout_s: float) -> list[Ran]:
    """All steps in one shell, so that variables live on; a step that fails does not stop the others."""
    script = "".join(
        f"echo '@@ {number}'\n{step.command}\n_exit=$?; echo; echo \"@@ exit $_exit\"\n"
        for number, step in enumerate(steps)
    )
    done = subprocess.run(
        ["bash", "-c", script], cwd=cwd, env=dict(environment), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=timeout_s,
    )  # fmt: skip
    told = re.findall(r"^@@ (\d+)\n(.*?)\n@@ exit (\d+)$", done.stdout.decode(), re.M | re.S)
    assert len(told) == len(steps), done.stdout.decode()
    return [Ran(step, int(code), text) for step, (_, text, code) in zip(steps, told, strict=True)]


def missing(ran: Ran) -> list[str]:
    """The lines that the document shows and the command did not print, in this order."""
    rest = ran.output
    absent: list[str] = []
    for line in ran.step.expected:
        pattern = r"\s+".join(
            ".*?".join(re.escape(part) for part in word.split("…")) for word in line.split()
        )
        match = re.search(pattern, rest)
        if match is None:
            absent.append(line)
        else:
            rest = rest[match.end() :]
    return absent
