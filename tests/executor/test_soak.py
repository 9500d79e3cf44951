"""Storms of tasks and of executors: nothing lost, nothing run twice, nothing left behind."""

from __future__ import annotations

import concurrent.futures
import contextlib
import gc
import random
import sys
import threading
import tracemalloc
from collections import deque
from pathlib import Path

import pytest
from taskloom import Executor

MIB = 1 << 20


def resident() -> int:
    """Bytes of memory that the process has in RAM, after a collection."""
    gc.collect()
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("no /proc on this platform to read the memory from")
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


class Storm:
    """Tasks that submit more tasks and cancel some; each counts its own runs."""

    def __init__(self, executor: Executor, seed: int) -> None:
        self._executor = executor
        self._random = random.Random(seed)
        self.runs = bytearray()
        self.cancelled: set[int] = set()

    def wave(self, count: int) -> None:
        """Runs `count` tasks to their end and checks that each ran once, or was cancelled."""
        self.runs, self.cancelled = bytearray(count), set()
        numbers = deque(range(count))  # shared, unlike an iterator, without a GIL too
        futures: dict[int, concurrent.futures.Future[None]] = {}
        choose = self._random.random

        def take() -> int | None:
            with contextlib.suppress(IndexError):
                return numbers.popleft()
            return None

        def task(number: int) -> None:
            self.runs[number] += 1
            dice = choose()
            if dice < 0.3:
                inner = take()
                if inner is not None:
                    futures[inner] = self._executor.submit(task, inner)
                    if dice < 0.1:
                        futures[inner].result()

        while (number := take()) is not None:
            futures[number] = self._executor.submit(task, number)
            if choose() < 0.05 and futures[number].cancel():
                self.cancelled.add(number)
        # Tasks may still submit what they took from `numbers`.
        checked = 0
        while checked < count:
            future = futures.get(checked)
            if future is None:
                self._executor.submit(int).result()
                continue
            assert future.exception() is None if checked not in self.cancelled else True
            checked += 1
        for number in range(count):
            assert futures[number].done()
            expected = 0 if number in self.cancelled else 1
            assert self.runs[number] == expected, (number, self.runs[number])


def storm(waves: int, size: int) -> None:
    with Executor(4, max_queue_depth=size) as executor:
        tasks = Storm(executor, seed=1)
        for _ in range(3):
            tasks.wave(size)
        memory, blocks = resident(), sys.getallocatedblocks()
        for _ in range(waves):
            tasks.wave(size)
        assert executor.queue_depth == 0
        # What Python's allocator keeps for later swings by tens of MiB with the height of a wave.
        assert resident() - memory < 64 * MIB
        # Threads of a build without a GIL keep some thousands for later.
        assert sys.getallocatedblocks() - blocks < 20_000


def cycles(count: int) -> None:
    """Starts and stops executors with one, two or three workers, one after the other."""

    def one(number: int) -> None:
        executor = Executor(1 + number % 3)
        futures = [executor.submit(abs, -n) for n in range(10)]
        if number % 4 == 0:
            executor.shutdown(wait=False, cancel_futures=number % 8 == 0)
            concurrent.futures.wait(futures)
        threads = list(executor._threads)
        executor.shutdown()
        assert all(future.done() for future in futures)
        assert not any(thread.is_alive() for thread in threads)

    for number in range(50):
        one(number)
    threads, memory = threading.active_count(), resident()
    tracemalloc.start()
    try:
        for number in range(50):
            one(number)
        gc.collect()
        traced = tracemalloc.get_traced_memory()[0]
        for number in range(count):
            one(number)
        gc.collect()
        # Less than a hundred bytes for each.
        assert tracemalloc.get_traced_memory()[0] - traced < 100 * count + 20_000
    finally:
        tracemalloc.stop()
    assert threading.active_count() == threads
    assert resident() - memory < 16 * MIB


def test_nothing_is_lost_or_run_twice_and_memory_stays_flat() -> None:
    storm(waves=6, size=20_000)


@pytest.mark.soak
def test_ten_million_tasks() -> None:
    storm(waves=100, size=100_000)


def test_executors_leave_nothing_behind() -> None:
    cycles(100)


@pytest.mark.soak
def test_a_thousand_executors() -> None:
    cycles(1_000)


def test_cancels_race_with_workers_and_each_task_has_one_end() -> None:
    with Executor(4) as executor:
        ran: list[int] = []
        futures = []
        cancelled = []
        for number in range(20_000):
            futures.append(executor.submit(ran.append, number))
            if number % 3 == 0:
                cancelled.append(futures[-1].cancel())
        concurrent.futures.wait(futures)
        ends = sum(future.cancelled() for future in futures)
    assert ends == sum(cancelled)
    assert len(ran) == len(set(ran)) == 20_000 - ends
