"""Workers that follow the load: phases that compute, that wait, and that run short of memory.

Each phase is measured beside the best fixed count for it, which was looked for before, in the same
second: the figures are shares of that. The shortage of memory is simulated: tasks count what they
would hold, become eight times slower when that is more than there is, and the monitor is a stand-in
that tells of it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import taskloom
from harness import Contender, Workload
from taskloom.scheduling.monitor import ResourceMonitor, ResourceSample

COUNTS = (1, 2, 4, 6, 8, 10, 12, 16, 32)
MOST = 32
BLOCK = bytes(1 << 19)
# Seconds: a phase, a measurement of the best fixed count beside it, one of a count that does not
# adapt, and two decisions.
PHASE, BESIDE, SHORT = 1.6, 0.3, 0.4
INTERVAL = 0.05


def computing() -> None:
    hashlib.sha256(BLOCK)


def waiting() -> None:
    time.sleep(0.004)


class Memory:
    """Room for ten tasks at a time within the 90 % that an executor allows itself by default."""

    def __init__(self) -> None:
        self._inside = 0
        self._lock = threading.Lock()

    def share(self) -> float:
        return 0.05 + 0.08 * self._inside

    def __call__(self) -> None:
        with self._lock:
            self._inside += 1
            swaps = self.share() > 0.9
        time.sleep(0.032 if swaps else 0.004)
        with self._lock:
            self._inside -= 1


# What the contenders run, and what the best fixed count is found with: memory of their own.
hungry, twin = Memory(), Memory()


class StandIn:
    """The machine's own figures, but for the memory."""

    def __init__(self) -> None:
        self._monitor = ResourceMonitor()

    def sample(self) -> ResourceSample:
        real = self._monitor.sample()
        used = int(1000 * hungry.share())
        return dataclasses.replace(real, memory_limit=1000, memory_used=used, memory_pressure=0.0)


PHASES: tuple[Callable[[], None], ...] = (computing, waiting, hungry)


def rates(executor: Any, task: Callable[[], None], seconds: float) -> tuple[float, float]:
    """Tasks a second in all of the time, and in its second half; 128 are always on the way."""
    ahead = deque(executor.submit(task) for _ in range(128))
    began, done, half, half_done = time.perf_counter(), 0, 0.0, 0
    while (spent := time.perf_counter() - began) < seconds:
        ahead.popleft().result()
        done += 1
        ahead.append(executor.submit(task))
        if not half and spent >= seconds / 2:
            half, half_done = spent, done
    for future in ahead:
        future.cancel()
    for future in ahead:
        if not future.cancelled():
            future.result()
    return done / spent, (done - half_done) / (spent - half) if half else 0.0


class Best:
    """The best fixed count of each phase, looked for once."""

    def __init__(self) -> None:
        self._counts: dict[Callable[[], None], int] = {}

    def rate(self, task: Callable[[], None]) -> float:
        if task not in self._counts:
            found = {count: self._measure(task, count) for count in COUNTS}
            self._counts[task] = max(found, key=lambda count: found[count])
        return self._measure(task, self._counts[task])

    def _measure(self, task: Callable[[], None], count: int) -> float:
        task = twin if task is hungry else task
        with taskloom.Executor(count) as executor:
            return rates(executor, task, BESIDE)[0]


best = Best()


def shares(executor: Any, seconds: float) -> tuple[list[float], list[float]]:
    """Per cent of the best fixed count in each phase: in all of it, and in its second half."""
    whole, settled = [], []
    for task in PHASES:
        peak = best.rate(task)
        every, late = rates(executor, task, seconds)
        # On a machine that others use as well, the best may have changed meanwhile.
        peak = (peak + best.rate(task)) / 2
        whole.append(100 * every / peak)
        settled.append(100 * late / peak)
    return whole, settled


adaptive = Workload(
    "adaptive-phases",
    f"phases of {PHASE:g} s: computing, waiting, short of memory (simulated); mean over them",
    unit="% of best",
    aim=95,
    more_is_better=True,
)
last_settled: list[float] = []


@adaptive.contender("taskloom, adaptive, settled", note="second half of each phase")
def settled() -> Contender:
    with taskloom.Executor(
        MOST, adaptive=True, adaptive_interval=INTERVAL, max_queue_depth=None
    ) as executor:
        governor = executor._governor
        assert governor is not None
        governor._monitor = StandIn()

        def sample() -> float:
            whole, late = shares(executor, PHASE)
            last_settled[:] = whole
            return statistics.fmean(late)

        yield sample


@adaptive.contender("the same run, transitions counted")
def whole() -> Contender:
    yield lambda: statistics.fmean(last_settled)


@adaptive.contender("taskloom, default fixed count")
def default() -> Contender:
    with taskloom.Executor(max_queue_depth=None) as executor:
        yield lambda: statistics.fmean(shares(executor, SHORT)[0])
