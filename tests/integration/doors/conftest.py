"""What foreign clients need: packages, installed once into a cache folder; what is missing is counted."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

FOREIGN = Path(__file__).parents[2] / "foreign"
INSTALL_S = 120


def not_here(what: str, why: str) -> NoReturn:
    """Skip aloud; a run of all checks names and counts it in its last line."""
    record = os.environ.get("CORRAL_CI_RECORD")
    if record:
        with open(record, "a", encoding="utf-8") as file:
            file.write(f"not here: {what}\n")
    pytest.skip(f"NOT RUN HERE: {what}: {why}")


@pytest.fixture(scope="session")
def node_client() -> Path:
    """The folder of the Node client with its packages; made once for each set of them."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        not_here("client of Node", "neither npm nor node is on PATH")
    manifest = (FOREIGN / "package.json").read_bytes()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "corral" / f"foreign-{hashlib.sha256(manifest).hexdigest()[:12]}"
    if not (folder / "complete").exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_bytes(manifest)
        command = [npm, "install", "--no-package-lock", "--no-audit", "--no-fund", "--silent"]
        installed = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_S)
        if installed.returncode != 0:
            not_here("client of Node", f"npm install failed: {installed.stderr.strip()[-300:]}")
        (folder / "complete").touch()
    shutil.copy(FOREIGN / "client.mjs", folder)
    return folder
