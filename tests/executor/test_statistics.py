"""What an executor counts, and what a future knows of its times."""

from __future__ import annotations

import threading

import pytest
from gates import Gate
from taskloom import Executor
from taskloom.errors import QueueFull


def test_every_end_is_counted() -> None:
    with Executor(1) as executor:
        gate = Gate(executor)
        executor.submit(int, "x")
        executor.submit(int).cancel()
        executor.options(deadline=1e-9).submit(int)
        gate.open()
    stats = executor.stats()
    assert (stats.submitted, stats.done, stats.cancelled, stats.failed) == (4, 1, 1, 2)
    assert stats.overdue == 1
    assert stats.finished == stats.submitted


def test_timed_out_task_is_counted_when_it_leaves() -> None:
    release = threading.Event()
    with Executor(1) as executor:
        future = executor.options(timeout=0.01).submit(release.wait, 30)
        assert isinstance(future.exception(), TimeoutError)
        assert executor.stats().timed_out == 0
        release.set()
    assert executor.stats().timed_out == 1


def test_task_run_by_who_waits_for_it_is_counted() -> None:
    with Executor(1) as executor:
        executor.submit(lambda: executor.submit(int).result()).result()
    stats = executor.stats()
    assert (stats.submitted, stats.done) == (2, 2)


def test_refused_tasks_are_counted() -> None:
    with Executor(1, max_queue_depth=1, when_full="reject") as executor:
        gate = Gate(executor)
        executor.submit(int)
        with pytest.raises(QueueFull):
            executor.submit(int)
        stats = executor.stats()
        assert (stats.submitted, stats.rejected, stats.queued) == (2, 1, 1)
        gate.open()


def test_tasks_cancelled_by_a_shutdown_are_counted() -> None:
    executor = Executor(1)
    gate = Gate(executor)
    for _ in range(3):
        executor.submit(int)
    executor.shutdown(wait=False, cancel_futures=True)
    gate.open()
    executor.shutdown()
    stats = executor.stats()
    assert (stats.submitted, stats.done, stats.cancelled) == (4, 1, 3)


def test_times_of_a_task_are_recorded_if_asked() -> None:
    with Executor(1, timing=True) as executor:
        gate = Gate(executor)
        future = executor.submit(int)
        waiting = future.timing
        gate.open()
        future.result()
    assert waiting is not None
    assert waiting.started is None
    timing = future.timing
    assert timing is not None
    assert timing.started is not None
    assert timing.finished is not None
    assert timing.submitted <= timing.started <= timing.finished
    assert timing.worker == 0


def test_latencies_are_there_with_timing() -> None:
    with Executor(1, timing=True) as executor:
        executor.submit_many(abs, range(100))
    stats = executor.stats()
    assert stats.queue_latency.count == stats.execution.count == 100
    assert 0 < stats.execution.minimum <= stats.execution.p50 <= stats.execution.maximum


def test_nothing_is_timed_without_timing() -> None:
    with Executor(1) as executor:
        future = executor.submit(int)
        future.result()
    assert future.timing is None
    assert executor.stats().queue_latency.count == 0
