"""Rules that trio and anyio publish for cancellation, scopes and limits, shown by ours."""

from __future__ import annotations

import gc
import math
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import taskloom
from taskloom import (
    Cancelled,
    CancelScope,
    CapacityLimiter,
    Condition,
    Scope,
    Semaphore,
    fail_after,
    move_on_after,
    shield,
    sleep,
)

Run = Callable[..., Any]


# Leaving a scope is a wait


def test_leaving_raises_when_it_was_cancelled_from_around_while_it_waited(run: Run) -> None:
    async def main() -> list[str]:
        log = []
        with move_on_after(1) as limit:
            async with Scope() as scope:
                scope.spawn(sleep, 60)
            log.append("not reached")
        return [*log, f"caught: {limit.cancelled_caught}"]

    assert run(main) == ["caught: True"]


def test_leaving_says_that_it_caught_a_cancellation_that_came_while_it_waited(run: Run) -> None:
    async def main() -> bool:
        async with Scope() as scope:
            scope.spawn(sleep, 60)
            scope.spawn(cancel, scope)
        return scope.cancel_scope.cancelled_caught

    async def cancel(scope: Scope) -> None:
        await sleep(1)
        scope.cancel()

    assert run(main)


def test_leaving_with_nothing_to_wait_for_raises_nothing_though_cancelled(run: Run) -> None:
    async def main() -> bool:
        with CancelScope() as around:
            around.cancel()
            async with Scope():
                pass
            return True
        raise AssertionError("not reached")

    assert run(main)


def test_plain_code_leaves_a_cancelled_scope_by_cancelled_too() -> None:
    def wait() -> None:
        while True:
            taskloom.checkpoint()

    reached = False
    with CancelScope() as around:
        with Scope() as scope:
            scope.spawn(wait)
            around.cancel()
        reached = True
    assert around.cancelled_caught
    assert not reached


# Errors


def test_a_bodys_error_stands_where_it_happened_among_its_childrens(run: Run) -> None:
    async def fail_late(name: str) -> None:
        try:
            await sleep(1)
        finally:
            raise ValueError(name)

    async def main() -> list[str]:
        try:
            async with Scope() as scope:
                scope.spawn(fail_late, "child")
                try:
                    await sleep(60)
                finally:
                    raise ValueError("body")
        except ExceptionGroup as group:
            return [str(error) for error in group.exceptions]
        return []

    assert run(main) == ["child", "body"]


def test_what_is_left_of_a_group_keeps_the_groups_cause_and_context(run: Run) -> None:
    async def main() -> tuple[object, object]:
        cause, context = KeyError("cause"), KeyError("context")
        try:
            with CancelScope() as scope:
                scope.cancel()
                try:
                    await sleep(0)
                except Cancelled as cancelled:
                    group = BaseExceptionGroup("both", [ValueError(), cancelled])
                    group.__context__ = context
                    group.__cause__ = cause
                    group.with_traceback(None)
                    raise group from cause
        except ExceptionGroup as left:
            return left.__cause__ is cause, left.__context__ is group.__context__
        return None, None

    assert run(main) == (True, True)


@pytest.mark.parametrize("where", ["body", "child"])
def test_a_scope_whose_errors_came_out_is_garbage_when_they_are(run: Run, where: str) -> None:
    class Witness:
        pass

    witnesses = []

    async def main() -> None:
        witness = Witness()
        witnesses.append(weakref.ref(witness))

        async def fail() -> None:
            raise ValueError(repr(scope), witness)

        async with Scope() as scope:
            if where == "child":
                scope.spawn(fail)
            else:
                await fail()

    with pytest.raises(ExceptionGroup):
        run(main)
    gc.collect()
    assert [witness() for witness in witnesses] == [None]


# Cancel scopes


def test_scopes_are_left_in_the_reverse_order_of_entering(run: Run) -> None:
    async def main() -> None:
        outer, inner = CancelScope(), CancelScope()
        outer.__enter__()
        inner.__enter__()
        with pytest.raises(RuntimeError, match="reverse order"):
            outer.__exit__(None, None, None)
        inner.__exit__(None, None, None)
        outer.__exit__(None, None, None)

    run(main)


def test_a_scope_is_left_by_the_task_that_entered_it(run: Run) -> None:
    async def leave(limit: CancelScope) -> None:
        with pytest.raises(RuntimeError, match="the task that entered"):
            limit.__exit__(None, None, None)

    async def main() -> None:
        with CancelScope() as limit:
            async with Scope() as scope:
                scope.spawn(leave, limit)

    run(main)


def test_a_scope_cannot_be_left_before_it_was_entered_nor_twice() -> None:
    scope = CancelScope()
    with pytest.raises(RuntimeError, match="not entered"):
        scope.__exit__(None, None, None)
    with scope:
        pass
    with pytest.raises(RuntimeError, match="has been left"):
        scope.__exit__(None, None, None)


def test_the_effective_deadline_is_the_earliest_around(run: Run) -> None:
    async def main() -> list[float]:
        seen = [taskloom.current_effective_deadline()]
        with move_on_after(10) as outer:
            with move_on_after(5):
                seen.append(taskloom.current_effective_deadline())
            with move_on_after(20):
                seen.append(taskloom.current_effective_deadline())
                outer.deadline = 15
                seen.append(taskloom.current_effective_deadline())
        return seen

    assert run(main) == [math.inf, 5, 10, 15]


def test_a_shield_hides_the_deadlines_around_it(run: Run) -> None:
    async def main() -> list[float]:
        with move_on_after(1) as outer, move_on_after(50, shield=True):
            seen = [taskloom.current_effective_deadline()]
            outer.cancel()
            seen.append(taskloom.current_effective_deadline())
        return seen

    assert run(main) == [50, 50]


def test_the_effective_deadline_of_a_cancelled_scope_has_passed(run: Run) -> None:
    async def main() -> float:
        with CancelScope() as scope:
            scope.cancel()
            return taskloom.current_effective_deadline()
        raise AssertionError("not reached")

    assert run(main) == -math.inf


def test_a_child_knows_the_deadline_of_its_scope(run: Run) -> None:
    async def ask() -> float:
        return taskloom.current_effective_deadline()

    async def main() -> float:
        with fail_after(7):
            async with Scope() as scope:
                future = scope.spawn(ask)
        return future.result()

    assert run(main) == 7


# Giving way


def test_a_sleep_of_nothing_gives_way(run: Run) -> None:
    async def main() -> bool:
        ran = []

        async def other() -> None:
            ran.append(True)

        async with Scope() as scope:
            scope.spawn(other)
            while not ran:
                await sleep(0)
        return True

    assert run(main)


def test_a_sleep_of_nothing_is_cancelled(run: Run) -> None:
    async def main() -> bool:
        with CancelScope() as scope:
            scope.cancel()
            await sleep(0)
        return scope.cancelled_caught

    assert run(main)


# Limiters


def test_a_limiter_of_nothing_admits_nobody_until_it_is_raised(run: Run) -> None:
    async def main() -> list[float]:
        limiter = CapacityLimiter(0)
        with pytest.raises(taskloom.errors.WouldBlock):
            limiter.acquire_nowait()

        async def raise_it() -> None:
            await sleep(1)
            limiter.total_tokens = 1

        async with Scope() as scope:
            scope.spawn(raise_it)
            async with limiter:
                return [taskloom.current_time(), limiter.available_tokens]

    assert run(main) == [1, 0]


def test_a_limiter_without_a_limit_counts_its_borrowers_all_the_same() -> None:
    limiter = CapacityLimiter(math.inf)
    for borrower in range(3):
        limiter.acquire_nowait(on_behalf_of=borrower)
    assert (limiter.borrowed_tokens, limiter.available_tokens) == (3, math.inf)
    limiter.total_tokens = 2
    assert limiter.available_tokens == -1


@pytest.mark.parametrize(("total", "error"), [(-1, ValueError), (1.5, TypeError), ("2", TypeError)])
def test_a_wrong_total_is_refused(total: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="total_tokens"):
        CapacityLimiter(total)


def test_a_conditions_lock_can_be_taken_without_waiting() -> None:
    condition = Condition()
    condition.acquire_nowait()
    assert condition.locked()
    condition.release()
    condition.acquire_blocking(timeout=1)
    condition.release()


# Shields that are raised late


def test_a_shield_raised_after_the_cancellation_keeps_it_out_again(run: Run) -> None:
    async def main() -> list[str]:
        log = []
        with CancelScope() as outer, CancelScope() as inner:
            outer.cancel()
            with pytest.raises(Cancelled):
                await sleep(0)
            inner.shield = True
            await sleep(1)
            log.append("shielded")
            with CancelScope() as innermost:
                innermost.cancel()
                await sleep(1)
            log.append(f"innermost: {innermost.cancelled_caught}")
            inner.shield = False
            with pytest.raises(Cancelled):
                await sleep(0)
            log.append("lifted")
        return log

    assert run(main) == ["shielded", "innermost: True", "lifted"]


def test_a_shield_raised_while_a_cancellation_passes_does_not_catch_it(run: Run) -> None:
    async def main() -> tuple[bool, bool]:
        with CancelScope() as outer, CancelScope() as inner:
            outer.cancel()
            try:
                await sleep(0)
            finally:
                inner.shield = True
        return outer.cancelled_caught, inner.cancelled_caught

    assert run(main) == (True, False)


def test_a_child_that_outlived_a_cancellation_hears_of_the_next(run: Run) -> None:
    async def child() -> None:
        with pytest.raises(Cancelled):
            await sleep(100)
        await sleep(100)

    async def main() -> float:
        async with Scope() as outer, Scope() as inner:
            inner.spawn(child)
            await sleep(1)
            outer.cancel()
            inner.cancel_scope.shield = True
            with shield():
                await sleep(1)
            inner.cancel_scope.shield = False
        return taskloom.current_time()

    assert run(main) == 2


def test_children_sleep_on_in_a_scope_that_is_shielded_late(run: Run) -> None:
    async def main() -> float:
        async with Scope() as outer, Scope() as inner:
            outer.cancel()
            inner.cancel_scope.shield = True
            future = inner.spawn(sleep, 5)
            with shield():
                await sleep(1)
            assert not future.done()
        return taskloom.current_time()

    assert run(main) == 5


@pytest.mark.parametrize("value", [1, None, "yes"])
def test_a_shield_is_up_or_not(value: Any) -> None:
    with pytest.raises(TypeError, match="shield"):
        CancelScope().shield = value


# What scopes say


def test_a_scope_whose_deadline_has_passed_counts_as_cancelled(run: Run) -> None:
    async def main() -> list[bool]:
        scope = move_on_after(1)
        seen = [scope.cancel_called]
        await sleep(1)
        seen.append(scope.cancel_called)
        with move_on_after(5) as left:
            pass
        await sleep(5)
        return [*seen, left.cancel_called]

    assert run(main) == [False, True, False]


def test_a_group_has_no_context_of_its_own(run: Run) -> None:
    async def main() -> object:
        async def fail() -> None:
            raise KeyError

        try:
            async with Scope() as scope:
                scope.spawn(fail)
                raise ValueError
        except ExceptionGroup as group:
            return group.__context__
        raise AssertionError("not reached")

    assert run(main) is None


def test_a_token_that_was_handed_over_counts_as_borrowed(run: Run) -> None:
    async def main() -> list[tuple[float, int]]:
        limiter = CapacityLimiter(1)
        seen = []
        await limiter.acquire()
        async with Scope() as scope:
            for borrower in "ab":
                scope.spawn(limiter.acquire, on_behalf_of=borrower)
            await sleep(1)
            limiter.total_tokens = 2
            seen.append((limiter.borrowed_tokens, limiter.stats().waiting))
            limiter.release()
            seen.append((limiter.borrowed_tokens, limiter.stats().waiting))
        return seen

    assert run(main) == [(2, 1), (2, 0)]


def test_primitives_refuse_what_they_cannot_be_made_of() -> None:
    with pytest.raises(TypeError, match="Semaphore"):
        Semaphore(1.5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="Condition"):
        Condition(Semaphore(1))  # type: ignore[arg-type]
