"""Options of submitted tasks: what each does, and that a wrong one is refused."""

from __future__ import annotations

import concurrent.futures
import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import taskloom
from gates import Gate
from taskloom import Executor, Limit, Resources, Retry
from taskloom.errors import DeadlineMissed, OptionError


@pytest.fixture
def executor() -> Iterator[Executor]:
    with Executor(1) as executor:
        yield executor


def test_more_urgent_tasks_start_first(executor: Executor) -> None:
    gate = Gate(executor)
    order: list[int] = []
    priorities = [0, -2, 3, 1, 0, -1]
    futures = [executor.options(priority=p).submit(order.append, p) for p in priorities]
    gate.open()
    concurrent.futures.wait(futures)
    assert order == sorted(priorities, reverse=True)


def test_priorities_beyond_the_bands_count_as_the_nearest(executor: Executor) -> None:
    gate = Gate(executor)
    order: list[int] = []
    priorities = [-1000, -3, 4, 10**30]
    futures = [executor.options(priority=p).submit(order.append, p) for p in priorities]
    gate.open()
    concurrent.futures.wait(futures)
    assert order == [4, 10**30, -1000, -3]


def test_earlier_deadline_goes_first_within_a_band(executor: Executor) -> None:
    gate = Gate(executor)
    order: list[int] = []
    deadlines = [300, 100, 200]
    futures = [executor.options(deadline=d).submit(order.append, d) for d in deadlines]
    gate.open()
    concurrent.futures.wait(futures)
    assert order == [100, 200, 300]


def test_task_past_its_deadline_never_starts(executor: Executor) -> None:
    gate = Gate(executor)
    ran: list[int] = []
    late = executor.options(deadline=1e-9, name="late").submit(ran.append, 1)
    gate.open()
    with pytest.raises(DeadlineMissed, match='of task "late" passed before it began'):
        late.result()
    assert ran == []


@pytest.mark.parametrize("overdue", ["first", "report"])
def test_late_task_runs_where_deadlines_are_soft(overdue: Any) -> None:
    with Executor(1, overdue=overdue) as executor:
        gate = Gate(executor)
        late = executor.options(deadline=1e-9).submit(pow, 2, 3)
        gate.open()
        assert late.result() == 8


def test_timeout_ends_the_future_while_the_task_still_runs(executor: Executor) -> None:
    release = threading.Event()
    left = threading.Event()

    def stuck() -> None:
        release.wait(30)
        left.set()

    future = executor.options(timeout=0.01, name="stuck").submit(stuck)
    with pytest.raises(TimeoutError, match='"stuck" ran longer than its timeout'):
        future.result()
    assert not left.is_set()
    release.set()
    assert left.wait(30)


def test_spare_takes_the_place_of_a_worker_whose_task_timed_out(executor: Executor) -> None:
    release = threading.Event()
    future = executor.options(timeout=0.01).submit(release.wait, 30)
    assert isinstance(future.exception(), TimeoutError)
    assert executor.submit(pow, 2, 3).result() == 8
    release.set()


def test_running_task_ends_at_its_deadline(executor: Executor) -> None:
    release = threading.Event()
    future = executor.options(deadline=0.05, timeout=60).submit(release.wait, 30)
    assert isinstance(future.exception(), DeadlineMissed)
    release.set()


def test_what_a_task_returns_after_its_timeout_is_dropped(executor: Executor) -> None:
    release = threading.Event()
    future = executor.options(timeout=0.01).submit(release.wait, 30)
    error = future.exception()
    release.set()
    executor.submit(int).result()
    assert future.exception() is error


def failing(errors: int) -> Callable[[], int]:
    count = iter(range(errors + 1))

    def call() -> int:
        number = next(count)
        if number < errors:
            raise ValueError(number)
        return number

    return call


def test_failed_task_is_tried_again(executor: Executor) -> None:
    assert executor.options(retry=3).submit(failing(2)).result() == 2


def test_last_error_says_how_often_it_was_tried(executor: Executor) -> None:
    error = executor.options(retry=2).submit(failing(5)).exception()
    assert isinstance(error, ValueError)
    assert error.args == (1,)
    assert error.__notes__ == ["attempt 2 of 2"]


def test_error_that_is_not_to_be_retried_passes(executor: Executor) -> None:
    error = executor.options(retry=Retry(3, on=OSError)).submit(failing(2)).exception()
    assert isinstance(error, ValueError)
    assert error.args == (0,)


def test_task_that_waits_for_its_next_attempt_can_be_cancelled(executor: Executor) -> None:
    called = threading.Event()

    def fail() -> None:
        called.set()
        raise ValueError

    future = executor.options(retry=Retry(2, delay=3600)).submit(fail)
    assert called.wait(30)
    while not future.cancel():  # until it has come to its pause
        pass
    assert future.cancelled()


def test_task_starts_after_its_prerequisites(executor: Executor) -> None:
    first, second = concurrent.futures.Future[int](), concurrent.futures.Future[int]()
    ran: list[int] = []
    future = executor.options(after=[first, second]).submit(ran.append, 1)
    first.set_result(0)
    executor.submit(int).result()
    assert ran == []
    second.set_result(0)
    future.result()
    assert ran == [1]


def test_task_is_cancelled_when_a_prerequisite_fails(executor: Executor) -> None:
    failed = executor.submit(int, "x")
    with pytest.raises(concurrent.futures.CancelledError):
        executor.options(after=[failed]).submit(int).result()


def test_task_runs_when_its_failed_prerequisite_lets_it(executor: Executor) -> None:
    failed = executor.options(on_error="continue").submit(int, "x")
    assert executor.options(after=[failed]).submit(int).result() == 0


def test_task_that_waits_for_prerequisites_can_be_cancelled(executor: Executor) -> None:
    future = executor.options(after=[concurrent.futures.Future[int]()]).submit(int)
    assert future.cancel()
    assert future.cancelled()


def test_shutdown_waits_for_tasks_that_wait_for_prerequisites() -> None:
    first = concurrent.futures.Future[int]()
    executor = Executor(1)
    future = executor.options(after=[first]).submit(int, "7")
    executor.shutdown(wait=False)
    first.set_result(0)
    executor.shutdown()
    assert future.result() == 7


def test_shutdown_cancels_tasks_that_wait_for_prerequisites_if_asked() -> None:
    executor = Executor(1)
    future = executor.options(after=[concurrent.futures.Future[int]()]).submit(int)
    executor.shutdown(cancel_futures=True)
    assert future.cancelled()


def test_worker_that_waits_for_a_held_task_does_not_run_it_early(executor: Executor) -> None:
    first = concurrent.futures.Future[int]()
    seen: list[bool] = []

    def outer() -> None:
        inner = executor.options(after=[first]).submit(lambda: seen.append(first.done()))
        executor.submit(first.set_result, 1)
        inner.result()

    executor.submit(outer).result()
    assert seen == [True]


def test_limit_lets_one_task_in_at_a_time() -> None:
    limit = Limit("one", 1)
    running: list[int] = []
    most: list[int] = []

    def work() -> None:
        running.append(1)
        most.append(len(running))
        running.pop()

    with Executor(4) as executor:
        view = executor.options(resources=Resources(limit))
        for future in [view.submit(work) for _ in range(50)]:
            future.result()
    assert max(most) == 1
    assert limit.in_use == 0


def test_task_under_a_rate_starts_when_the_rate_lets_it() -> None:
    limit = Limit("rate", rate=1000.0)
    with Executor(2) as executor:
        view = executor.options(resources=Resources(limit))
        assert [f.result() for f in view.submit_many(abs, range(5))] == [0, 1, 2, 3, 4]


def test_cancelled_task_gives_its_resources_back(executor: Executor) -> None:
    limit = Limit("one", 1)
    view = executor.options(resources=Resources(limit))
    gate = Gate(executor)
    queued, held = view.submit(int), view.submit(int, "7")
    assert queued.cancel()
    gate.open()
    assert held.result() == 7


def test_needs_that_can_never_be_met_are_refused(executor: Executor) -> None:
    with pytest.raises(ValueError, match="needs cpu=1000000"):
        executor.options(resources=Resources(cpu=1_000_000)).submit(int)


def test_task_brings_its_options(executor: Executor) -> None:
    task = taskloom.task(failing(2), retry=3)
    assert executor.submit(task).result() == 2


def test_options_of_the_view_win_over_those_of_the_task(executor: Executor) -> None:
    task = taskloom.task(failing(2), retry=3)
    error = executor.options(retry=1).submit(task).exception()
    assert isinstance(error, ValueError)


def test_nearest_view_wins(executor: Executor) -> None:
    view = executor.options(retry=1, name="outer").options(retry=3)
    assert view.submit(failing(2)).result() == 2
    assert repr(view).startswith("<executor.options(retry=Retry(3,")


def test_keywords_of_the_function_stay_its_own(executor: Executor) -> None:
    def function(**kwargs: int) -> dict[str, int]:
        return kwargs

    assert executor.options(timeout=60).submit(function, timeout=5, priority=1).result() == {
        "timeout": 5,
        "priority": 1,
    }


def test_view_maps_and_calls(executor: Executor) -> None:
    view = executor.options(priority=1)
    assert list(view.map(pow, [2, 3], [3, 2], chunksize=2)) == [8, 9]
    assert view.call(pow, 2, exp=3) == 8


def test_call_raises_what_the_task_raised(executor: Executor) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        executor.call(int, "x")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"timeuot": 1}, "did you mean 'timeout'"),
        ({"priority": "high"}, "whole number"),
        ({"timeout": 0}, "seconds above 0"),
        ({"place": "caller"}, "does not apply to a submitted task"),
        ({"on_error": "cancel_run"}, "applies to nodes of a graph"),
        ({"resources": 3}, "must be a taskloom.Resources"),
        ({"after": [3]}, "takes futures"),
    ],
)
def test_wrong_option_is_refused_with_what_would_be_right(
    executor: Executor, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        executor.options(**options)


def test_future_with_options_and_a_callback_that_holds_it_is_collected() -> None:
    executor = Executor(1)
    gate = Gate(executor)
    future = executor.options(name="cycle").submit(int)
    holder = [future]
    future.add_done_callback(holder.__contains__)
    future.cancel()
    gone = weakref.ref(future)
    executor.options(name="kept").submit(int)
    del future, holder
    gate.open()
    executor.shutdown()
    gc.collect()
    assert gone() is None
