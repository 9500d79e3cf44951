"""What a scope was told, given or raised is gone once nobody has it: no cycle, and no leak."""

from __future__ import annotations

import gc
import sysconfig
import time
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import taskloom
from taskloom import Scope, TaskStatus

Case = Callable[[Scope, Callable[[], Any]], Awaitable[Any]]
Run = Callable[[Callable[[], Coroutine[Any, Any, Any]]], Any]


class Value:
    pass


class Wrong(Exception):
    pass


async def plain(scope: Scope, fn: Callable[[], Any]) -> None:
    scope.spawn(fn)


async def plain_with_options(scope: Scope, fn: Callable[[], Any]) -> None:
    scope.options(timeout=60).spawn(fn)


async def coroutine(scope: Scope, fn: Callable[[], Any]) -> None:
    async def call() -> Any:
        return fn()

    scope.spawn(call)


async def coroutine_with_options(scope: Scope, fn: Callable[[], Any]) -> None:
    async def call() -> Any:
        return fn()

    scope.options(timeout=60).spawn(call)


async def coroutine_that_migrates(scope: Scope, fn: Callable[[], Any]) -> None:
    async def call() -> Any:
        await taskloom.sleep(0)
        return fn()

    scope.options(migrate=True).spawn(call)


async def started(scope: Scope, fn: Callable[[], Any]) -> None:
    async def call(task_status: TaskStatus[None]) -> Any:
        task_status.started()
        return fn()

    await scope.start(call)


async def not_started(scope: Scope, fn: Callable[[], Any]) -> None:
    async def call(task_status: TaskStatus[None]) -> None:
        task_status.started(fn())

    await scope.start(call)


async def awaited(scope: Scope, fn: Callable[[], Any]) -> None:
    async def call() -> Any:
        await taskloom.sleep(0)
        return fn()

    await scope.spawn(call)


async def body(_scope: Scope, fn: Callable[[], Any]) -> None:
    fn()


async def in_scopes_of_others(_scope: Scope, fn: Callable[[], Any]) -> None:
    async def call() -> Any:
        return fn()

    await taskloom.gather(call(), call())


CASES: list[Case] = [
    plain,
    plain_with_options,
    coroutine,
    coroutine_with_options,
    coroutine_that_migrates,
    started,
    not_started,
    awaited,
    body,
    in_scopes_of_others,
]


@contextmanager
def without_collector() -> Iterator[None]:
    """Only the counts of references free anything meanwhile."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def are_freed(references: Sequence[weakref.ref[Any]], collect: bool) -> bool:
    """Whether all are gone, at the latest when the workers have let go of what they had at hand.

    Without a GIL only the collector adds up what several threads have counted.
    """
    for _ in range(1000):
        if collect or sysconfig.get_config_var("Py_GIL_DISABLED"):
            gc.collect()
        if all(reference() is None for reference in references):
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize("case", CASES)
def test_an_error_is_freed_with_the_last_reference_to_it(anywhere: Run, case: Case) -> None:
    errors: list[weakref.ref[Wrong]] = []

    def fail() -> None:
        error = Wrong()
        errors.append(weakref.ref(error))
        try:
            raise error
        finally:
            del error

    async def main() -> None:
        try:
            async with Scope() as scope:
                await case(scope, fail)
        except ExceptionGroup:
            pass

    with without_collector():
        anywhere(main)
        assert errors
        assert are_freed(errors, collect=False)


@pytest.mark.parametrize("case", CASES)
def test_a_result_that_nobody_has_is_freed(anywhere: Run, case: Case) -> None:
    values: list[weakref.ref[Value]] = []

    def give() -> Value:
        value = Value()
        values.append(weakref.ref(value))
        return value

    async def main() -> None:
        async with Scope() as scope:
            await case(scope, give)

    anywhere(main)
    assert values
    assert are_freed(values, collect=True)


def test_the_first_value_that_an_await_ends_with_on_a_thread_is_freed() -> None:
    sender, receiver = taskloom.Channel[Value](1).split()
    values: list[weakref.ref[Value]] = []

    async def main() -> None:
        value = Value()
        values.append(weakref.ref(value))
        sender.send_nowait(value)
        del value
        await receiver.receive()

    with sender, receiver, taskloom.Executor(1) as executor:
        executor.run_coroutine(main)
        assert [value() for value in values] == [None]
