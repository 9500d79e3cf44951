"""Scopes that a child has entered by hand and not left do not outlive it, nor what is in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import taskloom
from taskloom import CancelScope, Scope

Run = Callable[..., Any]

MISTAKE = "the task ended inside of a scope that it had entered and not left"


async def grandchild(log: list[str]) -> None:
    try:
        await taskloom.sleep_forever()
    finally:
        with taskloom.shield():
            await taskloom.yield_now()
        log.append("grandchild over")


async def entering(log: list[str], *, shield: bool = False, error: bool = False) -> None:
    scope = Scope(shield=shield)
    await scope.__aenter__()
    future = scope.spawn(grandchild, log)
    while not future.running():
        await taskloom.yield_now()
    if error:
        raise ValueError("its own")


@pytest.mark.parametrize("shield", [False, True])
def test_a_child_that_ends_inside_of_a_scope_leaves_it(anywhere: Run, shield: bool) -> None:
    log: list[str] = []

    async def main() -> None:
        try:
            async with Scope() as scope:
                scope.spawn(entering, log, shield=shield)
        finally:
            log.append("scope over")

    with pytest.RaisesGroup(pytest.RaisesExc(RuntimeError, match=MISTAKE)):
        anywhere(main)
    assert log == ["grandchild over", "scope over"]


def test_the_innermost_of_the_scopes_is_left_first(anywhere: Run) -> None:
    order: list[str] = []

    async def saying(name: str) -> None:
        log: list[str] = []
        try:
            await grandchild(log)
        finally:
            order.append(name)

    async def child() -> None:
        for name in ("outer", "inner"):
            scope = Scope()
            await scope.__aenter__()
            future = scope.spawn(saying, name)
            while not future.running():
                await taskloom.yield_now()

    async def main() -> None:
        async with Scope() as scope:
            scope.spawn(child)

    with pytest.RaisesGroup(pytest.RaisesExc(RuntimeError, match=MISTAKE)):
        anywhere(main)
    assert order == ["inner", "outer"]


def test_an_error_of_the_child_comes_out_and_tells_of_the_scope(anywhere: Run) -> None:
    log: list[str] = []

    async def main() -> None:
        async with Scope() as scope:
            scope.spawn(entering, log, error=True)

    with pytest.raises(ExceptionGroup) as raised:
        anywhere(main)
    inner = raised.value.exceptions[0]
    assert pytest.RaisesGroup(ValueError).matches(inner)
    assert MISTAKE in inner.__notes__[0]
    assert log == ["grandchild over"]


def test_a_child_that_ends_inside_of_a_cancel_scope_fails(anywhere: Run) -> None:
    async def child() -> None:
        CancelScope().__enter__()

    async def main() -> None:
        async with Scope() as scope:
            scope.spawn(child)

    # Trio says so itself, and in a group.
    with pytest.RaisesGroup(RuntimeError, flatten_subgroups=True):
        anywhere(main)


def test_what_follows_a_scope_that_was_left_so_is_not_cancelled(anywhere: Run) -> None:
    async def main() -> bool:
        with pytest.raises(ExceptionGroup):
            async with Scope() as scope:
                scope.spawn(entering, [])
        await taskloom.sleep(0)
        return True

    assert anywhere(main)


def test_a_coroutine_that_ends_inside_of_a_scope_leaves_it() -> None:
    log: list[str] = []
    with pytest.raises(RuntimeError, match=MISTAKE):
        taskloom.run_coroutine(entering, log)
    assert log == ["grandchild over"]


def test_a_child_with_options_that_ends_inside_of_a_scope_leaves_it(anywhere: Run) -> None:
    log: list[str] = []

    async def main() -> None:
        async with Scope() as scope:
            scope.options(timeout=60).spawn(entering, log)

    with pytest.RaisesGroup(pytest.RaisesExc(RuntimeError, match=MISTAKE)):
        anywhere(main)
    assert log == ["grandchild over"]


def test_a_function_that_ends_inside_of_a_scope_leaves_it() -> None:
    log: list[str] = []

    def child() -> None:
        scope = Scope()
        scope.__enter__()
        future = scope.spawn(grandchild, log)
        future.running()

    def main() -> None:
        with Scope() as scope:
            scope.spawn(child)

    with pytest.RaisesGroup(pytest.RaisesExc(RuntimeError, match=MISTAKE)):
        main()
    assert log in ([], ["grandchild over"])  # cancelled before it began, or joined


def test_who_was_told_of_leaving_scopes_in_the_wrong_order_is_not_told_again(run: Run) -> None:
    async def child() -> str:
        outer, inner = CancelScope(), CancelScope()
        outer.__enter__()
        inner.__enter__()
        with pytest.raises(RuntimeError, match="reverse order"):
            outer.__exit__(None, None, None)
        inner.__exit__(None, None, None)
        return "value"

    async def main() -> str:
        async with Scope() as scope:
            future = scope.spawn(child)
        return future.result()

    assert run(main) == "value"
