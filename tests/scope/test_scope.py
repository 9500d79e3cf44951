"""What a scope guarantees, on virtual time and in several orders."""

# ruff: noqa: PT012, PT018 - what raises is often a whole scope

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any

import pytest
import taskloom
from taskloom import Cancelled, CancelScope, Scope, current_time, fail_after, move_on_after, sleep

Run = Callable[..., Any]


async def after(seconds: float, value: Any) -> Any:
    await sleep(seconds)
    if isinstance(value, BaseException):
        raise value
    return value


def test_leaving_joins_every_child(run: Run) -> None:
    async def main() -> list[int]:
        async with Scope() as scope:
            futures = [scope.spawn(after, n, n) for n in (3, 1, 2)]
        assert current_time() == 3
        return [future.result() for future in futures]

    assert run(main) == [3, 1, 2]


def test_a_child_may_spawn_siblings_after_the_body_has_ended(run: Run) -> None:
    log: list[str] = []

    async def child(scope: Scope) -> None:
        await sleep(1)
        scope.spawn(grandchild)

    async def grandchild() -> None:
        await sleep(1)
        log.append("grandchild")

    async def main() -> None:
        async with Scope() as scope:
            scope.spawn(child, scope)

    run(main)
    assert log == ["grandchild"]


def test_spawning_in_a_scope_that_was_left_is_refused(run: Run) -> None:
    async def main() -> None:
        async with Scope() as scope:
            pass
        with pytest.raises(RuntimeError, match="not open"):
            scope.spawn(after, 0, None)

    run(main)


def test_the_first_error_cancels_the_rest_and_comes_out_as_a_group(run: Run) -> None:
    async def main() -> None:
        with pytest.raises(ExceptionGroup) as caught:
            async with Scope() as scope:
                slow = scope.spawn(after, 60, None)
                scope.spawn(after, 1, ValueError("first"))
        assert [repr(e) for e in caught.value.exceptions] == ["ValueError('first')"]
        assert current_time() == 1
        assert slow.cancelled()

    run(main)


def test_an_error_of_the_body_cancels_the_children_and_is_in_the_group(run: Run) -> None:
    async def main() -> None:
        with pytest.raises(ExceptionGroup) as caught:
            async with Scope() as scope:
                slow = scope.spawn(after, 60, None)
                raise KeyError("body")
        assert [type(e) for e in caught.value.exceptions] == [KeyError]
        assert slow.cancelled()

    run(main)


def test_with_on_error_continue_siblings_finish_and_all_errors_come_out(run: Run) -> None:
    async def main() -> None:
        with pytest.raises(ExceptionGroup) as caught:
            async with Scope(on_error="continue") as scope:
                scope.spawn(after, 2, ValueError("second"))
                scope.spawn(after, 1, KeyError("first"))
                good = scope.spawn(after, 3, "good")
        assert [type(e) for e in caught.value.exceptions] == [KeyError, ValueError]
        assert good.result() == "good"

    run(main)


def test_a_scope_that_was_cancelled_is_left_without_an_error(run: Run) -> None:
    async def main() -> None:
        async with Scope() as scope:
            child = scope.spawn(after, 60, None)
            scope.cancel()
            await sleep(60)
        assert child.cancelled() and scope.cancel_scope.cancelled_caught
        assert current_time() == 0

    run(main)


def test_a_child_cancelled_by_its_future_is_no_error_and_leaves_siblings_alone(run: Run) -> None:
    async def main() -> str:
        async with Scope() as scope:
            child = scope.spawn(after, 60, None)
            sibling = scope.spawn(after, 1, "alive")
            await sleep(0.5)
            child.cancel()
        assert child.cancelled() and current_time() == 1
        return sibling.result()

    assert run(main) == "alive"


def test_cancelling_a_child_reaches_the_scopes_inside_it(run: Run) -> None:
    log: list[str] = []

    async def innermost() -> None:
        try:
            await sleep(60)
        except Cancelled:
            log.append("innermost")
            raise

    async def child() -> None:
        async with Scope() as scope:
            scope.spawn(innermost)

    async def main() -> None:
        async with Scope() as scope:
            future = scope.spawn(child)
            await sleep(1)
            future.cancel()
        assert current_time() == 1

    run(main)
    assert log == ["innermost"]


def test_cancellation_is_level_triggered(run: Run) -> None:
    log: list[int] = []

    async def main() -> None:
        with CancelScope() as scope:
            scope.cancel()
            for n in range(3):
                try:
                    await sleep(1)
                except Cancelled:
                    log.append(n)
            await sleep(1)
            log.append(99)
        assert scope.cancelled_caught

    run(main)
    assert log == [0, 1, 2]


def test_a_shield_keeps_cancellation_out_until_it_is_left(run: Run) -> None:
    async def main() -> list[str]:
        log = []
        with CancelScope() as scope:
            scope.cancel()
            with taskloom.shield():
                await sleep(1)
                log.append("shielded")
            await sleep(1)
            log.append("not reached")
        return log

    assert run(main) == ["shielded"]


def test_a_shield_that_is_lifted_lets_the_cancellation_through(run: Run) -> None:
    async def main() -> bool:
        with CancelScope() as outer:
            outer.cancel()
            with CancelScope(shield=True) as inner:
                await sleep(1)
                inner.shield = False
                await sleep(1)
        return outer.cancelled_caught and not inner.cancelled_caught

    assert run(main)


def test_the_scope_that_was_cancelled_catches_not_the_one_inside_it(run: Run) -> None:
    async def main() -> tuple[bool, bool]:
        with CancelScope() as outer, CancelScope() as inner:
            outer.cancel()
            await sleep(1)
        return outer.cancelled_caught, inner.cancelled_caught

    assert run(main) == (True, False)


def test_nested_deadlines_end_at_the_earlier(run: Run) -> None:
    async def main() -> tuple[bool, bool, float]:
        with move_on_after(5) as outer, move_on_after(10) as inner:
            await sleep(60)
        return outer.cancelled_caught, inner.cancelled_caught, current_time()

    assert run(main) == (True, False, 5)


def test_a_deadline_may_be_moved(run: Run) -> None:
    async def main() -> float:
        with move_on_after(5) as scope:
            scope.deadline = current_time() + 7
            await sleep(60)
        return current_time()

    assert run(main) == 7


def test_fail_after_raises_timeout_error_only_when_time_ran_out(run: Run) -> None:
    async def main() -> None:
        with fail_after(2):
            await sleep(1)
        with pytest.raises(TimeoutError, match="2 s"), fail_after(2):
            await sleep(60)

    run(main)


def test_a_scope_left_by_a_cancellation_from_around_waits_for_cleanup(run: Run) -> None:
    log: list[str] = []

    async def child() -> None:
        try:
            await sleep(60)
        finally:
            with taskloom.shield():
                await sleep(5)
                log.append("cleaned")

    async def main() -> float:
        with move_on_after(1):
            async with Scope() as scope:
                scope.spawn(child)
        return current_time()

    assert run(main) == 6
    assert log == ["cleaned"]


def test_a_future_can_be_awaited_and_raises_what_its_task_raised(run: Run) -> None:
    async def main() -> None:
        with pytest.raises(ExceptionGroup):
            async with Scope(on_error="continue") as scope:
                assert await scope.spawn(after, 1, 5) == 5
                with pytest.raises(ValueError, match="mine"):
                    await scope.spawn(after, 1, ValueError("mine"))

    run(main)


def test_join_waits_early_and_the_scope_stays_open(run: Run) -> None:
    async def main() -> list[float]:
        times = []
        async with Scope() as scope:
            scope.spawn(after, 1, None)
            await scope.join()
            times.append(current_time())
            scope.spawn(after, 1, None)
        return [*times, current_time()]

    assert run(main) == [1, 2]


def test_generators_and_context_variables_stay_with_their_coroutine(run: Run) -> None:
    import contextvars

    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)

    async def child(n: int) -> tuple[int, int]:
        variable.set(n)
        await sleep(1)
        return n, variable.get()

    async def main() -> list[tuple[int, int]]:
        variable.set(7)
        async with Scope() as scope:
            futures = [scope.spawn(child, n) for n in range(5)]
        assert variable.get() == 7
        return [future.result() for future in futures]

    assert run(main) == [(n, n) for n in range(5)]


def test_a_scope_of_plain_code_joins_threads_and_raises_their_errors() -> None:
    started = threading.Event()
    with pytest.raises(ExceptionGroup) as caught, Scope() as scope:
        future = scope.spawn(lambda: started.set() or "done")
        started.wait()
        scope.spawn(int, "x")
    assert future.result() == "done"
    assert [type(e) for e in caught.value.exceptions] == [ValueError]


def test_a_plain_function_is_cancelled_by_its_checkpoint() -> None:
    started = threading.Event()

    def loop() -> None:
        started.set()
        while True:
            taskloom.checkpoint()

    with Scope() as scope:
        future = scope.spawn(loop)
        started.wait()
        scope.cancel()
    with pytest.raises(CancelledError):
        future.result()


def test_an_abandoned_function_is_not_waited_for() -> None:
    release = threading.Event()
    with Scope() as scope:
        future = scope.options(abandon=True).spawn(release.wait)
    assert not future.done()
    release.set()
    assert future.result()


def test_a_wrong_option_names_the_right_ones() -> None:
    with pytest.raises(TypeError, match="'cancel' or 'continue'"):
        Scope(on_error="ignore")  # type: ignore[arg-type]


def test_all_waiting_for_ever_on_virtual_time_is_reported(run: Run) -> None:
    async def main() -> None:
        send, receive = taskloom.Channel[int](0).split()
        with send, receive:
            await receive.receive()

    with pytest.raises(RuntimeError, match="deadlock"):
        run(main)


def test_a_coroutine_in_the_place_of_its_function_is_refused_with_what_would_be_right() -> None:
    async def child() -> None: ...

    made = child()
    with Scope() as scope, pytest.raises(TypeError, match="the coroutine function and its arg"):
        scope.spawn(made)  # type: ignore[call-overload]
    made.close()
