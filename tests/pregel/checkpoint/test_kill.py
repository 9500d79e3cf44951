"""A program that is killed at any moment goes on from its last committed write, and ends the same.

Nothing is committed twice and nothing that was committed runs again: what the nodes put into the
journal when they run is compared with what the file held when the process died.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from taskloom.pregel.checkpoint.sqlite import SqliteSaver

from .records import where

PROGRAM = Path(__file__).with_name("killed_program.py")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no kill -9 on Windows")


class Thread:
    """One thread of the looping program, in a folder of its own."""

    def __init__(self, folder: Path, rounds: int) -> None:
        folder.mkdir()
        self.file = folder / "checkpoints.sqlite"
        self.journal = folder / "journal"
        self.journal.touch()
        self.rounds = rounds

    def start(self, statement: int = 0) -> subprocess.Popen[str]:
        command = [sys.executable, PROGRAM, self.file, self.journal, self.rounds, statement]
        return subprocess.Popen(
            list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def ran(self) -> list[str]:
        return self.journal.read_text().split("\n")[:-1]

    def committed(self) -> set[str]:
        """What the file holds of the log, applied or pending."""
        if not self.file.exists():
            return set()
        with SqliteSaver.from_conn_string(self.file) as saver:
            found = saver.get_tuple(where("looping"))
        if found is None:
            return set()
        log = found.checkpoint["channel_values"].get("log", [])
        pending = [value for _, cell, value in found.pending_writes or [] if cell == "log"]
        entries: list[str] = sum(pending, list(log))
        assert len(entries) == len(set(entries)), "an entry was committed twice"
        return set(entries)


def finished(process: subprocess.Popen[str]) -> Any:
    """The final state that the process printed; `None` if it was killed."""
    out, err = process.communicate(timeout=60)
    if process.returncode == -signal.SIGKILL:
        return None
    assert process.returncode == 0, err
    return json.loads(out)


def undisturbed(rounds: int) -> dict[str, Any]:
    """The final state, computed by a plain loop."""
    log, parts, total = [], [], 1
    for number in range(rounds):
        log += [f"plan {number}", *(f"work{part} {number}" for part in range(3))]
        parts += [number * part for part in range(3)]
        total = total * 3 % 1_000_003 + sum(parts)
        log.append(f"collect {number}")
    return {"round": rounds, "total": total, "log": log, "parts": parts}


def kill_and_resume(thread: Thread, launch: Callable[[], subprocess.Popen[str]]) -> int:
    """Let processes work on a thread until one ends it; returns how many were killed."""
    kills = 0
    while True:
        before, committed = len(thread.ran()), thread.committed()
        result = finished(launch())
        again = committed & set(thread.ran()[before:])
        assert not again, f"these had been committed and ran again: {sorted(again)}"
        if result is not None:
            assert result == undisturbed(thread.rounds)
            return kills
        kills += 1


def killed_before_a_statement(thread: Thread, chance: random.Random) -> subprocess.Popen[str]:
    """A process that kills itself, having done some work at least."""
    return thread.start(statement=chance.randint(40, 250))


def killed_from_outside(thread: Thread, chance: random.Random) -> subprocess.Popen[str]:
    """A process that is killed while it works."""
    began = len(thread.ran())
    process = thread.start()
    # Not before it works at all: the first moments are all alike.
    while process.poll() is None and len(thread.ran()) < began + 3:
        time.sleep(0.001)
    time.sleep(chance.random() * 0.05)
    if process.poll() is None:
        os.kill(process.pid, signal.SIGKILL)
    return process


def test_an_undisturbed_run_ends_as_a_plain_loop_does(tmp_path: Path) -> None:
    thread = Thread(tmp_path / "thread", rounds=5)
    assert finished(thread.start()) == undisturbed(5)
    assert thread.ran().count("plan 3") == 1


def test_a_killed_run_resumes_without_repeating_what_was_committed(tmp_path: Path) -> None:
    thread = Thread(tmp_path / "thread", rounds=30)
    chance = random.Random(8)
    assert kill_and_resume(thread, lambda: killed_before_a_statement(thread, chance)) >= 5


@pytest.mark.parametrize("statement", [1, 2, 5, 9, 14])
def test_a_run_killed_at_its_very_beginning_starts_again(tmp_path: Path, statement: int) -> None:
    thread = Thread(tmp_path / "thread", rounds=1)
    assert finished(thread.start(statement=statement)) is None
    assert kill_and_resume(thread, thread.start) == 0


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_two_hundred_kills_at_random_moments_change_nothing(tmp_path: Path) -> None:
    seed = time.time_ns()
    print(f"seed {seed}")
    chance = random.Random(seed)
    kills, threads = 0, 0
    while kills < 200:
        thread = Thread(tmp_path / f"thread {threads}", rounds=60)
        kill = killed_before_a_statement if threads % 2 else killed_from_outside
        kills += kill_and_resume(thread, partial(kill, thread, chance))
        threads += 1
