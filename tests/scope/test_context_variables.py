"""Context variables of coroutines: those that change nothing share a copy of where they began."""

from __future__ import annotations

import contextvars
from typing import Any

import pytest
import taskloom
from taskloom import Scope

variable: contextvars.ContextVar[Any] = contextvars.ContextVar("variable", default="outside")


@pytest.fixture(params=[1, 3])
def executor(request: pytest.FixtureRequest) -> Any:
    with taskloom.Executor(request.param) as executor:
        yield executor


def test_what_a_coroutine_sets_is_there_after_it_has_waited(executor: taskloom.Executor) -> None:
    async def child(number: int) -> None:
        variable.set(number)
        await taskloom.yield_now()
        assert variable.get() == number
        variable.set(-number)
        await taskloom.sleep(0)
        assert variable.get() == -number

    async def main() -> None:
        async with Scope() as scope:
            for number in range(50):
                scope.spawn(child, number)

    executor.run_coroutine(main)


def test_what_a_coroutine_sets_is_its_own(executor: taskloom.Executor) -> None:
    async def sets() -> None:
        for _ in range(5):
            variable.set("inside")
            await taskloom.yield_now()

    async def reads() -> None:
        for _ in range(5):
            assert variable.get() == "outside"
            await taskloom.yield_now()

    async def main() -> None:
        async with Scope() as scope:
            for _ in range(50):
                scope.spawn(sets)
                scope.spawn(reads)
        assert variable.get() == "outside"

    executor.run_coroutine(main)


def test_a_plain_task_sees_nothing_of_the_coroutines_before_it() -> None:
    async def sets() -> None:
        variable.set("inside")

    with taskloom.Executor(1) as executor:

        async def main() -> None:
            async with Scope() as scope:
                scope.spawn(sets)

        executor.run_coroutine(main)
        assert executor.submit(variable.get).result() == "outside"


def test_a_value_that_was_set_to_what_it_was_can_be_set_back_after_a_wait() -> None:
    # The variables of the context are the same then, but the token belongs to that very context.
    async def child() -> None:
        token = variable.set(None)
        await taskloom.sleep(0)
        variable.reset(token)

    async def main() -> None:
        variable.set(None)
        async with Scope() as scope:
            for _ in range(10):
                scope.spawn(child)
                scope.spawn(taskloom.sleep_forever)
            await taskloom.sleep(0)
            variable.set("another context for the worker to be in")
            scope.spawn(taskloom.sleep_forever)
            for _ in range(50):
                await taskloom.yield_now()
            scope.cancel()

    with taskloom.Executor(1) as executor:
        executor.run_coroutine(main)


def test_coroutines_of_different_contexts_take_turns(executor: taskloom.Executor) -> None:
    async def child(number: int) -> None:
        for _ in range(5):
            assert variable.get() == number
            await taskloom.yield_now()

    async def main() -> None:
        async with Scope() as scope:
            for number in range(50):
                variable.set(number)
                scope.spawn(child, number)

    executor.run_coroutine(main)
