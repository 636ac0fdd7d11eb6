"""`python -m tests.chaos --minutes 10 --seed N`: strike a real cluster, and judge it.

Exit code 0 without a violation, 1 with any. The folder is kept where something was found, or with --keep.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from tests.chaos.report import as_json, report, table
from tests.chaos.run import Order, Outcome, Run


def main() -> int:
    """Returns the exit code."""
    arguments = _parse()
    folder = arguments.keep or Path(tempfile.mkdtemp(prefix="corral-chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    order = Order(
        folder=folder,
        seed=arguments.seed,
        length_s=arguments.minutes * 60,
        every_s=arguments.every,
        rate=arguments.rate,
    )
    say(f"seed {order.seed}, {arguments.minutes:g} minutes, a fault every {order.every_s:g} s, in {folder}")
    try:
        outcome = asyncio.run(_run(order))
    except asyncio.CancelledError:
        say(f"ended before its time; kept: {folder}")
        return 1
    document = report(outcome)
    (folder / "report.json").write_bytes(as_json(document))
    if arguments.json is not None:
        arguments.json.write_bytes(as_json(document))
    for line in table(document):
        print(line)
    if outcome.violations:
        _show(outcome)
        return 1
    if arguments.keep is None:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


async def _run(order: Order) -> Outcome:
    """SIGTERM ends the run, and the cluster with it."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await Run(order, say).run()


def say(text: str) -> None:
    """What goes on is for stderr; the report for stdout."""
    print(text, file=sys.stderr, flush=True)


def _show(outcome: Outcome) -> None:
    print("\nFAULTS")
    for stroke in outcome.strokes:
        print(f"  {stroke}")
    print("\nVIOLATIONS")
    for violation in outcome.violations:
        print(violation)
    again = f"python -m tests.chaos --minutes {outcome.order.length_s / 60:g} --seed {outcome.order.seed}"
    print(f"\nagain: {again} --every {outcome.order.every_s:g}\nkept: {outcome.order.folder}")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**31), help="of faults and workload")
    parser.add_argument("--every", type=float, default=10.0, metavar="S", help="seconds between faults")
    parser.add_argument("--rate", type=float, default=1.0, help="jobs a second")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="run in this new folder and keep it")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report there too")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
