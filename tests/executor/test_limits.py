"""Limits of tasks that run one after the other, and inside each other, on one thread."""

from __future__ import annotations

import threading

import pytest
import taskloom
from taskloom import Executor
from taskloom.errors import DeadlineMissed


def blocked_for(executor: Executor, seconds: float) -> BaseException | None:
    """The error of a task that stays in its call until its limit has ended it."""
    over = threading.Event()
    future = executor.options(timeout=seconds).submit(over.wait)
    future.add_done_callback(lambda _: over.set())
    return future.exception()


def test_a_short_limit_after_long_ones_is_kept() -> None:
    with Executor(1) as executor:
        patient = executor.options(timeout=3600)
        assert [patient.submit(int).result() for _ in range(3)] == [0] * 3
        assert isinstance(blocked_for(executor, 0.01), TimeoutError)


def test_limits_are_kept_again_and_again() -> None:
    with Executor(1) as executor:
        for _ in range(3):
            assert isinstance(blocked_for(executor, 0.005), TimeoutError)
            assert executor.options(timeout=3600).submit(int).result() == 0


def test_a_longer_limit_is_kept_when_the_timer_was_set_for_a_shorter_one() -> None:
    with Executor(1) as executor:
        # Leaves the timer set for a moment at which the next task is in its call.
        assert executor.options(timeout=0.02).submit(int).result() == 0
        assert isinstance(blocked_for(executor, 0.05), TimeoutError)


def test_a_task_run_inside_another_has_a_limit_of_its_own() -> None:
    over = threading.Event()
    with Executor(1) as executor:

        def outer() -> str:
            inner = executor.options(timeout=0.01).submit(over.wait)
            inner.add_done_callback(lambda _: over.set())
            try:
                inner.result()
            except TimeoutError:
                return "inner timed out"
            return "inner returned"

        assert executor.options(timeout=3600).submit(outer).result() == "inner timed out"


def test_the_limit_around_a_finished_inner_task_is_still_kept() -> None:
    over = threading.Event()
    with Executor(1) as executor:

        def outer() -> None:
            executor.options(timeout=3600).submit(int).result()
            over.wait()

        future = executor.options(timeout=0.02).submit(outer)
        future.add_done_callback(lambda _: over.set())
        assert isinstance(future.exception(), TimeoutError)


def test_a_deadline_ends_a_running_task_after_others_kept_theirs() -> None:
    over = threading.Event()
    with Executor(1) as executor:
        assert executor.options(deadline=3600).submit(int).result() == 0
        future = executor.options(deadline=0.01).submit(over.wait)
        future.add_done_callback(lambda _: over.set())
        assert isinstance(future.exception(), DeadlineMissed)


@pytest.mark.parametrize("workers", [1, 3])
def test_each_thread_keeps_the_limits_of_its_own_tasks(workers: int) -> None:
    over = threading.Event()
    ended: list[taskloom.Future[bool]] = []
    told = threading.Semaphore(0)

    def note(future: taskloom.Future[bool]) -> None:
        ended.append(future)
        told.release()

    with Executor(workers) as executor:
        futures = [executor.options(timeout=0.01).submit(over.wait) for _ in range(workers)]
        for future in futures:
            future.add_done_callback(note)
        errors = [future.exception() for future in futures]
        over.set()
    assert [type(error) for error in errors] == [TimeoutError] * workers
    assert all(told.acquire(timeout=60) for _ in futures)  # callbacks come after the outcome
    assert len(ended) == workers
