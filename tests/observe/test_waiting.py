"""The watchdog names who waits for which lock, channel or resource, and finds waits in a circle.

Waits are noted with the time at which they began; `seconds` is chosen so that any wait is long
enough, or none.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import taskloom
from taskloom import (
    CapacityLimiter,
    Channel,
    Event,
    Executor,
    Lock,
    Resources,
    Scope,
    Semaphore,
    _waits,
)
from taskloom.observe.waiting import waits_for_others
from taskloom.observe.watchdog import Stall, Watchdog

SHORT, LONG = 1e-9, 1e9


@pytest.fixture(autouse=True)
def watching() -> Iterator[None]:
    _waits.watch(True)
    yield
    _waits.watch(False)
    assert not _waits.noted()


def until(condition: Callable[[], Any]) -> None:
    while not condition():
        time.sleep(0)


class Programme:
    """A coroutine on the workers of an executor, to be looked at while it waits."""

    def __init__(self, executor: Executor, main: Callable[[], Any]) -> None:
        self._thread = threading.Thread(target=self._run, args=(executor, main), daemon=True)
        self._token = threading.Event()
        self.scope: Any = None

    def _run(self, executor: Executor, main: Callable[[], Any]) -> None:
        async def cancellable() -> None:
            with taskloom.CancelScope() as self.scope:
                await main()

        executor.run_coroutine(cancellable)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_error: object) -> None:
        self.scope.cancel()
        self._thread.join()


def crosswise(one: Lock, other: Lock, both: Callable[[], bool]) -> Callable[[], Any]:
    async def take(first: Lock, second: Lock) -> None:
        async with first:
            while not both():
                await taskloom.yield_now()
            async with second:
                pass

    async def first() -> None:
        await take(one, other)

    async def second() -> None:
        await take(other, one)

    async def main() -> None:
        async with Scope() as scope:
            scope.spawn(first)
            scope.spawn(second)

    return main


def found_in_deadlock(seconds: float) -> tuple[Stall | None, Stall | None]:
    one, other = Lock(), Lock()
    with Executor(2) as executor:
        main = crosswise(one, other, lambda: one.locked() and other.locked())
        with Programme(executor, main):
            until(lambda: len(_waits.noted()) == 2)
            watchdog = Watchdog(executor, seconds=seconds)
            return watchdog.check(), watchdog.check()


def test_two_coroutines_on_two_locks_are_a_deadlock_that_says_who_waits_for_whom() -> None:
    stall, _ = found_in_deadlock(SHORT)
    assert stall is not None
    assert stall.kind == "deadlock"
    text = str(stall)
    assert "waits that cannot end" in text
    assert len(stall.waits) == 2
    for wait, other in (stall.waits, stall.waits[::-1]):
        assert ".first (test_waiting.py:" in text
        assert ".second (test_waiting.py:" in text
        assert wait.target == f"a Lock held by {other.waiter}"


def test_a_deadlock_of_locks_is_told_of_once() -> None:
    assert found_in_deadlock(SHORT)[1] is None


def test_a_short_wait_for_a_lock_is_none() -> None:
    assert found_in_deadlock(LONG)[0] is None


def test_a_lock_whose_holder_goes_on_is_none() -> None:
    lock = Lock()
    with Executor(2) as executor:

        async def main() -> None:
            async with lock:
                pass

        with lock, Programme(executor, main):
            until(_waits.noted)
            assert Watchdog(executor, seconds=SHORT).check() is None


def test_a_lock_whose_holder_waits_for_an_event_is_a_stall() -> None:
    lock, event = Lock(), Event()

    async def holder() -> None:
        async with lock:
            await event.wait()

    async def main() -> None:
        async with Scope() as scope:
            scope.spawn(holder)
            while not lock.locked():
                await taskloom.yield_now()
            await lock.acquire()

    with Executor(2) as executor, Programme(executor, main):
        until(lambda: len(_waits.noted()) == 2)
        stall = Watchdog(executor, seconds=SHORT).check()
    assert stall is not None
    assert stall.kind == "stall"
    assert [wait.target.split(" held")[0] for wait in stall.waits] == ["a Lock", "an Event"]


def test_idle_consumers_are_none() -> None:
    channel: Channel[int] = Channel(1)

    async def main() -> None:
        async with channel.receiver() as receiver, channel.sender():
            await receiver.receive()

    with Executor(2) as executor, Programme(executor, main):
        until(_waits.noted)
        assert Watchdog(executor, seconds=SHORT).check() is None


def test_a_deadlock_of_a_thread_and_a_coroutine_is_found() -> None:
    one, other = Lock(), Lock()
    both = threading.Event()

    def task() -> None:
        with one:
            both.wait()
            try:
                other.acquire_blocking()
            except taskloom.Cancelled:
                return
            other.release()

    async def main() -> None:
        async with other:
            both.set()
            until(one.locked)
            await one.acquire()

    with Executor(3) as executor:
        future = executor.options(name="task").submit(task)
        with Programme(executor, main):
            until(lambda: len(_waits.noted()) == 2)
            stall = Watchdog(executor, seconds=SHORT).check()
        future.exception()
    assert stall is not None
    assert stall.kind == "deadlock"
    assert any(wait.waiter.startswith("task (test_waiting.py:") for wait in stall.waits)


@pytest.mark.parametrize(
    ("make", "text"),
    [(lambda: Semaphore(0).acquire(), "a Semaphore"), (lambda: Event().wait(), "an Event")],
)
def test_a_wait_that_anybody_may_end_is_named(make: Callable[[], Any], text: str) -> None:
    async def main() -> None:
        await make()

    with Executor(1) as executor, Programme(executor, main):
        until(_waits.noted)
        (wait,) = waits_for_others()
    assert wait.target == text
    assert "(test_waiting.py:" in wait.waiter


def test_an_empty_channel_is_named() -> None:
    channel: Channel[int] = Channel(1)

    async def main() -> None:
        async with channel.sender(), channel.receiver() as receiver:
            await receiver.receive()

    with Executor(1) as executor, Programme(executor, main):
        until(_waits.noted)
        (wait,) = waits_for_others()
    assert wait.target == "an item of a channel"


def test_a_full_channel_is_named() -> None:
    channel: Channel[int] = Channel(1)

    async def main() -> None:
        async with channel.receiver(), channel.sender() as sender:
            await sender.send(1)
            await sender.send(2)

    with Executor(1) as executor, Programme(executor, main):
        until(_waits.noted)
        (wait,) = waits_for_others()
    assert wait.target == "room in a channel"


def test_the_borrowers_of_a_limiter_are_named() -> None:
    limiter = CapacityLimiter(1)

    async def main() -> None:
        async with limiter:
            pass

    with Executor(1) as executor, limiter, Programme(executor, main):
        until(_waits.noted)
        (wait,) = waits_for_others()
    assert wait.target == "a CapacityLimiter held by thread MainThread"


def test_what_a_node_needs_is_named() -> None:
    graph = taskloom.Graph()
    began = threading.Event()
    go_on = threading.Event()

    def use() -> None:
        began.set()
        go_on.wait()

    async def use_too() -> None:
        pass

    with Executor(2, resources={"gpu": 1}) as executor:
        needs = Resources(gpu=1)
        future = executor.options(resources=needs).submit(use)
        began.wait()
        graph.options(name="plain", resources=needs).add(int)
        graph.options(name="coroutine", resources=needs).add(use_too)
        run = executor.start(graph)
        until(lambda: len(executor._desk.waiting()) == 2)
        from taskloom.observe.watchdog import _waits_of

        waits = {wait.waiter: wait.target for wait in _waits_of(executor)}
        go_on.set()
        run.result()
        future.result()
    assert waits == {"plain": f"resources: {needs}", "coroutine": f"resources: {needs}"}


def test_nothing_is_noted_while_nobody_watches() -> None:
    _waits.watch(False)
    try:
        event = Event()

        async def main() -> None:
            async with Scope() as scope:
                scope.spawn(event.wait)
                await taskloom.yield_now()
                assert not _waits.noted()
                event.set()

        taskloom.run_coroutine(main)
    finally:
        _waits.watch(True)


def test_the_watchdog_of_an_executor_finds_it_by_itself() -> None:
    one, other = Lock(), Lock()
    main = crosswise(one, other, lambda: one.locked() and other.locked())
    with Executor(2, watchdog=0.01) as executor, Programme(executor, main):
        until(lambda: executor.stalls)
        assert executor.stalls[0].kind == "deadlock"
