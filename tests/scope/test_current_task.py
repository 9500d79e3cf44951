"""What a child of a scope is told of itself, wherever the scope was entered; and its future."""

import asyncio
import functools
import threading
from collections.abc import Callable
from typing import Any

import pytest
import taskloom
from taskloom import Channel, Scope

Run = Callable[..., Any]


def told() -> tuple[object, str] | None:
    """What whoever calls is told of itself."""
    task = taskloom.current_task()
    return None if task is None else (task.future, task.name)


class Caller:
    async def __call__(self) -> Any:
        return told()

    async def method(self) -> Any:
        return told()

    def __repr__(self) -> str:
        return "a caller"


async def coroutine() -> Any:
    await taskloom.yield_now()
    return told()


def function() -> Any:
    return told()


async def taking(end: object) -> Any:
    return told()


WAYS: dict[str, tuple[Callable[[Scope], Any], str]] = {
    "a coroutine": (lambda scope: scope.spawn(coroutine), "coroutine"),
    "with options": (lambda scope: scope.options(timeout=60).spawn(coroutine), "coroutine"),
    "named": (lambda scope: scope.options(name="mine").spawn(coroutine), "mine"),
    "a partial": (lambda scope: scope.spawn(functools.partial(coroutine)), "coroutine"),
    "a method": (lambda scope: scope.spawn(Caller().method), "Caller.method"),
    "an object": (lambda scope: scope.spawn(Caller()), "a caller"),
    "a function": (lambda scope: scope.spawn(function), "function"),
    "a named function": (lambda scope: scope.options(name="mine").spawn(function), "mine"),
    "a producer": (lambda scope: scope.produce(Channel(1), taking)[0], "taking"),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_child_knows_its_future_and_its_name(anywhere: Run, way: str) -> None:
    spawn, name = WAYS[way]

    async def main() -> bool:
        async with Scope() as scope:
            future = spawn(scope)
        assert future.result() == (future, name)
        return True

    assert anywhere(main)


def test_what_start_starts_knows_its_name(anywhere: Run) -> None:
    async def serve(*, task_status: taskloom.TaskStatus[str]) -> None:
        task = taskloom.current_task()
        assert task is not None
        task_status.started(task.name)

    async def main() -> str:
        async with Scope() as scope:
            name: str = await scope.start(serve)
            return name

    own = test_what_start_starts_knows_its_name.__name__ + ".<locals>.serve"
    assert anywhere(main) == own


def test_an_asyncio_task_that_a_child_makes_is_not_the_child() -> None:
    async def child() -> tuple[bool, Any]:
        other = await asyncio.create_task(coroutine())
        return taskloom.current_task() is not None, other

    async def main() -> tuple[bool, Any]:
        async with Scope() as scope:
            future = scope.spawn(child)
        return future.result()

    assert asyncio.run(main()) == (True, None)


def test_a_task_that_a_child_submits_is_itself() -> None:
    def child() -> tuple[Any, Any, Any]:
        inner = taskloom.default_executor().submit(function)
        return inner, inner.result(), told()

    with Scope() as scope:
        future = scope.spawn(child)
    inner, seen, mine = future.result()
    assert seen == (inner, "function")
    assert mine[0] is future


def test_a_child_says_how_far_it_is_by_its_own_future(anywhere: Run) -> None:
    async def child() -> None:
        task = taskloom.current_task()
        assert task is not None
        task.progress(1, 3)

    async def main() -> object:
        async with Scope() as scope:
            future = scope.options(timeout=60).spawn(child)
        return future.progress

    assert anywhere(main) == (1.0, 3.0)


@pytest.mark.parametrize("with_options", [False, True])
def test_a_child_that_runs_ends_when_it_has_ended_not_when_it_is_cancelled(
    anywhere: Run, with_options: bool
) -> None:
    async def child(cleaned: list[bool]) -> None:
        try:
            await taskloom.sleep_forever()
        finally:
            with taskloom.shield():
                await taskloom.sleep(0)
            cleaned.append(True)

    async def main() -> tuple[bool, bool, bool, list[bool]]:
        cleaned: list[bool] = []
        async with Scope() as scope:
            view = scope.options(timeout=60) if with_options else scope
            future = view.spawn(child, cleaned)
            while not future.running():
                await taskloom.yield_now()
            at_once = future.cancel()
            over = future.done()
        return at_once, over, future.cancelled(), cleaned

    assert anywhere(main) == (False, False, True, [True])


def test_a_function_that_runs_ends_when_it_has_ended_not_when_it_is_cancelled() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def child() -> int:
        begun.set()
        go_on.wait(20)
        return 1

    with Scope() as scope:
        future = scope.spawn(child)
        assert begun.wait(20)
        at_once = future.cancel()
        running = future.running()
        go_on.set()
    assert (at_once, running, future.result()) == (False, True, 1)


def test_a_child_that_is_cancelled_before_it_begins_is_not_called(anywhere: Run) -> None:
    called = []

    async def child() -> None:
        called.append(True)

    async def main() -> tuple[bool, bool]:
        async with Scope() as scope:
            future = scope.options(timeout=60).spawn(child)
            at_once = future.cancel()
        return at_once or bool(called), future.cancelled() or bool(called)

    # On a pool it may have begun by then.
    assert anywhere(main) == (True, True)
