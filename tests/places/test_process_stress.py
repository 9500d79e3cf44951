"""Under deaths, kills, cancels and timeouts at random, no task is lost and none runs twice."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections import Counter
from concurrent.futures import CancelledError
from contextlib import suppress
from pathlib import Path

import process_tasks as tasks
import pytest
from taskloom.errors import ProcessDied
from taskloom.places.process import ProcessPlace, ProcessTask


def storm(seed: int, count: int, log: Path) -> Counter[str]:
    """Submit from three threads while processes are killed; return how the tasks ended."""
    log.touch()
    futures: list[tuple[int, ProcessTask]] = []
    with ProcessPlace(3) as place:

        def submit(first: int) -> None:
            choices = random.Random(seed + first)
            for number in range(first, first + count):
                kind = choices.random()
                if kind < 0.03:
                    future = place.submit(tasks.note_and_exit, (str(log), number))
                elif kind < 0.1:
                    future = place.submit(tasks.give, (bytes(choices.randrange(1_000_000)),))
                elif kind < 0.12:
                    future = place.submit(signal.pause, timeout=0.01)
                else:
                    future = place.submit(tasks.note, (str(log), number))
                futures.append((number, future))
                if choices.random() < 0.1:
                    choices.choice(futures)[1].cancel()
                if choices.random() < 0.03 and (pids := place.pids):
                    with suppress(ProcessLookupError):
                        os.kill(choices.choice(pids), signal.SIGKILL)

        submitters = [threading.Thread(target=submit, args=(n * count,)) for n in range(3)]
        for thread in submitters:
            thread.start()
        for thread in submitters:
            thread.join()
        ends: Counter[str] = Counter()
        for number, future in futures:
            try:
                value = future.result(timeout=60)
            except (CancelledError, ProcessDied, TimeoutError) as error:
                ends[type(error).__name__] += 1
            else:
                ends["note" if value == number else "value"] += 1
    return ends


def check(seed: int, count: int, log: Path) -> None:
    ends = storm(seed, count, log)
    notes = Counter(log.read_text().split())
    assert ends.total() == 3 * count
    assert max(notes.values()) == 1
    assert ends["note"] <= len(notes)


def test_nothing_is_lost_and_nothing_runs_twice(tmp_path: Path) -> None:
    check(1, 40, tmp_path / "log")


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_lost_in_a_long_storm(seed: int, tmp_path: Path) -> None:
    check(seed, 1_000, tmp_path / "log")
