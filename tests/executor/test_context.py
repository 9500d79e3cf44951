"""Context variables travel from submit to the task, and no further."""

from __future__ import annotations

import contextvars
import gc
import subprocess
import sys
import threading
import weakref
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


def test_token_of_another_task_is_refused(executor: Executor) -> None:
    tokens = [executor.submit(variable.set, 1).result()]
    token = variable.set(9)
    with pytest.raises(ValueError, match="different Context"):
        executor.submit(variable.reset, tokens[0]).result()
    variable.reset(token)


def test_change_after_a_submit_is_not_seen_by_it(executor: Executor) -> None:
    gate = threading.Event()
    executor.submit(gate.wait)
    token = variable.set(1)
    early = executor.submit(variable.get)
    variable.set(2)
    late = executor.submit(variable.get)
    variable.reset(token)
    gate.set()
    assert (early.result(), late.result()) == (1, 2)


def test_workers_start_in_an_empty_context() -> None:
    seen: list[int] = []

    def start() -> None:
        variable.set(1)
        with Executor(1, initializer=lambda: seen.append(variable.get())) as executor:
            assert executor.submit(variable.get).result() == 1

    contextvars.copy_context().run(start)
    assert seen == [0]


def test_value_goes_with_the_last_task_that_needs_it(executor: Executor) -> None:
    class Value:
        pass

    held: contextvars.ContextVar[Value | None] = contextvars.ContextVar("held", default=None)

    def submit() -> weakref.ref[Value]:
        value = Value()
        held.set(value)
        assert executor.submit(held.get).result() is value
        return weakref.ref(value)

    reference = contextvars.Context().run(submit)
    # Another context takes the place of the one that the worker has kept.
    executor.submit(variable.get).result()
    gc.collect()
    assert reference() is None


def test_contexts_are_copied_where_their_layout_is_unknown() -> None:
    program = """
import contextvars, taskloom
from taskloom import _taskloom
_taskloom._forget_layout()
variable = contextvars.ContextVar("variable", default=0)

def change(value):
    before = variable.get()
    variable.set(value)
    return before

async def step(value):
    return change(value)

with taskloom.Executor(2) as executor:
    futures = []
    for value in range(20):
        variable.set(value)
        futures.append(executor.submit(change, -1))
    assert [future.result() for future in futures] == list(range(20))
    assert executor.run_coroutine(step, -1) == 19
    graph = taskloom.Graph()
    nodes = [graph.add(change, -1) for _ in range(3)]
    run = executor.run(graph)
    assert run[nodes[0]] == 19
    assert variable.get() == 19
print("done")
"""
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (run.stdout, run.stderr) == ("done\n", "")
