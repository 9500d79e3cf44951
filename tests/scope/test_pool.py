"""Coroutines on the workers of a pool."""

# ruff: noqa: PT012 - what raises is often a whole scope

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
import taskloom
from taskloom import Channel, Executor, Scope, current_time, sleep, yield_now
from taskloom.scope.coroutines import run_seeded


def test_a_coroutine_stays_on_the_worker_of_its_first_step() -> None:
    async def where() -> set[int]:
        threads = set()
        for n in range(20):
            threads.add(threading.get_ident())
            await (yield_now() if n % 2 else sleep(0))
        return threads

    async def main() -> list[set[int]]:
        async with Scope() as scope:
            futures = [scope.spawn(where) for _ in range(50)]
        return [future.result() for future in futures]

    with Executor(4) as executor:
        seen = executor.run_coroutine(main)
    assert all(len(threads) == 1 for threads in seen)
    assert threading.get_ident() not in set.union(*seen)


def test_a_worker_that_blocks_passes_its_coroutines_on() -> None:
    blocked, release = threading.Event(), threading.Event()

    async def waits_then_releases(receiver: taskloom.Receiver[None]) -> None:
        with receiver:
            await receiver.receive()
        release.set()

    def blocks(sender: taskloom.Sender[None], done: taskloom.Receiver[None]) -> None:
        blocked.set()
        with sender, done:
            sender.send_nowait(None)  # wakes the coroutine, which belongs to this very worker
            with pytest.raises(taskloom.errors.EndOfStream):
                done.receive_blocking()

    sender, receiver = Channel[None](1).split()
    finish, done = Channel[None](1).split()
    with Executor(1) as executor, Scope(executor) as scope:
        scope.spawn(waits_then_releases, receiver)
        while not receiver.stats().tasks_waiting_receive:
            time.sleep(0)
        scope.spawn(blocks, sender, done)
        blocked.wait()
        release.wait()
        finish.close()


def test_a_coroutine_goes_on_while_its_worker_is_at_a_function_that_takes_long() -> None:
    def work(started: taskloom.Event, go: threading.Event) -> None:
        started.set()
        limit = time.monotonic() + 30
        while not go.is_set():
            if time.monotonic() > limit:
                raise TimeoutError("the coroutine that would end this did not go on")

    async def main() -> None:
        started, go = taskloom.Event(), threading.Event()
        async with Scope(executor) as scope:
            scope.spawn(work, started, go)
            await started.wait()
            go.set()

    with Executor(2) as executor:
        for _ in range(10):
            executor.run_coroutine(main)


def test_a_coroutine_can_cancel_the_function_that_it_has_spawned() -> None:
    def work() -> None:
        while True:
            taskloom.checkpoint()

    async def main() -> bool:
        async with Scope(executor) as scope:
            with taskloom.move_on_after(0.01):
                await sleep(60)
            future = scope.spawn(work)
            await sleep(0.01)
            scope.cancel()
        return future.cancelled()

    with Executor(2) as executor:
        assert all(executor.run_coroutine(main) for _ in range(5))


def test_a_scope_of_plain_code_runs_coroutines_on_its_executor() -> None:
    async def double(n: int) -> int:
        await sleep(0.001)
        return 2 * n

    with Executor(2) as executor, Scope(executor) as scope:
        futures = [scope.spawn(double, n) for n in range(10)]
    assert [future.result() for future in futures] == [2 * n for n in range(10)]


def test_closing_an_executor_lets_its_coroutines_end() -> None:
    log = []

    async def slow() -> None:
        await sleep(0.01)
        log.append("ended")

    with Executor(2) as executor:
        home = taskloom._taskloom.pool_home(executor)
        ended = threading.Event()
        home.spawn(slow, (), None, taskloom._taskloom.Token(), None, lambda *_: ended.set(), None)
    assert log == ["ended"]
    assert ended.is_set()


def test_ten_thousand_sleepers_cost_no_thread() -> None:
    async def main() -> int:
        async with Scope() as scope:
            for _ in range(10_000):
                scope.spawn(sleep_until, current_time() + 0.2)
            return threading.active_count()

    async def sleep_until(at: float) -> None:
        await sleep(at - current_time())

    before = threading.active_count()
    with Executor(2) as executor:
        assert executor.run_coroutine(main) <= before + 3


def test_channels_between_coroutines_of_several_workers_lose_nothing() -> None:
    channel = Channel[int](8)

    async def produce(sender: taskloom.Sender[int]) -> None:
        for n in range(500):
            await sender.send(n)
            if n % 50 == 0:
                await sleep(0)

    async def consume(receiver: taskloom.Receiver[int]) -> int:
        total = 0
        async for n in receiver:
            total += n
            if n % 70 == 0:
                await sleep(0)
        return total

    with Executor(4) as executor, Scope(executor) as scope:
        totals = scope.consume(channel, consume, 4)
        scope.produce(channel, produce, 4)
    assert sum(future.result() for future in totals) == 4 * sum(range(500))


def test_running_a_coroutine_from_a_coroutine_is_refused() -> None:
    async def main() -> None:
        taskloom.run_coroutine(sleep_briefly)

    async def sleep_briefly() -> None:
        await sleep(0)

    with pytest.raises(RuntimeError, match="coroutine already"):
        taskloom.run_coroutine(main)


def test_a_traceback_shows_the_users_frames() -> None:
    async def fail() -> None:
        await sleep(0)
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine") as caught:
        taskloom.run_coroutine(fail)
    names = [entry.name for entry in caught.traceback]
    assert names[-1] == "fail"
    assert "send" not in names


def test_a_migrating_coroutine_may_move_between_workers() -> None:
    async def many_steps() -> int:
        for _ in range(50):
            await sleep(0)
        return 50

    with Executor(2) as executor, Scope(executor) as scope:
        futures = [scope.options(migrate=True).spawn(many_steps) for _ in range(5)]
    assert [future.result() for future in futures] == [50] * 5


def test_a_coroutine_that_holds_its_worker_too_long_is_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def greedy() -> None:
        until = time.monotonic() + 0.15
        while time.monotonic() < until:
            pass

    with Executor(1) as executor:
        executor.run_coroutine(greedy)
    assert "greedy held worker 0 for" in caplog.text


def test_functions_take_the_options_of_the_executor() -> None:
    attempts = []

    def flaky() -> str:
        attempts.append(1)
        if len(attempts) < 3:
            raise OSError("not yet")
        return "done"

    with Executor(1) as executor, Scope(executor) as scope:
        future = scope.options(retry=3, name="flaky").spawn(flaky)
        process = scope.options(place="process").spawn(pow, 2, 10)
    assert (future.result(), process.result()) == ("done", 1024)


def test_a_failed_function_with_options_cancels_the_scope() -> None:
    with pytest.raises(ExceptionGroup) as caught, Scope() as scope:
        scope.options(name="fails").spawn(int, "x")
        scope.spawn(taskloom.sleep_forever)
    assert [type(error) for error in caught.value.exceptions] == [ValueError]


def test_an_unknown_option_is_refused_where_it_is_given() -> None:
    with Scope() as scope, pytest.raises(taskloom.errors.OptionError, match="timeout"):
        scope.options(timeuot=3)


def test_maybe_yield_gives_way_only_when_the_slice_is_over() -> None:
    async def main(slice: float) -> list[str]:
        log = []

        async def other() -> None:
            log.append("other")

        async with Scope() as scope:
            scope.spawn(other)
            await taskloom.maybe_yield(slice=slice)
            log.append("went on")
        return log

    assert run_seeded(main, 60) == ["went on", "other"]
    assert run_seeded(main, 0) == ["other", "went on"]


def test_a_coroutine_can_be_stolen_before_its_first_step() -> None:
    barrier = threading.Barrier(2)

    async def meet() -> int:
        barrier.wait(timeout=20)
        return threading.get_ident()

    async def main() -> set[int]:
        async with Scope() as scope:
            futures = [scope.spawn(meet) for _ in range(2)]
        return {future.result() for future in futures}

    with Executor(2) as executor:
        assert len(executor.run_coroutine(main)) == 2


def test_a_coroutines_task_knows_itself() -> None:
    async def child() -> object:
        return taskloom.current_task()

    async def main() -> bool:
        async with Scope() as scope:
            future = scope.spawn(child)
        current: Any = future.result()
        return current.future is future

    assert taskloom.run_coroutine(main)


def test_a_scope_gives_limits_to_a_part_of_its_body() -> None:
    async def main() -> list[bool]:
        async with Scope() as scope:
            with scope.move_on_after(0.001) as limit:
                await taskloom.sleep_forever()
            with pytest.raises(TimeoutError), scope.fail_after(0.001):
                await taskloom.sleep_forever()
            return [limit.cancelled_caught, scope.cancelled]

    assert taskloom.run_coroutine(main) == [True, False]


def test_a_function_in_a_scope_knows_itself_by_its_own_name() -> None:
    def work() -> str:
        task = taskloom.current_task()
        assert task is not None
        return task.name

    def main() -> list[str]:
        with Scope() as scope:
            futures = [view.spawn(work) for view in (scope, scope.options(timeout=60))]
        return [future.result() for future in futures]

    own = test_a_function_in_a_scope_knows_itself_by_its_own_name.__name__ + ".<locals>.work"
    assert main() == [own, own]
