"""Coroutines, locks and channels under a seeded executor, beside its tasks and on its clock."""

from __future__ import annotations

import pytest
import taskloom
from taskloom import Channel, Lock, Scope
from taskloom.testing import Deadlock, SeededExecutor, explore

SEEDS = range(20)


def test_children_of_a_scope_go_on_in_any_order() -> None:
    seen: set[tuple[int, ...]] = set()

    def programme(executor: SeededExecutor) -> None:
        done: list[int] = []

        async def child(number: int) -> None:
            done.append(number)

        async def main() -> None:
            async with Scope() as scope:
                for number in range(3):
                    scope.spawn(child, number)

        executor.run_coroutine(main)
        seen.add(tuple(done))

    explore(programme, seeds=range(100))
    assert len(seen) == 6


@pytest.mark.parametrize("seed", SEEDS)
def test_coroutines_and_tasks_share_a_lock(seed: int) -> None:
    lock, total = Lock(), 0
    with SeededExecutor(seed) as executor:

        def add() -> None:
            nonlocal total
            with lock:
                seen = total
                executor.clock.sleep(1)
                total = seen + 1

        async def add_too() -> None:
            nonlocal total
            async with lock:
                seen = total
                await taskloom.sleep(1)
                total = seen + 1

        futures = [executor.submit(add) for _ in range(3)]
        executor.run_coroutine(add_too)
        for future in futures:
            future.result()
        assert executor.clock.now() == 4
    assert total == 4


@pytest.mark.parametrize("seed", SEEDS)
def test_a_channel_leads_from_a_task_to_a_coroutine(seed: int) -> None:
    channel: Channel[int] = Channel(1)
    with SeededExecutor(seed) as executor:

        def produce() -> None:
            with channel.sender() as sender:
                for number in range(5):
                    sender.send_blocking(number)

        async def consume() -> list[int]:
            return [item async for item in channel.receiver()]

        executor.submit(produce)
        assert executor.run_coroutine(consume) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_blocking_wait_times_out_on_the_clock(seed: int) -> None:
    event = taskloom.Event()
    with SeededExecutor(seed) as executor:
        future = executor.submit(event.wait_blocking, 30)
        assert isinstance(future.exception(), TimeoutError)
        assert executor.clock.now() == 30


@pytest.mark.parametrize("seed", SEEDS)
def test_a_coroutine_awaits_a_task(seed: int) -> None:
    with SeededExecutor(seed) as executor:

        async def main() -> float:
            await executor.submit(executor.clock.sleep, 5)
            return executor.clock.now()

        assert executor.run_coroutine(main) == 5


@pytest.mark.parametrize("seed", SEEDS)
def test_a_task_that_waits_for_a_lock_can_be_cancelled(seed: int) -> None:
    lock = Lock()
    with SeededExecutor(seed) as executor, lock:
        future = executor.submit(lock.acquire_blocking)
        executor.run_until_idle()
        future.cancel()
        executor.run_until_idle()
        assert future.cancelled()


def test_two_locks_taken_crosswise_are_found_by_some_seed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def programme(executor: SeededExecutor) -> None:
        one, other = Lock(), Lock()

        def take(first: Lock, second: Lock) -> None:
            with first:
                executor.clock.sleep(0)
                with second:
                    pass

        futures = [executor.submit(take, one, other), executor.submit(take, other, one)]
        for future in futures:
            future.result()

    with pytest.raises(Deadlock):
        explore(programme)
    seed = int(capsys.readouterr().err.split("seed ")[1].split()[0])
    with pytest.raises(Deadlock):
        explore(programme, seeds=[seed])


def test_coroutines_that_wait_for_ever_are_told_of_and_ended() -> None:
    ended: list[str] = []

    async def main() -> None:
        try:
            await taskloom.Event().wait()
        finally:
            ended.append("main")

    with pytest.raises(Deadlock, match="1 coroutines wait"), SeededExecutor(1) as executor:
        executor.run_coroutine(main)
    assert ended == ["main"]


def test_a_thousand_seeds_explore_a_run_with_coroutines() -> None:
    def programme(executor: SeededExecutor) -> None:
        async def wait(number: int) -> int:
            await taskloom.sleep(number)
            return number

        graph = taskloom.Graph()
        nodes = [graph.add(wait, number) for number in range(4)]
        total = graph.add(sum, nodes)
        run = executor.start(graph)
        other = executor.submit(executor.clock.sleep, 2)
        assert run.result()[total] == 6
        other.result()

    found = explore(programme)
    assert found.seeds == 1000
    assert found.interleavings > 100
