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
