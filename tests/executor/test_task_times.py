"""Where the time between two tasks of a worker is counted."""

from __future__ import annotations

import sysconfig
from collections.abc import Callable
from itertools import pairwise

import pytest
from gates import Gate
from taskloom import Executor, Future


def started(future: Future[object]) -> float:
    timing = future.timing
    assert timing is not None
    assert timing.started is not None
    return timing.started


def submitted(future: Future[object]) -> float:
    timing = future.timing
    assert timing is not None
    return timing.submitted


@pytest.mark.parametrize("deadline", [None, 60.0])
def test_a_task_begins_no_later_than_the_one_before_it_ended_and_what_that_left_behind(
    deadline: float | None,
) -> None:
    with Executor(1, timing=True) as executor:
        gate = Gate(executor)
        view = executor.options(deadline=deadline)
        futures = [view.submit(int) for _ in range(100)]
        gate.open()
    for before, after in pairwise(futures):
        assert before.timing is not None
        assert before.timing.finished is not None
        assert before.timing.finished <= started(after)


class Dying:
    """Calls back as it goes."""

    def __init__(self, callback: Callable[[], object]) -> None:
        self.callback = callback

    def __del__(self) -> None:
        self.callback()


@pytest.mark.parametrize("deadline", [None, 60.0])
def test_callbacks_of_a_task_are_no_part_of_the_next(deadline: float | None) -> None:
    marks: list[Future[object]] = []
    with Executor(1, timing=True) as executor:
        gate = Gate(executor)
        view = executor.options(deadline=deadline)
        first = view.submit(int)
        first.add_done_callback(lambda _: marks.append(executor.submit(int)))
        second = view.submit(int)
        gate.open()
        second.result()
    assert started(second) >= submitted(marks[0])


@pytest.mark.skipif(
    bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    reason="without a GIL, the thread that submitted a task drops what it left behind",
)
@pytest.mark.parametrize("deadline", [None, 60.0])
def test_what_a_dropped_result_does_is_no_part_of_the_next_task(deadline: float | None) -> None:
    marks: list[Future[object]] = []

    def result() -> Dying:
        return Dying(lambda: marks.append(executor.submit(int)))

    with Executor(1, timing=True) as executor:
        gate = Gate(executor)
        view = executor.options(deadline=deadline)
        view.submit(result)
        second = view.submit(int)
        gate.open()
        second.result()
    assert started(second) >= submitted(marks[0])


def test_a_task_that_is_submitted_by_the_one_before_begins_after_that() -> None:
    with Executor(1, timing=True) as executor:
        inner = executor.submit(lambda: executor.submit(int)).result()
        inner.result()
    assert started(inner) >= submitted(inner)
