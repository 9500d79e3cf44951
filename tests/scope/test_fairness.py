"""Who waits first is served first: of every primitive, and between coroutines and threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import taskloom
from taskloom import CapacityLimiter, Condition, Executor, Lock, Scope, Semaphore, sleep
from taskloom.scope.coroutines import run_seeded

Run = Callable[..., Any]
MAKERS = [Lock, lambda: Semaphore(1), lambda: CapacityLimiter(1), Condition]
NAMES = ["Lock", "Semaphore", "CapacityLimiter", "Condition"]


@pytest.mark.parametrize("make", MAKERS, ids=NAMES)
def test_those_who_wait_are_served_in_the_order_of_their_coming(
    run: Run, make: Callable[[], Any]
) -> None:
    async def main() -> list[int]:
        one, order = make(), list[int]()

        async def use(n: int) -> None:
            await sleep(n)
            async with one:
                order.append(n)
                await sleep(0)

        async with Scope() as scope, one:
            for n in (3, 1, 4, 2):
                scope.spawn(use, n)
            await sleep(10)
        return order

    assert run(main) == [1, 2, 3, 4]


@pytest.mark.parametrize("make", MAKERS, ids=NAMES)
def test_nobody_overtakes_who_was_handed_what_was_released(
    run: Run, make: Callable[[], Any]
) -> None:
    async def main() -> list[str]:
        one, order = make(), list[str]()

        async def use() -> None:
            async with one:
                order.append("waited")

        async with Scope() as scope:
            await one.acquire()
            scope.spawn(use)
            await sleep(1)
            one.release()
            with pytest.raises(taskloom.errors.WouldBlock):
                one.acquire_nowait()
            async with one:
                order.append("came later")
        return order

    assert run(main) == ["waited", "came later"]


def test_those_notified_go_on_in_the_order_of_their_coming(run: Run) -> None:
    async def main() -> list[int]:
        condition, order = Condition(), list[int]()

        async def wait(n: int) -> None:
            await sleep(n)
            async with condition:
                await condition.wait()
                order.append(n)

        async with Scope() as scope:
            for n in (2, 3, 1):
                scope.spawn(wait, n)
            await sleep(5)
            async with condition:
                condition.notify_all()
        return order

    assert run(main) == [1, 2, 3]


@pytest.mark.parametrize("make", MAKERS, ids=NAMES)
def test_threads_and_coroutines_stand_in_one_line(make: Callable[[], Any]) -> None:
    one, order = make(), list[str]()

    def in_a_thread(name: str) -> None:
        with one:
            order.append(name)

    async def in_a_coroutine(name: str) -> None:
        async with one:
            order.append(name)

    def wait_for(count: int) -> None:
        line = one._lock if isinstance(one, Condition) else one
        while line.stats().waiting < count:
            taskloom.checkpoint()

    with Executor(3) as executor, Scope(executor) as scope, one:
        for place, spawned in enumerate((in_a_thread, in_a_coroutine, in_a_thread), 1):
            scope.spawn(spawned, str(place))  # type: ignore[arg-type]
            wait_for(place)
    assert order == ["1", "2", "3"]


@pytest.mark.parametrize("make", MAKERS, ids=NAMES)
def test_coroutines_that_take_it_in_a_loop_take_turns(make: Callable[[], Any]) -> None:
    async def main() -> list[int]:
        one, order = make(), list[int]()

        async def use(n: int) -> None:
            for _ in range(4):
                async with one:
                    order.append(n)

        async with Scope() as scope:
            for n in range(3):
                scope.spawn(use, n)
        return order

    assert run_seeded(main) == [0, 1, 2] * 4


@pytest.mark.parametrize("make", MAKERS, ids=NAMES)
def test_who_takes_it_in_a_loop_lets_others_go_on(anywhere: Run, make: Callable[[], Any]) -> None:
    async def main() -> bool:
        one, came = make(), list[bool]()

        async def other() -> None:
            came.append(True)

        async with Scope() as scope:
            scope.spawn(other)
            while not came:
                async with one:
                    pass
        return True

    assert anywhere(main)


def test_who_waits_for_what_has_happened_in_a_loop_lets_others_go_on(anywhere: Run) -> None:
    async def main() -> bool:
        event, came = taskloom.Event(), list[bool]()
        event.set()

        async def other() -> None:
            came.append(True)

        async with Scope() as scope:
            scope.spawn(other)
            while not came:
                await event.wait()
        return True

    assert anywhere(main)


def test_who_sends_and_receives_in_a_loop_lets_others_go_on(anywhere: Run) -> None:
    async def main() -> bool:
        sender, receiver = taskloom.Channel[int](1).split()
        came: list[bool] = []

        async def other() -> None:
            came.append(True)

        async with Scope() as scope:
            scope.spawn(other)
            with sender, receiver:
                while not came:
                    await sender.send(1)
                    await receiver.receive()
        return True

    assert anywhere(main)


def test_who_asks_whether_to_give_way_lets_others_go_on(anywhere: Run) -> None:
    async def main() -> bool:
        came: list[bool] = []

        async def other() -> None:
            came.append(True)

        async with Scope() as scope:
            scope.spawn(other)
            while not came:
                await taskloom.maybe_yield(slice=0.001)
        return True

    assert anywhere(main)


def test_a_wait_that_lets_others_go_first_is_cancelled_meanwhile(anywhere: Run) -> None:
    async def main() -> tuple[bool, int]:
        channel = taskloom.Channel[int](1)
        sender, receiver = channel.split()

        async def cancel(limit: taskloom.CancelScope) -> None:
            limit.cancel()

        with sender, receiver, taskloom.CancelScope() as limit:
            async with Scope() as scope:
                scope.spawn(cancel, limit)
                while True:
                    await sender.send(1)
                    await receiver.receive()
        stats = channel.stats()
        return limit.cancelled_caught, stats.tasks_waiting_send + stats.tasks_waiting_receive

    assert anywhere(main) == (True, 0)
