"""`corral bench scheduler`: schedulers judged on recorded workloads.

`python -m coordinator bench` reads what to judge as JSON from stdin (`OrderBench` or `PlacementBench`). Each
line of its stdout is a JSON object with one key: `progress` (runs done, runs in all), `result`, or `error`,
which is the last.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

import msgspec

from bus.errors import Error
from coordinator.sim.judging import UnknownPolicy
from coordinator.sim.order_bench import OrderBench, judge_orders
from coordinator.sim.placement_bench import PlacementBench, judge_placements
from coordinator.sim.trace_files import TraceError


def bench() -> int:
    """Do as stdin says; returns the process's exit code."""
    settings: OrderBench | PlacementBench = msgspec.json.decode(
        sys.stdin.buffer.read(), type=OrderBench | PlacementBench
    )
    field = "--swf" if isinstance(settings, OrderBench) else "--openb"
    try:
        for result in _results(settings):
            _say("result", result)
    except UnknownPolicy as error:
        known = f"some of {', '.join(error.known)}"
        _say("error", Error(code="E_VALUE", message=str(error), field="--policy", expected=known))
    except TraceError as error:
        _say("error", Error(code="E_TRACE", message=str(error), field=field))
    except BrokenPipeError:  # nobody listens any more; nor shall the interpreter try again at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    except OSError as error:
        message = f"cannot read {error.filename}: {error.strerror}"
        _say("error", Error(code="E_PATH", message=message, field=field))
    else:
        return 0
    return 1


def _results(settings: OrderBench | PlacementBench) -> Iterable[object]:
    def progress(done: int, total: int) -> None:
        _say("progress", (done, total))

    if isinstance(settings, OrderBench):
        return judge_orders(settings, progress)
    return judge_placements(settings, progress)


def _say(key: str, value: object) -> None:
    sys.stdout.buffer.write(msgspec.json.encode({key: value}) + b"\n")
    sys.stdout.buffer.flush()
