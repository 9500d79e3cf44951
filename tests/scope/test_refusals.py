"""What is refused at once, with words that say what would be right."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
import taskloom
from taskloom import CancelScope, Channel, Scope, run_coroutine, stage

Run = Callable[..., Any]


async def nothing() -> None:
    pass


NOT_A_NUMBER: list[Callable[[Any], object]] = [
    taskloom.move_on_after,
    taskloom.fail_after,
    lambda seconds: CancelScope(deadline=seconds),
    lambda seconds: Scope(deadline=seconds),
    lambda seconds: setattr(CancelScope(), "deadline", seconds),
]


@pytest.mark.parametrize("make", NOT_A_NUMBER)
def test_a_limit_of_time_is_a_number(make: Callable[[Any], object]) -> None:
    with pytest.raises(TypeError, match="'3': a number of seconds"):
        make("3")
    with pytest.raises(ValueError, match="not NaN"):
        make(math.nan)


def test_a_limit_of_time_may_be_any_kind_of_number() -> None:
    assert CancelScope(deadline=Fraction(1, 2)).deadline == 0.5  # type: ignore[arg-type]


def test_nobody_sleeps_until_what_is_no_number(run: Run) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="NaN"):
            await taskloom.sleep(math.nan)

    run(main)


def test_the_reason_of_a_cancellation_is_a_text() -> None:
    with pytest.raises(TypeError, match=r"cancel\(reason=5\): a str"):
        CancelScope().cancel(5)  # type: ignore[arg-type]


def test_a_scope_wants_an_executor() -> None:
    with pytest.raises(TypeError, match=r"Scope\(5\): an executor"):
        Scope(5)  # type: ignore[arg-type]


def test_a_scope_has_no_attributes_but_its_own() -> None:
    with pytest.raises(AttributeError):
        Scope().deadlin = 3  # type: ignore[attr-defined]


@pytest.mark.parametrize("method", ["produce", "consume"])
def test_those_who_share_a_channel_are_one_at_least(run: Run, method: str) -> None:
    async def main() -> None:
        async with Scope() as scope:
            with pytest.raises(ValueError, match="at least 1"):
                getattr(scope, method)(Channel[int](1), nothing, 0)
            with pytest.raises(TypeError, match="a Channel, not 5"):
                getattr(scope, method)(5, nothing)
            with pytest.raises(TypeError, match="fn must be callable, not 5"):
                getattr(scope, method)(Channel[int](1), 5)

    run(main)


def test_a_stage_is_a_function_and_a_source_can_be_iterated() -> None:
    with pytest.raises(TypeError, match="a function, not 5"):
        stage(5)  # type: ignore[arg-type]
    with Scope() as scope, pytest.raises(TypeError, match="an iterable, or a Receiver, not 5"):
        scope.pipeline(5, stage(abs))


def test_aio_takes_a_coroutine() -> None:
    async def main() -> None:
        with pytest.raises(TypeError, match="`async def`"):
            await taskloom.aio(asyncio.sleep)  # type: ignore[arg-type]

    run_coroutine(main)


def test_an_end_that_an_error_drops_warns_and_lets_the_error_pass() -> None:
    with (
        pytest.warns(ResourceWarning, match="unclosed sender"),
        pytest.raises(TypeError, match="one argument"),
    ):
        Channel[int](1).sender().send()  # type: ignore[call-arg]


def test_the_deadline_and_shield_of_a_scope_may_be_changed(run: Run) -> None:
    async def main() -> tuple[float, bool, bool]:
        async with Scope(shield=True) as scope:
            shielded, scope.shield = scope.shield, False
            scope.deadline = taskloom.current_time() + 5
            await taskloom.sleep(60)
        return taskloom.current_time(), shielded, scope.shield

    assert run(main) == (5, True, False)


def test_only_what_gives_a_coroutine_can_be_run_as_one() -> None:
    with pytest.raises(TypeError, match="a function that gives one, not 5"):
        run_coroutine(5)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match=r"<built-in function len> returned int, not a coroutine"):
        run_coroutine(len, "abc")  # type: ignore[arg-type]


def test_a_scope_is_left_once(run: Run) -> None:
    async def main() -> None:
        async with Scope() as scope:
            pass
        with pytest.raises(RuntimeError, match="has been left"):
            await scope.__aexit__(None, None, None)
        with pytest.raises(RuntimeError, match="was not entered"):
            await Scope().__aexit__(None, None, None)

    run(main)
    with pytest.raises(RuntimeError, match="was not entered"):
        Scope().__exit__(None, None, None)
