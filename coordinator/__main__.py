"""`python -m coordinator VERB …`: serve, supervise, and the verbs that need the database."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def main(argv: list[str] | None = None) -> int:
    """Run one verb; returns the process's exit code."""
    parser = argparse.ArgumentParser(prog="python -m coordinator", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    serve = verbs.add_parser("serve", help="run the coordinator of a data folder")
    serve.add_argument("data", type=Path)
    serve.add_argument("--name", default="coordinator", help="tells coordinators of one folder apart")
    supervise = verbs.add_parser("supervise", help="run and restart all processes of a data folder")
    supervise.add_argument("data", type=Path)
    supervise.add_argument("--agents", type=int, help="agents from now on, sharing this machine")
    supervise.add_argument("--listen", help="address for other machines from now on; off: loopback only")
    supervise.add_argument(
        "--standby", action=argparse.BooleanOptionalAction, help="a second coordinator from now on"
    )
    check = verbs.add_parser("check", help="look at servers that somebody else runs; a fault as JSON")
    check.add_argument("data", type=Path)
    doctor = verbs.add_parser("doctor", help="what the cluster's own side sees of its health, as JSON")
    doctor.add_argument("data", type=Path)
    verbs.add_parser("bench", help="judge schedulers as the JSON on stdin says; JSON lines on stdout")
    verbs.add_parser("tune", help="which order is best for the history on stdin; JSON lines on stdout")
    arguments = parser.parse_args(argv)
    match arguments.verb:
        case "serve":
            from coordinator.serve import serve as run_coordinator

            return run_coordinator(arguments.data, name=arguments.name)
        case "supervise":
            from coordinator.supervise import Wanted
            from coordinator.supervise import supervise as run_supervisor

            wanted = Wanted(agents=arguments.agents, listen=arguments.listen, standby=arguments.standby)
            return run_supervisor(arguments.data, wanted)
        case "check":
            from coordinator.own_servers import report_check

            return report_check(arguments.data)
        case "doctor":
            from coordinator.doctor import doctor as look

            return look(arguments.data)
        case "bench":
            from coordinator.sim.bench import bench

            return bench()
        case "tune":
            from coordinator.sim.tuning import tune

            return tune()
    return 2


if __name__ == "__main__":
    sys.exit(main())
