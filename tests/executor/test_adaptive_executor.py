"""What an executor makes of `adaptive`, of `target_latency`, and of a count of active workers."""

from __future__ import annotations

import gc
import os
import queue
import threading
import time
import weakref
from collections.abc import Callable

import pytest
from gates import Gate
from taskloom import Executor
from taskloom.errors import OptionError


def until(condition: Callable[[], bool]) -> None:
    """Waits for something that another thread brings about."""
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0)


def test_more_workers_become_active_while_tasks_wait() -> None:
    with Executor(
        8, adaptive=True, adaptive_interval=0.01, memory_limit=1.0, max_queue_depth=None
    ) as executor:
        stop = threading.Event()
        executor.submit_many(lambda _: stop.wait(0.002), range(50_000))
        until(lambda: executor.stats().active_workers == 8)
        stop.set()
        executor.cancel_queued()
    stats = executor.stats()
    assert stats.changes
    assert stats.changes[0].workers > stats.changes[0].before
    assert set(stats.changes) < set(stats.decisions)
    assert stats.active_reason


def test_adaptive_executor_begins_with_as_many_workers_as_processors() -> None:
    executor = Executor(64, adaptive=True, adaptive_interval=3600)
    gate = threading.Event()
    futures = [executor.submit(gate.wait, 30) for _ in range(70)]
    stats = executor.stats()
    assert stats.active_workers < 64
    assert stats.queued >= 70 - stats.active_workers
    gate.set()
    assert all(future.result() for future in futures)
    executor.shutdown()


def test_min_workers_stay_active() -> None:
    with Executor(64, adaptive=True, adaptive_interval=3600, min_workers=40) as executor:
        assert executor.stats().active_workers == 40


def test_fixed_number_of_workers_is_told() -> None:
    with Executor(3) as executor:
        stats = executor.stats()
    assert (stats.active_workers, stats.active_reason) == (3, "the number of workers is fixed")
    assert stats.decisions == stats.changes == ()


def test_surplus_workers_park_and_keep_what_their_initializer_made() -> None:
    made: list[int] = []
    with Executor(4, initializer=lambda: made.append(1)) as executor:
        for _ in range(5):
            gates = [Gate(executor) for _ in range(4)]
            executor._set_active(1)
            for gate in gates:
                gate.open()
            until(lambda: executor.stats().parked_workers == 3)
            assert executor.submit(int).result() == 0
            executor._set_active(4)
    assert len(made) == 4


def test_task_that_waits_for_a_task_is_not_stuck_with_one_active_worker() -> None:
    with Executor(4) as executor:
        executor._set_active(1)

        def outer() -> int:
            first = executor.submit(int, "1")
            # What waits for another cannot be run by who waits for it.
            return executor.options(after=[first]).submit(int, "2").result()

        assert executor.submit(outer).result(30) == 2


def test_shutdown_reaches_parked_workers() -> None:
    executor = Executor(4)
    gates = [Gate(executor) for _ in range(4)]
    executor._set_active(1)
    for gate in gates:
        gate.open()
    until(lambda: executor.stats().parked_workers == 3)
    executor.shutdown()
    assert not any(thread.is_alive() for thread in executor._threads)


def test_missed_target_is_told() -> None:
    told = queue.SimpleQueue[bool]()
    with Executor(1, target_latency=0.02, on_latency_change=told.put) as executor:
        assert executor.is_meeting_latency_target()
        gate = Gate(executor)
        executor.submit(int)
        assert told.get(timeout=30) is False
        assert not executor.is_meeting_latency_target()
        gate.open()


def test_target_is_met_while_tasks_start_in_time() -> None:
    with Executor(1, target_latency=30.0) as executor:
        for _ in range(100):
            executor.submit(int).result()
        assert executor.is_meeting_latency_target()
    assert executor.stats().queue_latency.count == 100


def test_latency_target_is_refused_where_there_is_none() -> None:
    with Executor(1) as executor, pytest.raises(OptionError, match="target_latency=seconds"):
        executor.is_meeting_latency_target()
    with pytest.raises(OptionError, match="on_latency_change= has no effect without"):
        Executor(1, on_latency_change=print)


def test_governed_executor_that_is_dropped_is_collected() -> None:
    executor = Executor(2, adaptive=True, adaptive_interval=0.001, target_latency=1.0)
    executor.submit(int).result()
    gone = weakref.ref(executor)
    del executor

    def collected() -> bool:
        gc.collect()
        return gone() is None

    until(collected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_governed_executor_works_on_in_a_forked_child() -> None:
    with Executor(16, adaptive=True, adaptive_interval=0.01, min_workers=2) as executor:
        executor.submit(int).result()
        child = os.fork()
        if child == 0:
            good = executor.submit(pow, 2, 5).result(30) == 32
            good &= executor.stats().active_workers < 16
            os._exit(0 if good else 1)
        assert os.waitpid(child, 0)[1] == 0


def test_more_workers_than_there_may_be_are_refused_as_the_fewest() -> None:
    with pytest.raises(ValueError, match=r"min_workers=5000 is more than the \d+ that max_workers"):
        Executor(adaptive=True, min_workers=5000)
