"""The seeded executor: repeatable orders, true suspension, virtual time, and what it refuses."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars

import pytest
import taskloom
from taskloom.errors import OptionError
from taskloom.testing import Deadlock, Explored, SeededExecutor, VirtualClock, explore


def order_of(seed: int) -> list[str]:
    """The steps of three tasks that wait for each other and for the clock."""
    steps: list[str] = []
    with SeededExecutor(seed) as executor:

        def task(name: str) -> None:
            steps.append(f"{name} begins")
            executor.submit(steps.append, f"{name} inner").result()
            executor.clock.sleep(1)
            steps.append(f"{name} ends")

        concurrent.futures.wait(executor.submit_many(task, "abc"))
    return steps


def test_same_seed_gives_the_same_interleaving() -> None:
    for seed in range(20):
        assert order_of(seed) == order_of(seed)


def test_seeds_give_many_interleavings() -> None:
    assert len({tuple(order_of(seed)) for seed in range(50)}) > 40


def test_all_orders_of_three_tasks_are_found() -> None:
    orders = set()

    def programme(executor: SeededExecutor) -> None:
        done: list[int] = []
        executor.submit_many(done.append, range(3))
        executor.run_until_idle()
        orders.add(tuple(done))

    assert explore(programme, seeds=range(100)) == Explored(seeds=100, interleavings=6)
    assert len(orders) == 6


def test_nothing_runs_before_somebody_waits() -> None:
    done: list[int] = []
    with SeededExecutor(1) as executor:
        future = executor.submit(done.append, 1)
        assert (done, future.done(), executor.queue_depth) == ([], False, 1)
        executor.run_until_idle()
        assert (done, future.done(), executor.queue_depth) == ([1], True, 0)


def test_sleeps_end_in_the_order_of_their_times_under_every_seed() -> None:
    def programme(executor: SeededExecutor) -> None:
        woken: list[tuple[float, int]] = []

        def task(seconds: int) -> None:
            executor.clock.sleep(seconds)
            woken.append((executor.clock.now(), seconds))

        for future in executor.submit_many(task, [3, 1, 2]):
            future.result()
        assert woken == [(1.0, 1), (2.0, 2), (3.0, 3)]

    explore(programme, seeds=range(50))


def test_task_can_wait_for_one_that_waits_itself() -> None:
    """Run on the stack of a waiter, the second would hang under the first."""

    def programme(executor: SeededExecutor) -> None:
        first = executor.submit(executor.clock.sleep, 5)
        second = executor.submit(first.result)
        third = executor.submit(lambda: (executor.clock.sleep(1), second.result()))
        assert third.result() == (None, None)
        assert executor.clock.now() == 5

    explore(programme, seeds=range(50))


def test_wait_times_out_on_the_clock() -> None:
    with SeededExecutor(1) as executor:
        future = executor.submit(executor.clock.sleep, 10)
        with pytest.raises(TimeoutError):
            future.result(timeout=3)
        assert executor.clock.now() == 3
        assert future.result(timeout=7) is None


def test_advance_runs_what_is_due_at_its_own_time() -> None:
    with SeededExecutor(1) as executor:
        times: list[float] = []

        def ticker() -> None:
            for _ in range(5):
                executor.clock.sleep(2)
                times.append(executor.clock.now())

        executor.submit(ticker)
        executor.clock.advance(5)
        assert times == [2, 4]
    assert times == [2, 4, 6, 8, 10]


def test_lost_update_is_found_and_its_seed_repeats_it(capsys: pytest.CaptureFixture[str]) -> None:
    def programme(executor: SeededExecutor) -> None:
        account = {"balance": 0}

        def deposit() -> None:
            seen = account["balance"]
            executor.clock.sleep(0)
            executor.submit(int).result()
            account["balance"] = seen + 1

        futures = [executor.submit(deposit) for _ in range(2)]
        concurrent.futures.wait(futures)
        assert account["balance"] == 2

    with pytest.raises(AssertionError) as caught:
        explore(programme, seeds=range(1000))
    (note,) = caught.value.__notes__
    assert note in capsys.readouterr().err
    seed = int(note.split()[1])
    with pytest.raises(AssertionError):
        explore(programme, seeds=[seed])


def test_standard_waits_let_tasks_go_on() -> None:
    with SeededExecutor(1) as executor:
        futures = executor.submit_many(abs, range(5))
        assert not concurrent.futures.wait(futures).not_done
        again = executor.submit_many(abs, range(5))
        completed = [future.result() for future in concurrent.futures.as_completed(again)]
        assert sorted(completed) == list(range(5))
        slow = executor.submit(executor.clock.sleep, 10)
        assert concurrent.futures.wait([slow], timeout=1).not_done == {slow}


def test_future_can_be_awaited() -> None:
    async def main() -> int:
        with SeededExecutor(1) as executor:
            return await executor.submit(int, "7")

    assert asyncio.run(main()) == 7


def result_of(futures: list[concurrent.futures.Future[None]], index: int) -> None:
    futures[index].result()


def test_deadlock_says_who_waits_for_what() -> None:
    with SeededExecutor(1) as executor:
        both: list[concurrent.futures.Future[None]] = []
        both.append(executor.options(name="first").submit(result_of, both, 1))
        both.append(executor.options(name="second").submit(result_of, both, 0))
        with pytest.raises(Deadlock) as caught:
            both[0].result()
    assert "first waits for second" in str(caught.value)
    assert "second waits for first" in str(caught.value)
    assert both[0].cancelled()


def wait_for_itself(executor: SeededExecutor) -> None:
    futures: list[concurrent.futures.Future[None]] = []
    futures.append(executor.submit(result_of, futures, 0))


def test_deadlock_that_nobody_saw_is_raised_at_the_end() -> None:
    with pytest.raises(Deadlock), SeededExecutor(1) as executor:
        wait_for_itself(executor)


def test_error_of_the_body_is_not_hidden_by_a_deadlock() -> None:
    def programme() -> None:
        with SeededExecutor(1) as executor:
            wait_for_itself(executor)
            raise KeyError

    with pytest.raises(KeyError):
        programme()


def test_errors_and_cancellation_are_as_of_a_real_executor() -> None:
    with SeededExecutor(1) as executor:
        failed, cancelled = executor.submit(int, "x"), executor.submit(int)
        assert cancelled.cancel()
        assert isinstance(failed.exception(), ValueError)
        with pytest.raises(concurrent.futures.CancelledError):
            cancelled.result()
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(int)


def test_shutdown_can_cancel_what_was_not_begun() -> None:
    executor = SeededExecutor(1)
    futures = executor.submit_many(abs, range(5))
    executor.shutdown(cancel_futures=True)
    assert all(future.cancelled() for future in futures)


def test_map_yields_in_order_and_reads_lazily_with_a_buffer() -> None:
    with SeededExecutor(1) as executor:
        read: list[int] = []
        numbers = (read.append(n) or n for n in range(6))
        results = executor.map(lambda n: n * n, numbers, buffersize=2)
        assert read == [0, 1]
        assert list(results) == [0, 1, 4, 9, 16, 25]


def test_prerequisites_go_first_under_every_seed() -> None:
    def programme(executor: SeededExecutor) -> None:
        done: list[int] = []
        first = executor.submit(done.append, 1)
        second = executor.options(after=[first]).submit(done.append, 2)
        executor.options(after=[second]).submit(done.append, 3).result()
        assert done == [1, 2, 3]

    explore(programme, seeds=range(30))


def test_tasks_have_the_context_of_their_submit() -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)
    with SeededExecutor(1) as executor:
        token = variable.set(5)
        future = executor.submit(variable.get)
        variable.reset(token)
        assert future.result() == 5


def test_graphs_run_as_on_a_real_executor() -> None:
    graph = taskloom.Graph()
    total = graph.add(sum, [graph.add(int, "1"), graph.add(int, "2")])
    bad = graph.add(int, "x")
    with SeededExecutor(1) as executor:
        run = executor.run(graph, check=False)
        assert run[total] == 3
        with pytest.raises(taskloom.errors.RunFailed):
            executor.start(graph).result()
    assert set(run.exceptions()) == {bad}


def test_option_that_needs_a_real_executor_is_refused() -> None:
    executor = SeededExecutor(1)
    with pytest.raises(OptionError, match="cannot obey 'place'"):
        executor.options(place="process")
    with pytest.raises(OptionError, match="cannot obey 'place'"):
        executor.submit(taskloom.task(int, place="process"))


def test_task_cannot_wait_until_all_are_idle() -> None:
    with SeededExecutor(1) as executor:
        future = executor.submit(executor.run_until_idle)
        with pytest.raises(RuntimeError, match="one of them"):
            future.result()


def test_clock_refuses_to_go_back() -> None:
    with pytest.raises(ValueError, match="0 or more"):
        VirtualClock().sleep(-1)
