"""Context variables travel from submit to the task, and no further."""

from __future__ import annotations

import contextvars
from collections.abc import Iterator

import pytest
from taskloom import Executor

variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)


@pytest.fixture
def executor() -> Iterator[Executor]:
    with Executor(1) as executor:
        yield executor


def change(value: int) -> int:
    before = variable.get()
    variable.set(value)
    return before


def test_task_sees_the_value_of_its_submit(executor: Executor) -> None:
    futures = []
    for value in range(20):
        token = variable.set(value)
        futures.append(executor.submit(variable.get))
        variable.reset(token)
    assert [future.result() for future in futures] == list(range(20))


def test_change_in_a_task_is_its_own(executor: Executor) -> None:
    token = variable.set(7)
    futures = [executor.submit(change, value) for value in range(10)]
    assert [future.result() for future in futures] == [7] * 10
    assert variable.get() == 7
    variable.reset(token)


def test_task_run_by_who_waits_for_it_has_its_own_context(executor: Executor) -> None:
    def outer() -> tuple[int, int, int]:
        variable.set(1)
        inner = executor.submit(change, 2)
        variable.set(3)
        return inner.result(), variable.get(), executor.submit(variable.get).result()

    assert executor.submit(outer).result() == (1, 3, 3)


def test_reset_of_a_token_inside_a_task_works(executor: Executor) -> None:
    def set_and_reset() -> int:
        token = variable.set(5)
        variable.reset(token)
        return variable.get()

    assert [executor.submit(set_and_reset).result() for _ in range(3)] == [0, 0, 0]
