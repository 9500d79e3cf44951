"""The future by itself and as the standard library uses it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import sys
import threading
import time
import weakref
from collections.abc import Iterator

import pytest
from taskloom import Executor, Future


@pytest.fixture
def executor() -> Iterator[Executor]:
    with Executor(2) as executor:
        yield executor


class Gate:
    """A task that has started and waits until it is let go."""

    def __init__(self, executor: Executor) -> None:
        self._entered, self._opened = threading.Event(), threading.Event()
        self.future = executor.submit(self._run)
        assert self._entered.wait(10)

    def _run(self) -> str:
        self._entered.set()
        assert self._opened.wait(10)
        return "through"

    def open(self) -> None:
        self._opened.set()


def test_is_a_real_subclass_of_the_standard_future(executor: Executor) -> None:
    future = executor.submit(int)
    assert isinstance(future, concurrent.futures.Future)
    assert issubclass(Future, concurrent.futures.Future)
    assert type(future) is Future


def test_future_class_is_final() -> None:
    with pytest.raises(TypeError):
        type("Sub", (Future,), {})


def test_result_carries_positional_and_keyword_arguments(executor: Executor) -> None:
    assert executor.submit(int, "ff", base=16).result() == 255
    assert executor.submit(dict, a=1, b=2).result() == {"a": 1, "b": 2}
    assert executor.submit(lambda *args: args, *range(40)).result() == tuple(range(40))


def test_error_comes_out_with_the_users_line(executor: Executor) -> None:
    def broken() -> None:
        raise KeyError("here")

    future = executor.submit(broken)
    with pytest.raises(KeyError) as caught:
        future.result()
    assert caught.traceback[-1].name == "broken"
    assert future.exception() is caught.value
    # A second look raises the same error.
    with pytest.raises(KeyError):
        future.result()


def test_base_exceptions_are_outcomes_too(executor: Executor) -> None:
    def leave() -> None:
        raise SystemExit(3)

    assert isinstance(executor.submit(leave).exception(), SystemExit)
    assert executor.submit(int).result() == 0


def test_timeout_of_a_wait_leaves_the_task_running(executor: Executor) -> None:
    gate = Gate(executor)
    with pytest.raises(TimeoutError):
        gate.future.result(timeout=0)
    with pytest.raises(TimeoutError):
        gate.future.exception(timeout=0.001)
    assert gate.future.running()
    assert not gate.future.done()
    gate.open()
    assert gate.future.result(10) == "through"


def test_cancel_takes_a_queued_task_and_not_a_running_one() -> None:
    with Executor(1) as executor:
        gate = Gate(executor)
        ran: list[int] = []
        queued = executor.submit(ran.append, 1)
        assert queued.cancel()
        assert queued.cancelled()
        assert queued.done()
        assert queued.cancel(), "a second cancel says the same"
        assert not gate.future.cancel()
        with pytest.raises(concurrent.futures.CancelledError):
            queued.result()
        gate.open()
        assert gate.future.result(10) == "through"
        assert not gate.future.cancel()
        assert not gate.future.cancelled()
    assert ran == []


def test_callbacks_run_in_order_and_late_ones_at_once(executor: Executor) -> None:
    gate = Gate(executor)
    seen: list[object] = []
    done = threading.Event()
    gate.future.add_done_callback(seen.append)
    gate.future.add_done_callback(lambda future: seen.append(future.result()))
    gate.future.add_done_callback(lambda _: done.set())
    assert seen == []
    gate.open()
    assert done.wait(10)
    assert seen == [gate.future, "through"]
    gate.future.add_done_callback(lambda _: seen.append("late"))
    assert seen[-1] == "late"


def test_callback_of_a_cancelled_task_runs() -> None:
    with Executor(1) as executor:
        gate = Gate(executor)
        queued = executor.submit(int)
        seen: list[bool] = []
        queued.add_done_callback(lambda future: seen.append(future.cancelled()))
        queued.cancel()
        assert seen == [True]
        gate.open()


def test_failing_callback_is_logged_and_does_not_stop_the_next(
    executor: Executor, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate(executor)
    done = threading.Event()
    gate.future.add_done_callback(lambda _: 1 / 0)
    gate.future.add_done_callback(lambda _: done.set())
    gate.open()
    assert done.wait(10)
    assert "exception calling callback" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_wait_and_as_completed_of_the_standard_library_work(executor: Executor) -> None:
    gate = Gate(executor)
    quick = executor.submit(int)
    done, pending = concurrent.futures.wait(
        [gate.future, quick], return_when=concurrent.futures.FIRST_COMPLETED
    )
    assert done == {quick}
    assert pending == {gate.future}
    gate.open()
    futures = [gate.future, quick, executor.submit(str)]
    assert set(concurrent.futures.as_completed(futures, timeout=10)) == set(futures)
    failed = executor.submit(int, "x")
    outcome = concurrent.futures.wait([failed], return_when=concurrent.futures.FIRST_EXCEPTION)
    assert outcome.done == {failed}


def test_wait_from_inside_a_task_does_not_starve_a_pool_of_one() -> None:
    with Executor(1) as executor:

        def outer() -> int:
            inner = [executor.submit(int, str(number)) for number in range(5)]
            concurrent.futures.wait(inner)
            return sum(future.result() for future in inner)

        assert executor.submit(outer).result(10) == 10


def test_result_from_inside_a_task_runs_what_it_waits_for() -> None:
    with Executor(1) as executor:

        def fibonacci(number: int) -> int:
            if number < 2:
                return number
            left = executor.submit(fibonacci, number - 1)
            return left.result() + executor.submit(fibonacci, number - 2).result()

        assert executor.submit(fibonacci, 12).result(30) == 144


def test_an_event_set_by_a_queued_task_cannot_deadlock_a_pool_of_one() -> None:
    with Executor(1) as executor:

        def outer() -> bool:
            event = threading.Event()
            setter = executor.submit(event.set)
            concurrent.futures.wait([setter])
            return event.is_set()

        assert executor.submit(outer).result(10)


def test_runs_inline_only_what_it_waits_for() -> None:
    order: list[str] = []
    with Executor(1) as executor:

        def outer() -> None:
            executor.submit(order.append, "unrelated")
            executor.submit(order.append, "waited for").result()
            order.append("outer")

        executor.submit(outer).result(10)
    assert order == ["waited for", "outer", "unrelated"]


def test_inline_executor_runs_on_the_waiting_thread() -> None:
    with Executor(1, inline=True) as executor:
        gate = Gate(executor)
        here = executor.submit(threading.get_ident)
        assert here.result() == threading.get_ident()
        gate.open()


def test_wrap_future_and_await_work_from_asyncio(executor: Executor) -> None:
    async def main() -> tuple[int, int, int]:
        loop = asyncio.get_running_loop()
        wrapped = await asyncio.wrap_future(executor.submit(int, "1"))
        awaited = await executor.submit(int, "2")
        return wrapped, awaited, await loop.run_in_executor(executor, int, "3")

    assert asyncio.run(main()) == (1, 2, 3)


def test_cancelling_the_awaiting_task_cancels_the_future() -> None:
    with Executor(1) as executor:
        gate = Gate(executor)
        queued = executor.submit(int)

        async def main() -> None:
            async def waiter() -> int:
                return await queued

            task = asyncio.create_task(waiter())
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(main())
        assert queued.cancelled()
        gate.open()


def test_promise_is_set_by_its_owner_once() -> None:
    promise: Future[int] = Future()
    assert not promise.done()
    seen: list[int] = []
    promise.add_done_callback(lambda future: seen.append(future.result()))
    promise.set_result(5)
    assert promise.result() == 5
    assert seen == [5]
    with pytest.raises(concurrent.futures.InvalidStateError):
        promise.set_result(6)
    with pytest.raises(concurrent.futures.InvalidStateError):
        promise.set_exception(ValueError())


def test_outcome_of_a_submitted_task_cannot_be_set_from_outside() -> None:
    with Executor(1) as executor:
        gate = Gate(executor)
        queued = executor.submit(int)
        with pytest.raises(concurrent.futures.InvalidStateError, match="its executor sets"):
            queued.set_result(1)
        gate.open()
        assert queued.result(10) == 0


def test_cancelled_promise_is_not_run() -> None:
    promise: Future[int] = Future()
    assert promise.cancel()
    assert promise.set_running_or_notify_cancel() is False
    running: Future[int] = Future()
    assert running.set_running_or_notify_cancel() is True
    assert running.running()
    assert not running.cancel()


def test_repr_names_the_state_and_the_type(executor: Executor) -> None:
    future = executor.submit(int)
    future.result()
    assert "state=finished returned int" in repr(future)
    failed = executor.submit(int, "x")
    failed.exception()
    assert "state=finished raised ValueError" in repr(failed)


def test_ids_are_unique_and_stable(executor: Executor) -> None:
    first, second = executor.submit(int), executor.submit(int)
    assert first.id == first.id != second.id


def test_misspelt_parameter_is_named(executor: Executor) -> None:
    with pytest.raises(TypeError, match="'timeout'"):
        executor.submit(int).result(timeuot=1)  # type: ignore[call-arg]


class Thing:
    pass


def settled(reference: weakref.ref[Thing]) -> bool:
    """Whether the object goes away; workers let go of it before they sleep."""
    deadline = time.monotonic() + 10
    while reference() is not None and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0)
    return reference() is None


def test_call_is_dropped_when_the_task_is_over(executor: Executor) -> None:
    thing = Thing()
    reference = weakref.ref(thing)
    future = executor.submit(id, thing)
    del thing
    future.result()
    assert settled(reference)
    assert future.done()


def test_result_is_dropped_with_the_future(executor: Executor) -> None:
    future = executor.submit(Thing)
    reference = weakref.ref(future.result())
    del future
    assert settled(reference)


def test_cycle_through_a_result_is_collected(executor: Executor) -> None:
    holder = Thing()
    reference = weakref.ref(holder)
    holder.future = executor.submit(lambda thing: thing, holder)  # type: ignore[attr-defined]
    holder.future.result()  # type: ignore[attr-defined]
    del holder
    assert settled(reference)


def test_cycle_through_an_attribute_is_collected(executor: Executor) -> None:
    future = executor.submit(int)
    future.result()
    thing = Thing()
    reference = weakref.ref(thing)
    thing.future = future  # type: ignore[attr-defined]
    future.thing = thing  # type: ignore[attr-defined]
    del thing, future
    assert settled(reference)


def test_cycle_through_a_callback_of_a_promise_is_collected() -> None:
    thing = Thing()
    reference = weakref.ref(thing)
    promise: Future[int] = Future()
    thing.promise = promise  # type: ignore[attr-defined]
    promise.add_done_callback(lambda _, thing=thing: None)
    del thing, promise
    assert settled(reference)


def test_futures_can_be_weakly_referenced(executor: Executor) -> None:
    future = executor.submit(int)
    reference = weakref.ref(future)
    future.result()
    assert reference() is future


def test_many_arguments_reach_the_function_and_too_many_are_refused(executor: Executor) -> None:
    names = {f"name_{number}": number for number in range(300)}
    assert executor.submit(
        lambda *args, **kwargs: (args, kwargs), *range(300), **names
    ).result() == (
        tuple(range(300)),
        names,
    )
    with pytest.raises(TypeError, match="at most 65,535 arguments"):
        executor.submit(print, *range(70_000))


@pytest.mark.skipif(
    not getattr(sys, "_is_gil_enabled", lambda: True)(),
    reason="free-threaded builds count references to classes per thread, which getrefcount omits",
)
def test_futures_leave_no_reference_to_their_class_behind(executor: Executor) -> None:
    def turn() -> int:
        for _ in range(100):
            executor.submit(int).result()
            Future()
        return sys.getrefcount(Future)

    turn()
    assert abs(turn() - turn()) < 10


def test_attributes_and_inputs_of_a_future_lie_apart(executor: Executor) -> None:
    gate = threading.Event()
    executor.submit(gate.wait)
    executor.submit(gate.wait)
    futures = [executor.submit(max, number, -1, -2, -3) for number in range(200)]
    for number, future in enumerate(futures):
        future.note = [number]  # type: ignore[attr-defined]
        vars(future)["other"] = future
    gc.collect()
    gate.set()
    assert [future.result() for future in futures] == list(range(200))
    assert [future.note for future in futures] == [[number] for number in range(200)]  # type: ignore[attr-defined]
