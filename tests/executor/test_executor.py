"""The executor in the manners of `concurrent.futures`, and where it goes further."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import weakref
from collections.abc import Iterator

import pytest
import taskloom
from taskloom import Executor
from taskloom.errors import BrokenExecutor, OptionError, QueueFull


class Gate:
    """Tasks that wait inside until they are let go."""

    def __init__(self, executor: Executor, count: int = 1) -> None:
        self._opened = threading.Event()
        self._entered = threading.Semaphore(0)
        self.futures = [executor.submit(self._run) for _ in range(count)]

    def _run(self) -> None:
        self._entered.release()
        assert self._opened.wait(30)

    def wait_until_entered(self, count: int = 1) -> None:
        for _ in range(count):
            assert self._entered.acquire(timeout=10)

    def open(self) -> None:
        self._opened.set()


def test_is_a_thread_pool_executor() -> None:
    with Executor(1) as executor:
        assert isinstance(executor, concurrent.futures.ThreadPoolExecutor)


def test_serves_as_the_default_executor_of_a_loop() -> None:
    async def main() -> str:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(Executor(1, thread_name_prefix="mine"))
        return await asyncio.to_thread(lambda: threading.current_thread().name)

    assert asyncio.run(main()) == "mine_0"


def test_starts_a_thread_for_each_waiting_task_up_to_the_limit() -> None:
    with Executor(3) as executor:
        gate = Gate(executor, 9)
        assert len(executor._threads) == 3
        gate.open()


def test_reuses_an_idle_thread() -> None:
    with Executor(3) as executor:
        for number in range(3):
            assert executor.submit(abs, -number).result() == number
        assert len(executor._threads) == 1


def test_threads_have_names_and_indices() -> None:
    with Executor(2, thread_name_prefix="loom") as executor:
        gate = Gate(executor, 2)
        assert {thread.name for thread in executor._threads} == {"loom_0", "loom_1"}
        gate.open()
        assert executor.submit(taskloom.worker_index).result() in (0, 1)
        assert executor.submit(taskloom.worker_count).result() == 2
    assert taskloom.worker_index() is None
    assert taskloom.worker_count() is None


def test_one_worker_keeps_the_order_of_submission() -> None:
    order: list[int] = []
    with Executor(1) as executor:
        gate = Gate(executor)
        for number in range(1000):
            executor.submit(order.append, number)
        gate.open()
    assert order == list(range(1000))


def test_shutdown_finishes_what_was_submitted_and_takes_no_more() -> None:
    executor = Executor(2)
    futures = [executor.submit(abs, number) for number in range(100)]
    executor.shutdown()
    assert all(future.done() for future in futures)
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(int)
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit_many(int, ["1"])
    executor.shutdown()


def test_shutdown_can_cancel_what_was_not_started() -> None:
    executor = Executor(1)
    gate = Gate(executor)
    gate.wait_until_entered()
    queued = [executor.submit(int) for _ in range(10)]
    executor.shutdown(wait=False, cancel_futures=True)
    assert all(future.cancelled() for future in queued)
    gate.open()
    executor.shutdown(wait=True)
    assert not gate.futures[0].cancelled()


@pytest.mark.parametrize("initializer", [None, int])
def test_dropped_executor_lets_its_threads_go(initializer: type[int] | None) -> None:
    executor = Executor(2, initializer=initializer)
    assert list(executor.map(abs, [-1, -2])) == [1, 2]
    threads = executor._threads
    reference = weakref.ref(executor)
    del executor
    assert reference() is None
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


def test_failing_initializer_breaks_the_executor(caplog: pytest.LogCaptureFixture) -> None:
    executor = Executor(1, initializer=int, initargs=("x",))
    future = executor.submit(int)
    with pytest.raises(concurrent.futures.BrokenExecutor):
        future.result(10)
    with pytest.raises(BrokenExecutor, match="initializer"):
        executor.submit(int)
    assert "Exception in initializer" in caplog.text
    executor.shutdown()


def test_initializer_runs_once_in_each_worker() -> None:
    local = threading.local()

    def prepare(value: int) -> None:
        local.value = getattr(local, "value", 0) + value

    with Executor(2, initializer=prepare, initargs=(5,)) as executor:
        assert set(executor.map(lambda _: local.value, range(20))) == {5}


def test_inline_and_initializer_exclude_each_other() -> None:
    with pytest.raises(OptionError, match="inline"):
        Executor(1, inline=True, initializer=int)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"max_workers": 0}, ValueError),
        ({"max_workers": -1}, ValueError),
        ({"initializer": 5}, TypeError),
        ({"max_queue_depth": 0}, ValueError),
        ({"when_full": "explode"}, ValueError),
        ({"exit_timeout": -1.0}, ValueError),
        ({"max_worker": 1}, TypeError),
    ],
)
def test_values_that_make_no_sense_are_refused(options: dict, error: type) -> None:
    with pytest.raises(error):
        Executor(**options)


def test_submit_needs_a_function() -> None:
    with Executor(1) as executor, pytest.raises(TypeError, match="function"):
        executor.submit()  # type: ignore[call-arg]


def test_full_queue_rejects_when_told_so() -> None:
    with Executor(1, max_queue_depth=2, when_full="reject") as executor:
        gate = Gate(executor)
        gate.wait_until_entered()
        queued = [executor.submit(int) for _ in range(2)]
        with pytest.raises(QueueFull, match="max_queue_depth=2"):
            executor.submit(int)
        gate.open()
        assert [future.result(10) for future in queued] == [0, 0]


def test_full_queue_blocks_until_there_is_room() -> None:
    with Executor(1, max_queue_depth=4) as executor:
        assert [f.result() for f in [executor.submit(abs, -n) for n in range(2000)]] == list(
            range(2000)
        )
        assert [f.result() for f in executor.submit_many(abs, range(2000))] == list(range(2000))


def test_full_queue_raises_where_an_event_loop_runs() -> None:
    async def main() -> None:
        with Executor(1, max_queue_depth=1) as executor:
            gate = Gate(executor)
            gate.wait_until_entered()
            executor.submit(int)
            with pytest.raises(QueueFull, match="event loop"):
                executor.submit(int)
            gate.open()

    asyncio.run(main())


def test_full_queue_never_blocks_a_worker() -> None:
    with Executor(1, max_queue_depth=1) as executor:

        def outer() -> int:
            return sum(f.result() for f in [executor.submit(int, "1") for _ in range(50)])

        assert executor.submit(outer).result(10) == 50


def test_submit_many_is_one_submit_for_each_item() -> None:
    with Executor(2) as executor:
        futures = executor.submit_many(lambda n: n * n, range(100))
        assert [future.result() for future in futures] == [n * n for n in range(100)]
        failed = executor.submit_many(int, ["1", "x"])
        assert failed[0].result() == 1
        with pytest.raises(ValueError, match="invalid literal"):
            failed[1].result()


def test_map_yields_in_order() -> None:
    with Executor(2) as executor:
        assert list(executor.map(pow, range(10), [2] * 10)) == [n * n for n in range(10)]
        assert list(executor.map(abs, range(-7, 0), chunksize=3)) == [7, 6, 5, 4, 3, 2, 1]


def test_map_reads_lazily_with_a_buffer() -> None:
    with Executor(1) as executor:
        read: list[int] = []

        def numbers() -> Iterator[int]:
            for number in range(10):
                read.append(number)
                yield number

        results = executor.map(abs, numbers(), buffersize=2)
        assert read == [0, 1]
        assert next(results) == 0
        assert read == [0, 1, 2]
        assert list(results) == list(range(1, 10))


def test_map_times_out_from_its_call() -> None:
    with Executor(1) as executor:
        gate = Gate(executor)
        with pytest.raises(TimeoutError):
            next(executor.map(abs, [1], timeout=0))
        gate.open()


def test_map_cancels_what_is_left_after_an_error() -> None:
    with Executor(1) as executor, pytest.raises(ZeroDivisionError):
        list(executor.map(lambda n: 1 // n, range(3)))


@pytest.mark.parametrize("options", [{"chunksize": 0}, {"buffersize": 0}])
def test_map_refuses_sizes_below_one(options: dict) -> None:
    with Executor(1) as executor, pytest.raises(ValueError, match="size"):
        executor.map(abs, [1], **options)


def test_default_executor_is_shared_and_replaced_after_shutdown() -> None:
    first = taskloom.default_executor()
    assert taskloom.default_executor() is first
    first.shutdown()
    assert taskloom.default_executor().submit(int).result() == 0
