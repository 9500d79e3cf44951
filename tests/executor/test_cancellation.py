"""Cancelling what runs: tokens, children, interrupts, and what a task knows of itself."""

from __future__ import annotations

import concurrent.futures
import threading
import time
from collections.abc import Iterator

import pytest
import taskloom
from gates import Gate
from taskloom import Executor, Future


@pytest.fixture
def executor() -> Iterator[Executor]:
    with Executor(2) as executor:
        yield executor


def until_cancelled(entered: threading.Event) -> None:
    entered.set()
    while True:
        taskloom.checkpoint()
        time.sleep(0)


def test_cancelling_a_running_task_returns_false_and_asks_it_to_stop(executor: Executor) -> None:
    entered = threading.Event()
    future = executor.submit(until_cancelled, entered)
    assert entered.wait(30)
    assert not future.cancel()
    with pytest.raises(concurrent.futures.CancelledError):
        future.result()
    assert future.cancelled()


def test_task_may_finish_although_it_was_asked_to_stop(executor: Executor) -> None:
    gate = Gate(executor)
    assert not gate.future.cancel()
    gate.open()
    assert gate.future.result() is None


def test_token_of_a_task_is_cancelled_at_its_timeout(executor: Executor) -> None:
    stopped = threading.Event()

    def work() -> None:
        try:
            until_cancelled(threading.Event())
        finally:
            stopped.set()

    future = executor.options(timeout=0.01).submit(work)
    assert isinstance(future.exception(), TimeoutError)
    assert stopped.wait(30)


def test_queued_children_of_a_cancelled_task_are_cancelled() -> None:
    children: list[Future[int]] = []
    with Executor(1) as executor:
        entered = threading.Event()

        def parent() -> None:
            children.append(executor.submit(int))
            until_cancelled(entered)

        future = executor.submit(parent)
        assert entered.wait(30)
        assert not future.cancel()
        assert children[0].cancelled()
        with pytest.raises(concurrent.futures.CancelledError):
            future.result()


def test_running_grandchildren_of_a_cancelled_task_are_asked_to_stop(executor: Executor) -> None:
    entered = threading.Event()
    below: list[Future[None]] = []

    def child() -> None:
        below.append(executor.submit(until_cancelled, entered))

    def parent() -> None:
        executor.options(name="child").submit(child).result()
        until_cancelled(threading.Event())

    future = executor.submit(parent)
    assert entered.wait(30)
    future.cancel()
    with pytest.raises(concurrent.futures.CancelledError):
        below[0].result()


def test_children_of_a_task_that_ended_go_on(executor: Executor) -> None:
    children: list[Future[int]] = []
    future = executor.submit(lambda: children.append(executor.submit(int, "7")))
    future.result()
    assert not future.cancel()
    assert children[0].result() == 7


def test_scope_inside_a_task_is_cancelled_with_it(executor: Executor) -> None:
    entered = threading.Event()

    def work() -> bool:
        with taskloom.CancelScope():
            until_cancelled(entered)
        return False

    future = executor.submit(work)
    assert entered.wait(30)
    future.cancel()
    with pytest.raises(concurrent.futures.CancelledError):
        future.result()


def test_scope_around_a_submit_cancels_the_task(executor: Executor) -> None:
    entered = threading.Event()
    with taskloom.CancelScope() as scope:
        future = executor.submit(until_cancelled, entered)
        assert entered.wait(30)
        scope.cancel()
    with pytest.raises(concurrent.futures.CancelledError):
        future.result()


def test_interrupt_stops_a_loop_that_never_looks() -> None:
    with Executor(1, cancel="interrupt") as executor:
        entered = threading.Event()

        def endless() -> None:
            entered.set()
            end = time.monotonic() + 30
            while time.monotonic() < end:
                pass

        future = executor.submit(endless)
        assert entered.wait(30)
        assert not future.cancel()
        with pytest.raises(concurrent.futures.CancelledError):
            future.result()
        assert executor.submit(int, "7").result() == 7


def test_interrupt_ends_the_thread_of_a_task_at_its_timeout() -> None:
    ran_to_its_end: list[bool] = []

    def endless() -> None:
        end = time.monotonic() + 30
        while time.monotonic() < end:
            pass
        ran_to_its_end.append(True)

    with Executor(1, cancel="interrupt", default_timeout=0.01) as executor:
        assert isinstance(executor.submit(endless).exception(), TimeoutError)
    assert ran_to_its_end == []


def test_unknown_way_to_cancel_is_refused() -> None:
    with pytest.raises(ValueError, match="expected one of 'cooperative', 'interrupt'"):
        Executor(1, cancel="kill")  # type: ignore[arg-type]


def test_default_timeout_yields_to_an_option() -> None:
    with Executor(1, default_timeout=1e-6) as executor:
        slow = executor.options(timeout=60).submit(time.sleep, 0.001)
        assert slow.exception() is None


def test_task_knows_its_name_attempt_and_deadline(executor: Executor) -> None:
    seen: list[tuple[str, int]] = []

    def work() -> float:
        task = taskloom.current_task()
        assert task is not None
        seen.append((task.name, task.attempt))
        if task.attempt < 3:
            raise ValueError
        assert task.time_left is not None
        return task.time_left

    left = executor.options(name="job", retry=3, deadline=100).submit(work).result()
    assert seen == [("job", 1), ("job", 2), ("job", 3)]
    assert 0 < left <= 100


def test_plain_task_has_the_name_of_its_function_and_no_deadline(executor: Executor) -> None:
    def work() -> tuple[str, int, float | None]:
        task = taskloom.current_task()
        assert task is not None
        return task.name.rpartition(".")[2], task.attempt, task.deadline

    assert executor.submit(work).result() == ("work", 1, None)


def test_waited_task_that_runs_inline_is_the_current_one(executor: Executor) -> None:
    def name() -> str:
        task = taskloom.current_task()
        assert task is not None
        return task.name.rpartition(".")[2]

    def outer() -> tuple[str, str]:
        return executor.submit(name).result(), name()

    assert executor.submit(outer).result() == ("name", "outer")


def test_future_shows_the_progress_of_its_task(executor: Executor) -> None:
    def work() -> None:
        task = taskloom.current_task()
        assert task is not None
        task.progress(3)

    future = executor.submit(work)
    future.result()
    assert future.progress == (3.0, None)
    assert executor.submit(int).progress is None
