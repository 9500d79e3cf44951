"""What an executor counts, and what a future knows of its times."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import Future as StandardFuture
from concurrent.futures import wait
from random import Random

import pytest
from gates import Gate
from taskloom import Executor, Future, Resources
from taskloom.errors import QueueFull
from taskloom.scheduling.statistics import Ends


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


def test_tasks_in_processes_are_counted() -> None:
    with Executor(1) as executor:
        view = executor.options(place="process")
        futures = [view.submit(abs, -1), view.submit(int, "x")]
        assert (futures[0].result(), type(futures[1].exception())) == (1, ValueError)
    stats = executor.stats()
    assert (stats.submitted, stats.done, stats.failed, stats.in_processes) == (2, 1, 1, 0)
    assert stats.elsewhere == Ends(done=1, failed=1)


def test_held_tasks_are_counted_from_the_beginning() -> None:
    first = StandardFuture[int]()
    with Executor(1) as executor:
        held = executor.options(after=[first]).submit(int)
        given_up = executor.options(after=[first]).submit(int)
        given_up.cancel()
        stats = executor.stats()
        assert (stats.submitted, stats.held, stats.cancelled, stats.running) == (2, 1, 1, 0)
        first.set_result(0)
        held.result()
    stats = executor.stats()
    assert (stats.submitted, stats.held, stats.done, stats.cancelled) == (2, 0, 1, 1)


def test_queued_tasks_are_counted_by_band() -> None:
    with Executor(1) as executor:
        gate = Gate(executor)
        for priority, count in ((4, 1), (0, 3), (-3, 2)):
            for _ in range(count):
                executor.options(priority=priority).submit(int)
        executor.options(deadline=60.0).submit(int)
        assert executor.stats().queued_by_band == (1, 0, 0, 0, 4, 0, 0, 2)
        assert executor.stats().running == 1
        gate.open()


def test_tasks_of_a_broken_executor_are_counted() -> None:
    executor = Executor(1)
    gate = Gate(executor)
    futures = [executor.submit(int) for _ in range(3)]
    futures[0].cancel()
    executor.break_("broken by a test")
    gate.open()
    executor.shutdown()
    stats = executor.stats()
    assert (stats.submitted, stats.done, stats.failed, stats.cancelled) == (4, 1, 2, 1)


def test_task_for_which_there_never_was_room_is_counted() -> None:
    with Executor(1, max_queue_depth=1, when_full="drop_lowest") as executor:
        gate = Gate(executor)
        executor.submit(int)
        executor.options(priority=-1).submit(int)
        executor.options(priority=-1, after=[]).submit(int)
        gate.open()
    stats = executor.stats()
    assert (stats.submitted, stats.done, stats.dropped) == (4, 2, 2)


def test_every_refused_task_of_a_batch_is_counted() -> None:
    with Executor(1, max_queue_depth=2, when_full="reject") as executor:
        gate = Gate(executor)
        executor.submit_many(abs, range(5))
        gate.open()
    stats = executor.stats()
    assert (stats.submitted, stats.rejected) == (3, 3)


@pytest.mark.parametrize("seed", range(12))
def test_the_numbers_add_up(seed: int) -> None:
    """Any mixture of options, cancels and errors, under each policy of a full queue."""
    random = Random(seed)
    when_full = ("block", "reject", "drop_oldest", "drop_lowest")[seed % 4]
    executor = Executor(2, max_queue_depth=8, when_full=when_full, timing=seed % 3 == 0)  # type: ignore[arg-type]
    choices: list[dict[str, object]] = [
        {},
        {"priority": 2},
        {"priority": -2},
        {"retry": 2},
        {"timeout": 60.0},
        {"deadline": 1e-9},
        {"resources": Resources(cpu=0.5)},
    ]
    futures: list[Future[object]] = []
    rejected = 0
    for number in range(300):
        options = dict(random.choice(choices))
        if futures and random.random() < 0.2:
            options["after"] = [random.choice(futures)]
        function = random.choice([int, float, nothing])
        view = executor.options(**options) if options or number % 2 else executor
        try:
            futures.append(view.submit(function, "1" if random.random() < 0.8 else "x"))
        except QueueFull:
            rejected += 1
        if futures and random.random() < 0.2:
            random.choice(futures).cancel()
        if number % 50 == 0:
            stats = executor.stats()
            assert stats.finished + stats.dropped <= stats.submitted
    if seed % 2:
        wait(futures)
    report = executor.shutdown(cancel_futures=seed % 2 == 0)
    stats = executor.stats()
    ends = Counter(end_of(future) for future in futures)
    assert stats.submitted == len(futures) == stats.finished + stats.dropped == report.submitted
    assert stats.rejected == rejected
    assert stats.dropped == ends["dropped"]
    assert stats.done == ends["done"]
    assert (stats.failed, stats.cancelled) == (ends["failed"], ends["cancelled"])
    assert stats.running == stats.queued == stats.held == report.abandoned == 0


def nothing(text: str) -> None:
    pass


def end_of(future: Future[object]) -> str:
    if future.cancelled():
        return "cancelled"
    error = future.exception()
    if isinstance(error, QueueFull):
        return "dropped"
    return "done" if error is None else "failed"


def test_times_of_a_task_in_a_process_are_recorded() -> None:
    with Executor(1, timing=True) as executor:
        future = executor.options(place="process").submit(abs, -1)
        future.result()
    timing = future.timing
    assert timing is not None
    assert timing.started is not None
    assert timing.finished is not None
    assert timing.submitted <= timing.started <= timing.finished
    assert timing.worker is None


def test_wait_for_prerequisites_is_no_wait_in_the_queue() -> None:
    first = StandardFuture[int]()
    with Executor(1, timing=True) as executor:
        held = executor.options(after=[first]).submit(int)
        others = [executor.submit(abs, 1) for _ in range(1_000)]
        wait(others)
        set_at = time.monotonic()
        first.set_result(0)
        held.result()
    timing = held.timing
    assert timing is not None
    assert timing.started is not None
    assert timing.queue_latency == timing.started - timing.submitted
    waited = sorted([timing.started - set_at, *map(queue_wait, others)])[-1]
    assert executor.stats().queue_latency.maximum <= waited * 1.02 + 1e-5


def queue_wait(future: Future[int]) -> float:
    assert future.timing is not None
    return future.timing.queue_latency or 0.0
