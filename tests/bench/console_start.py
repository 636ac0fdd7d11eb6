"""`corral top --demo` as a process on a terminal: when it paints, when it knows, what leaving it on costs.

The early picture is a heading that says "starting"; the first paint is the whole console, not yet connected.
Beside each start, in turns: a program of Textual that shows one line, and the import of Textual alone. No
console can be quicker than those, and they tell how loud the machine was. All is compiled beforehand, as what
is installed is: under PYTHONDONTWRITEBYTECODE each start would compile what was edited last.
"""

from __future__ import annotations

import subprocess
import sys
import time
from compileall import compile_dir
from pathlib import Path

import psutil

from tests.bench.figures import Figure, Sizes, percentile
from tests.tui.pty_session import on_pty

COMMAND = [sys.executable, "-P", "-m", "tui", "top", "--demo"]
BARE = [
    *(sys.executable, "-P", "-c"),
    "from textual.app import App; from textual.widgets import Static\n"
    "class Bare(App[None]):\n"
    "    def compose(self): yield Static('corral')\n"
    "Bare().run()",
]
IMPORT = [sys.executable, "-P", "-c", "import textual.app"]
SIZE = (120, 40)
MAKING_RESTS = 6
"""How many rests the screens take that are made ahead, and more: 4 s where `limit` is 1,200 tasks/s, and what
the forms of tools check with is read after them."""
ROOT = Path(__file__).parents[2]


def measure(sizes: Sizes) -> list[Figure]:
    """First paint and first data of some starts; of the last, the share of a core at one change a second."""
    early, paints, data, spent, bare, imports = [], [], [], [], [], []
    idle: list[Figure] = []
    for package in ("bus", "tui"):
        compile_dir(ROOT / package, quiet=2)
    for run in range(sizes.command_runs):
        imports.append(_import_ms())
        bare.append(_bare_ms())
        begin = time.perf_counter()
        with on_pty(COMMAND, size=SIZE) as terminal:
            terminal.wait_for("starting")
            early.append((time.perf_counter() - begin) * 1000)
            terminal.wait_for("connecting")
            paints.append((time.perf_counter() - begin) * 1000)
            spent.append(_on_cpu_ms(terminal.process.pid))
            terminal.wait_for("LIVE", "running")
            data.append((time.perf_counter() - begin) * 1000)
            if run == sizes.command_runs - 1:  # with all screens made ahead by then
                process = psutil.Process(terminal.process.pid)
                terminal.read_for(MAKING_RESTS * sizes.rest_s)
                before, since = _spent_s(process.pid), time.perf_counter()
                terminal.read_for(sizes.console_s)
                share = 100 * (_spent_s(process.pid) - before) / (time.perf_counter() - since)
                resident_mib = process.memory_info().rss / 2**20
                idle = [
                    Figure(name="console.idle", value=share, unit="% of a core", note="a change a second"),
                    Figure(name="console.memory", value=resident_mib, unit="MiB", note="with its cluster"),
                ]
    return [
        _spread("console.early_picture", early),
        _spread("console.first_paint", paints),
        _spread("console.first_paint.processor", spent),
        _spread("console.first_paint.bare_textual", bare),
        _spread("console.first_paint.import_textual", imports),
        _spread("console.first_data", data),
        *idle,
    ]


def _bare_ms() -> float:
    begin = time.perf_counter()
    with on_pty(BARE, size=SIZE) as terminal:
        terminal.wait_for("corral")
        return (time.perf_counter() - begin) * 1000


def _import_ms() -> float:
    begin = time.perf_counter()
    subprocess.run(IMPORT, check=True)
    return (time.perf_counter() - begin) * 1000


def _on_cpu_ms(pid: int) -> float:
    """Of its main thread, to the nanosecond: what others do meanwhile does not count."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e6


def _spread(name: str, samples: list[float]) -> Figure:
    note = f"of {len(samples)} starts; the least {min(samples):.0f}"
    return Figure(name=name, value=percentile(samples, 50), unit="ms", note=note, samples=tuple(samples))


def _spent_s(pid: int) -> float:
    """Of all its threads, to the nanosecond: ticks of the clock are a tenth of what is measured here."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((each / "schedstat").read_text().split()[0]) for each in threads) / 1e9
