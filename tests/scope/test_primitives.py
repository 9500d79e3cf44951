"""Locks and their kin, between coroutines on virtual time and between threads."""

# ruff: noqa: PT018

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import taskloom
from taskloom import (
    CapacityLimiter,
    Condition,
    Event,
    Lock,
    Scope,
    Semaphore,
    current_time,
    move_on_after,
    sleep,
)
from taskloom.errors import WouldBlock

Run = Callable[..., Any]


def test_an_event_lets_all_go_on_who_wait_and_who_come_later(run: Run) -> None:
    async def main() -> list[float]:
        event = Event()

        async def wait(before: float) -> float:
            await sleep(before)
            await event.wait()
            return current_time()

        async with Scope() as scope:
            futures = [scope.spawn(wait, n) for n in (0, 1, 5)]
            await sleep(3)
            event.set()
        return [future.result() for future in futures]

    assert run(main) == [3, 3, 5]


def test_a_lock_admits_one_at_a_time_first_come_first_served(run: Run) -> None:
    order: list[int] = []

    async def use(lock: Lock, n: int) -> None:
        await sleep(n)
        async with lock:
            order.append(n)
            await sleep(10)
            assert order[-1] == n

    async def main() -> None:
        lock = Lock()
        async with Scope() as scope:
            for n in range(5):
                scope.spawn(use, lock, n)
        assert not lock.locked() and lock.stats().waiting == 0

    run(main)
    assert order == [0, 1, 2, 3, 4]


def test_a_cancelled_wait_for_a_lock_passes_it_on(run: Run) -> None:
    async def main() -> float:
        lock = Lock()

        async def impatient() -> None:
            with move_on_after(1):
                async with lock:
                    raise AssertionError("got the lock")

        async def patient() -> float:
            await sleep(0.5)
            async with lock:
                return current_time()

        async with Scope() as scope, lock:
            scope.spawn(impatient)
            future = scope.spawn(patient)
            await sleep(2)
        return future.result()

    assert run(main) == 2


def test_a_lock_cannot_be_taken_twice_nor_released_by_another(run: Run) -> None:
    async def main() -> None:
        lock = Lock()
        await lock.acquire()
        with pytest.raises(RuntimeError, match="holds this lock already"):
            await lock.acquire()

        async def other() -> None:
            with pytest.raises(RuntimeError, match="may release"):
                lock.release()
            with pytest.raises(WouldBlock):
                lock.acquire_nowait()

        async with Scope() as scope:
            scope.spawn(other)
        lock.release()

    run(main)


def test_a_semaphore_admits_so_many(run: Run) -> None:
    inside = peak = 0

    async def use(semaphore: Semaphore) -> None:
        nonlocal inside, peak
        async with semaphore:
            inside += 1
            peak = max(peak, inside)
            await sleep(1)
            inside -= 1

    async def main() -> float:
        semaphore = Semaphore(3)
        async with Scope() as scope:
            for _ in range(9):
                scope.spawn(use, semaphore)
        return current_time()

    assert run(main) == 3
    assert peak == 3


def test_a_semaphore_refuses_to_grow_beyond_its_maximum() -> None:
    semaphore = Semaphore(1, max_value=1)
    with pytest.raises(ValueError, match="released more often"):
        semaphore.release()


def test_a_limiter_whose_total_is_raised_admits_those_who_wait(run: Run) -> None:
    async def use(limiter: CapacityLimiter) -> float:
        async with limiter:
            await sleep(10)
        return current_time()

    async def main() -> list[float]:
        limiter = CapacityLimiter(1)
        async with Scope() as scope:
            futures = [scope.spawn(use, limiter) for _ in range(3)]
            await sleep(1)
            limiter.total_tokens = 3
        return sorted(future.result() for future in futures)

    assert run(main) == [10, 11, 11]


def test_a_condition_wakes_as_many_as_it_is_told(run: Run) -> None:
    woken: list[int] = []

    async def wait(condition: Condition, n: int) -> None:
        await sleep(n)
        async with condition:
            await condition.wait()
            woken.append(n)

    async def main() -> None:
        condition = Condition()
        async with Scope() as scope:
            for n in range(4):
                scope.spawn(wait, condition, n)
            await sleep(10)
            async with condition:
                condition.notify(2)
            await sleep(1)
            assert sorted(woken) == [0, 1]
            async with condition:
                condition.notify_all()

    run(main)
    assert sorted(woken) == [0, 1, 2, 3]


def test_a_cancelled_condition_wait_holds_the_lock_again(run: Run) -> None:
    async def main() -> None:
        condition = Condition()
        async with condition:
            with move_on_after(1):
                await condition.wait()
            condition.notify_all()  # raises without the lock

    run(main)


def test_threads_and_coroutines_share_a_lock() -> None:
    counter = 0
    lock = Lock()

    def in_thread() -> None:
        nonlocal counter
        for _ in range(200):
            with lock:
                counter += 1

    async def in_coroutine() -> None:
        nonlocal counter
        for _ in range(200):
            async with lock:
                value = counter
                await taskloom.yield_now()
                counter = value + 1

    async def main() -> None:
        async with Scope() as scope:
            scope.spawn(in_thread)
            scope.spawn(in_coroutine)
            scope.spawn(in_thread)

    taskloom.run_coroutine(main)
    assert counter == 600


def test_a_blocking_wait_gives_up_after_its_timeout() -> None:
    with pytest.raises(TimeoutError):
        Event().wait_blocking(timeout=0.001)
    semaphore = Semaphore(0)
    with pytest.raises(TimeoutError):
        semaphore.acquire_blocking(timeout=0.001)
    assert semaphore.stats().waiting == 0


def test_many_may_give_up_at_once() -> None:
    # Each leaves the queue by itself: it may not have to be looked for among all the others.
    count = 20_000

    async def main() -> int:
        event = Event()
        async with Scope() as scope:
            for _ in range(count):
                scope.spawn(event.wait)
            while event.stats().waiting < count:
                await sleep(0.001)
            scope.cancel()
        return event.stats().waiting

    assert taskloom.run_coroutine(main) == 0


def test_a_borrower_that_waits_for_a_token_cannot_wait_for_another(run: Run) -> None:
    async def main() -> tuple[int, int]:
        limiter = taskloom.CapacityLimiter(1)
        await limiter.acquire(on_behalf_of="first")
        async with taskloom.Scope() as scope:

            async def borrow() -> None:
                await limiter.acquire(on_behalf_of="second")

            scope.spawn(borrow)
            await taskloom.sleep(1)
            with pytest.raises(RuntimeError, match="waits for one of the limiter's tokens"):
                await limiter.acquire(on_behalf_of="second")
            limiter.release(on_behalf_of="first")
            with pytest.raises(RuntimeError, match="already"):
                limiter.acquire_nowait(on_behalf_of="second")
        limiter.release(on_behalf_of="second")
        return limiter.borrowed_tokens, limiter.stats().waiting

    assert run(main) == (0, 0)
