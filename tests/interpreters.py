"""A Python for tasks: as root they run under an account of their own, which much of ours is closed to."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from functools import cache

NOBODY = 65534
LOOK_S = 120.0
"""Of importing PyTorch for the first time on a slow machine."""


@cache
def python_for_tasks(*modules: str) -> tuple[str, ...]:
    """The words before its arguments of one that the account of tasks can execute and that imports `modules`;
    none: there is none here.

    Our own, or the system's of the same version, lent our packages: both find the same compiled ones.
    """
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    candidates = [(sys.executable,)]
    system = shutil.which(version, path=os.pathsep.join(["/usr/local/bin", "/usr/bin"]))
    if system is not None:
        # a job may not set PYTHONPATH
        candidates.append(("/usr/bin/env", f"PYTHONPATH={sysconfig.get_path('purelib')}", system))
    return next((each for each in candidates if _works(each, modules)), ())


def _works(command: tuple[str, ...], modules: tuple[str, ...]) -> bool:
    """Tried under an account that owns nothing, as that of the tasks."""
    stranger = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    program = "\n".join(["import sys", *(f"import {name}" for name in modules)])
    try:
        done = subprocess.run(
            [*command, "-c", program],
            cwd="/",
            env={"PATH": os.defpath},
            capture_output=True,
            timeout=LOOK_S,
            **stranger,  # type: ignore[arg-type]
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0
