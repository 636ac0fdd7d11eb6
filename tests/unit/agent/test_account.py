"""What a forked tool is made of: it never outlives the guard that forked it."""

from __future__ import annotations

import subprocess
import sys

import pytest

FORKED = """
import os, sys, time
from agent.guard.account import die_with_parent

parent = os.getpid()
if os.fork():
    if sys.argv[1] == "early":
        os._exit(0)
    sys.stdin.read()
    os._exit(0)
while sys.argv[1] == "early" and os.getppid() == parent:
    time.sleep(0.001)
die_with_parent(parent)
print("alive", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize(("dies", "said"), [("early", ""), ("late", "alive\n")])
def test_a_fork_dies_with_its_parent_whoever_is_first(dies: str, said: str) -> None:
    """Its end of the pipe closes with it: what it wrote until then is all there is."""
    child = subprocess.Popen(
        [sys.executable, "-c", FORKED, dies],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with child:
        assert child.stdin is not None and child.stdout is not None
        assert child.stdout.readline() == said
        child.stdin.close()
        assert child.stdout.read() == ""
