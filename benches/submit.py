"""Single tasks: throughput with many futures alive, latency, and memory of what is queued."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextvars import ContextVar
from pathlib import Path

import taskloom
from harness import Contender, Unavailable, Workload

ALIVE = 1_000_000
PEER_ALIVE = 100_000


def noop() -> None:
    return None


def submit_all(executor: Executor, count: int) -> None:
    submit = executor.submit
    for future in [submit(noop) for _ in range(count)]:
        future.result()


throughput = Workload(
    "submit-result",
    "submit and result of no-ops, 1,000,000 futures alive, 1 worker",
    unit="ns/task",
    aim=200,
)


@throughput.contender("taskloom", per=ALIVE, note="the waiter does not help")
def throughput_ours() -> Contender:
    with taskloom.Executor(1, max_queue_depth=None) as executor:
        yield lambda: submit_all(executor, ALIVE)


@throughput.contender("taskloom.submit_many", per=ALIVE)
def throughput_batch() -> Contender:
    with taskloom.Executor(1, max_queue_depth=None) as executor:

        def batch() -> None:
            for future in executor.submit_many(abs, range(ALIVE)):
                future.result()

        yield batch


@throughput.contender("ThreadPoolExecutor", per=PEER_ALIVE, note="100,000 alive")
def throughput_threads() -> Contender:
    with ThreadPoolExecutor(1) as executor:
        yield lambda: submit_all(executor, PEER_ALIVE)


@throughput.contender("asyncio TaskGroup", per=PEER_ALIVE, note="100,000 alive, one thread")
def throughput_asyncio() -> Contender:
    async def nothing() -> None:
        return None

    async def spawn_all() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(PEER_ALIVE):
                group.create_task(nothing())

    with asyncio.Runner() as runner:
        yield lambda: runner.run(spawn_all())


changing = Workload(
    "submit-context",
    "submit and result where every submit changes a context variable, 10,000 alive, 1 worker",
    unit="ns/task",
    aim=450,
)


# One for all repeats: a context keeps every variable that was ever set in it, and grows by each.
changed: ContextVar[int] = ContextVar("changed")


def submit_changing(executor: Executor, count: int) -> None:
    futures = []
    for index in range(count):
        changed.set(index)
        futures.append(executor.submit(noop))
    for future in futures:
        future.result()


@changing.contender("taskloom", per=10_000)
def changing_ours() -> Contender:
    with taskloom.Executor(1, max_queue_depth=None) as executor:
        yield lambda: submit_changing(executor, 10_000)


@changing.contender("ThreadPoolExecutor", per=10_000, note="captures no context")
def changing_threads() -> Contender:
    with ThreadPoolExecutor(1) as executor:
        yield lambda: submit_changing(executor, 10_000)


def latencies(executor: Executor, count: int, pause: float = 0.0) -> list[float]:
    """Seconds from submit to result of single no-ops, one at a time."""
    spent = []
    clock, submit = time.perf_counter, executor.submit
    for _ in range(count):
        if pause:
            time.sleep(pause)
        began = clock()
        submit(noop).result()
        spent.append(clock() - began)
    return spent


def median_of(executor: Executor, count: int, pause: float = 0.0) -> Callable[[], float]:
    return lambda: statistics.median(latencies(executor, count, pause))


def p99_of(executor: Executor, count: int) -> Callable[[], float]:
    return lambda: statistics.quantiles(latencies(executor, count), n=100)[98]


latency = Workload(
    "latency-p50", "submit to result, one at a time, worker still spinning", unit="µs", aim=2
)


@latency.contender("taskloom", note="the waiter does not help")
def latency_ours() -> Contender:
    with taskloom.Executor(1) as executor:
        yield median_of(executor, 5_000)


@latency.contender("ThreadPoolExecutor")
def latency_threads() -> Contender:
    with ThreadPoolExecutor(1) as executor:
        yield median_of(executor, 2_000)


tail = Workload(
    "latency-p99", "submit to result, one at a time, worker still spinning", unit="µs", aim=5
)


@tail.contender("taskloom", note="the waiter does not help")
def tail_ours() -> Contender:
    with taskloom.Executor(1) as executor:
        yield p99_of(executor, 5_000)


@tail.contender("ThreadPoolExecutor")
def tail_threads() -> Contender:
    with ThreadPoolExecutor(1) as executor:
        yield p99_of(executor, 2_000)


inline = Workload(
    "latency-inline",
    "submit to result, one at a time, inline=True: the waiter runs it",
    unit="µs",
    aim=0.3,
)


@inline.contender("taskloom", note="the waiter helps")
def inline_ours() -> Contender:
    with taskloom.Executor(1, inline=True) as executor:
        yield median_of(executor, 10_000)


@inline.contender("ThreadPoolExecutor")
def inline_threads() -> Contender:
    with ThreadPoolExecutor(1) as executor:
        yield median_of(executor, 2_000)


parked = Workload(
    "latency-parked", "submit to result after 3 ms of rest: the worker is parked", unit="µs"
)


@parked.contender("taskloom")
def parked_ours() -> Contender:
    with taskloom.Executor(1) as executor:
        yield median_of(executor, 200, 0.003)


@parked.contender("ThreadPoolExecutor")
def parked_threads() -> Contender:
    with ThreadPoolExecutor(1) as executor:
        yield median_of(executor, 200, 0.003)


memory = Workload(
    "queued-memory",
    "growth of the process per queued future, 200,000 queued",
    unit="bytes",
    aim=150,
)

QUEUED = 200_000


def resident_bytes() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        raise Unavailable("needs /proc/self/statm") from None
    return pages * 4096


def growth(executor: Executor) -> float:
    """Bytes per future while one task holds the only worker."""
    gate = threading.Event()
    with executor:
        executor.submit(gate.wait)
        futures: list[object] = [None] * QUEUED
        before = resident_bytes()
        for index in range(QUEUED):
            futures[index] = executor.submit(noop)
        grown = resident_bytes() - before
        gate.set()
    return grown / QUEUED


def in_fresh_process(expression: str) -> Callable[[], float]:
    """Memory that was given back once is used again: each sample needs a process of its own."""
    code = f"import submit, taskloom; print(submit.growth({expression}))"
    folder = str(Path(__file__).parent)

    def sample() -> float:
        run = subprocess.run(
            [sys.executable, "-c", code], cwd=folder, check=True, capture_output=True, text=True
        )
        return float(run.stdout)

    return sample


@memory.contender("taskloom")
def memory_ours() -> Contender:
    resident_bytes()
    yield in_fresh_process("taskloom.Executor(1, max_queue_depth=None)")


@memory.contender("ThreadPoolExecutor")
def memory_threads() -> Contender:
    yield in_fresh_process("submit.ThreadPoolExecutor(1)")
