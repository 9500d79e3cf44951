"""Full queues that give something up, and shutdowns that say what became of everything."""

from __future__ import annotations

import pytest
from gates import Gate
from taskloom import Executor
from taskloom.errors import QueueFull


def test_oldest_task_gives_way() -> None:
    with Executor(1, max_queue_depth=2, when_full="drop_oldest") as executor:
        gate = Gate(executor)
        futures = [executor.submit(int) for _ in range(3)]
        assert isinstance(futures[0].exception(), QueueFull)
        gate.open()
        assert [future.result() for future in futures[1:]] == [0, 0]
    assert executor.stats().dropped == 1


def test_least_urgent_task_gives_way() -> None:
    with Executor(1, max_queue_depth=2, when_full="drop_lowest") as executor:
        gate = Gate(executor)
        low = executor.options(priority=-2).submit(int)
        rest = [executor.submit(int) for _ in range(2)]
        assert isinstance(low.exception(), QueueFull)
        gate.open()
        assert [future.result() for future in rest] == [0, 0]


def test_new_task_gives_way_to_more_urgent_ones() -> None:
    with Executor(1, max_queue_depth=2, when_full="drop_lowest") as executor:
        gate = Gate(executor)
        kept = [executor.options(priority=1).submit(int) for _ in range(2)]
        assert isinstance(executor.submit(int).exception(), QueueFull)
        gate.open()
        assert [future.result() for future in kept] == [0, 0]


@pytest.mark.parametrize("when_full", ["drop_oldest", "drop_lowest"])
def test_batch_makes_room_for_itself(when_full: str) -> None:
    with Executor(1, max_queue_depth=2, when_full=when_full) as executor:  # type: ignore[arg-type]
        gate = Gate(executor)
        futures = executor.submit_many(abs, range(5))
        gate.open()
        ended = [future.exception() for future in futures]
    assert sum(error is None for error in ended) == 2
    assert sum(isinstance(error, QueueFull) for error in ended) == 3


def test_shutdown_says_what_became_of_everything() -> None:
    executor = Executor(1)
    gate = Gate(executor)
    executor.submit(int)
    first = executor.shutdown(timeout=0.0)
    assert (first.finished, first.cancelled, first.abandoned) == (0, 0, 2)
    second = executor.shutdown(wait=False, drain=False)
    assert (second.finished, second.cancelled, second.abandoned) == (0, 1, 1)
    gate.open()
    last = executor.shutdown()
    assert (last.finished, last.cancelled, last.abandoned) == (1, 1, 0)
    assert last.submitted == 2


@pytest.mark.parametrize("options", [{}, {"priority": 2}, {"deadline": 1000.0}])
def test_cancelled_tasks_make_room_before_anything_is_refused(options: dict[str, float]) -> None:
    with Executor(1, max_queue_depth=200, when_full="reject") as executor:
        gate = Gate(executor)
        view = executor.options(**options)
        futures = [view.submit(int) for _ in range(200)]
        with pytest.raises(QueueFull):
            view.submit(int)
        assert all(future.cancel() for future in futures[::2])
        more = [view.submit(int) for _ in range(100)]
        with pytest.raises(QueueFull):
            view.submit(int)
        gate.open()
        assert all(future.result() == 0 for future in futures[1::2] + more)
    stats = executor.stats()
    assert (stats.rejected, stats.cancelled, stats.dropped, stats.done) == (2, 100, 0, 201)


def test_cancelled_tasks_make_room_for_a_batch() -> None:
    with Executor(1, max_queue_depth=10, when_full="drop_oldest") as executor:
        gate = Gate(executor)
        futures = executor.submit_many(abs, range(10))
        assert all(future.cancel() for future in futures[5:])
        more = executor.submit_many(abs, range(5))
        gate.open()
        assert all(future.exception() is None for future in futures[:5] + more)
