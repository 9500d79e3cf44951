"""Programmes run in an interpreter of their own, to see how it exits, forks and takes signals."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from dataclasses import dataclass

import pytest

# What a probe looks for may show one time in ten: a few turns always, twenty under soak.
turns = pytest.mark.parametrize(
    "turn",
    [pytest.param(n, marks=pytest.mark.soak) if n >= 3 else n for n in range(20)],
)

# For programmes that send a signal to a thread that waits. Where the system does not say what a
# thread is at, a while is long enough on a quiet machine.
ASLEEP = """
import time
def until_asleep(thread):
    def switches():
        try:
            with open(f"/proc/self/task/{thread.native_id}/status") as file:
                status = dict(line.split(":", 1) for line in file)
        except FileNotFoundError:
            return None
        if "S" in status["State"].split():
            return int(status["voluntary_ctxt_switches"])
        return -1
    before = switches()
    while True:
        time.sleep(0.1 if before is None else 0.005)
        now = switches()
        if now is None or now == before != -1:
            return
        before = now
"""


@dataclass(frozen=True)
class Outcome:
    """How a programme ended: its exit status (negative: a signal) and what it said."""

    status: int
    out: str
    err: str


def run(programme: str, *arguments: str, limit: float = 30.0) -> Outcome:
    """Runs a programme to its end; one that hangs for `limit` seconds is a failure."""
    source = textwrap.dedent(programme)
    command = [sys.executable, "-X", "faulthandler", "-W", "ignore", "-c", source, *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired as hung:
        pytest.fail(f"still there after {limit} s; it said {hung.stdout!r} and {hung.stderr!r}")
    return Outcome(done.returncode, done.stdout, done.stderr)


def passes(programme: str, *arguments: str) -> str:
    """Runs a programme that must end well and silently; returns what it printed."""
    outcome = run(programme, *arguments)
    assert (outcome.status, outcome.err) == (0, ""), outcome
    return outcome.out
