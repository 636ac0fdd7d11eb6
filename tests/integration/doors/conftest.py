"""What foreign clients need: packages, installed once into a cache folder; what is missing is counted."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.not_here import not_here

FOREIGN = Path(__file__).parents[2] / "foreign"
INSTALL_S = 120


@pytest.fixture(scope="session")
def node_client() -> Path:
    """The folder of the Node client with its packages; made once for each set of them."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        not_here("client of Node", "neither npm nor node is on PATH")
    manifest = (FOREIGN / "package.json").read_bytes()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "corral" / f"foreign-{hashlib.sha256(manifest).hexdigest()[:12]}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of two runs at once one installs, and the other finds it done
        install(npm, folder, manifest)
        shutil.copy(FOREIGN / "client.mjs", folder)
    return folder


def install(npm: str, folder: Path, manifest: bytes) -> None:
    """The packages of `manifest`, unless they are there; skips where they cannot be had."""
    if not (folder / "complete").exists():
        folder.mkdir(exist_ok=True)
        (folder / "package.json").write_bytes(manifest)
        command = [npm, "install", "--no-package-lock", "--no-audit", "--no-fund", "--silent"]
        installed = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_S)
        if installed.returncode != 0:
            not_here("client of Node", f"npm install failed: {installed.stderr.strip()[-300:]}")
        (folder / "complete").touch()
