"""Twice as much work as can be done, for a while: bounded, nothing lost, urgent work in time."""

from __future__ import annotations

import gc
import statistics
import threading
import time
from collections import Counter
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Literal

import pytest
from taskloom import Executor
from taskloom.errors import QueueFull

MIB = 1 << 20
DEPTH = 200
# Seconds that urgent tasks may wait, 99 of 100 of them, and in which an overloaded queue recovers.
TARGET = 0.05
RECOVERY = 1.0

WhenFull = Literal["block", "reject", "drop_oldest", "drop_lowest"]
policies = pytest.mark.parametrize("when_full", ["block", "reject", "drop_oldest", "drop_lowest"])


def resident() -> int:
    """Bytes of memory that the process has in RAM, after a collection."""
    gc.collect()
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("no /proc on this platform to read the memory from")
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


class Overload:
    """Offers two tasks for each that has run, every tenth of them urgent."""

    def __init__(self, executor: Executor) -> None:
        self._views = (executor, executor.options(priority=3))
        self._lock = threading.Lock()
        self.ran = 0
        self.ended: Counter[str] = Counter()
        self.offered = self.refused = 0
        # Of the urgent and of the others: seconds between being accepted and beginning.
        self.waits: tuple[list[float], list[float]] = ([], [])

    def _task(self, urgent: bool, accepted: list[float]) -> None:
        # A task that is begun before its submit has returned has not waited.
        waited = time.monotonic() - accepted[0] if accepted else 0.0
        time.sleep(0.001)
        with self._lock:
            self.ran += 1
            waits = self.waits[not urgent]
            waits.append(waited)
            if len(waits) > 20_000:
                del waits[::2]

    def _over(self, future: Future[Any]) -> None:
        if future.cancelled():
            end = "cancelled"
        else:
            error = future.exception()
            end = "done" if error is None else type(error).__name__
        with self._lock:
            self.ended[end] += 1

    def offer(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.offered > 2 * self.ran + 2 * DEPTH:
                time.sleep(0.0002)
                continue
            self.offered += 1
            urgent, accepted = self.offered % 10 == 0, list[float]()
            try:
                future = self._views[urgent].submit(self._task, urgent, accepted)
            except QueueFull:
                self.refused += 1
            else:
                accepted.append(time.monotonic())
                future.add_done_callback(self._over)


def storm(when_full: WhenFull, seconds: float, target: float | None) -> None:
    with Executor(2, max_queue_depth=DEPTH, when_full=when_full) as executor:
        load = Overload(executor)
        load.offer(seconds / 6)
        memory = resident()
        load.offer(seconds)
        stopped = time.monotonic()
        while executor.queue_depth:
            time.sleep(0.001)
        executor.submit(int).result()
        recovered = time.monotonic() - stopped
        # What the waits and counters of the test itself take is less than this.
        assert resident() - memory < 16 * MIB
    stats = executor.stats()
    accepted = load.offered - load.refused
    assert sum(load.ended.values()) == accepted
    assert load.ended["done"] == load.ran
    assert load.ended["QueueFull"] == stats.dropped == accepted - load.ran
    assert stats.rejected == load.refused
    lossless = {"block": load.refused == 0, "reject": stats.dropped == 0}
    assert lossless.get(when_full, stats.dropped > 0)
    urgent, others = (sorted(waits) for waits in load.waits)
    assert urgent[int(len(urgent) * 0.99)] < (target or statistics.median(others))
    assert recovered < RECOVERY


@policies
def test_overload_is_borne(when_full: WhenFull) -> None:
    storm(when_full, 0.75, target=None)


@pytest.mark.soak
@policies
def test_a_minute_of_overload_is_borne(when_full: WhenFull) -> None:
    storm(when_full, 60, target=TARGET)
