"""Live runs: started, shared between threads, waited for, awaited, cancelled, interrupted."""

from __future__ import annotations

import _thread
import asyncio
import concurrent.futures
import contextvars
import gc
import subprocess
import sys
import textwrap
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
import taskloom


@pytest.fixture
def executor() -> Iterator[taskloom.Executor]:
    with taskloom.Executor(2) as executor:
        yield executor


class Gate:
    """A node that says when it runs and then waits to be let through."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()

    def __call__(self, *_: object) -> str:
        self.reached.set()
        assert self.opened.wait(60)
        return threading.current_thread().name


def test_a_started_run_goes_on_beside_its_caller(executor: taskloom.Executor) -> None:
    gate = Gate()
    g = taskloom.Graph()
    first = g.add(gate)
    last = g.add(str.upper, first)
    run = executor.start(g)
    assert gate.reached.wait(60)
    assert (run.status, run.done(), run.ok) == ("running", False, False)
    assert run.wait(timeout=0) is False
    with pytest.raises(TimeoutError):
        run.result(timeout=0)
    gate.opened.set()
    assert run.result() is run
    assert (run.status, run.done(), run.ok) == ("done", True, True)
    assert run[last] != threading.current_thread().name.upper()


def test_asking_a_live_run_for_a_value_waits_for_it(executor: taskloom.Executor) -> None:
    gate = Gate()
    g = taskloom.Graph()
    node = g.add(gate)
    run = executor.start(g)
    assert gate.reached.wait(60)
    opener = threading.Thread(target=gate.opened.set)
    opener.start()
    assert run[node]
    opener.join()


@pytest.mark.parametrize("mode", ["serial", "parallel"])
def test_nodes_run_side_by_side_only_in_parallel_mode(
    executor: taskloom.Executor, mode: Any
) -> None:
    barrier = threading.Barrier(2)

    def meet() -> bool:
        try:
            barrier.wait(60 if mode == "parallel" else 0.01)
        except threading.BrokenBarrierError:
            return False
        return True

    g = taskloom.Graph()
    nodes = [g.add(meet), g.add(meet)]
    run = executor.run(g, mode=mode)
    assert [run[node] for node in nodes] == [mode == "parallel"] * 2


def test_every_worker_and_the_caller_take_part() -> None:
    barrier = threading.Barrier(4)
    g = taskloom.Graph()
    source = g.add(int)
    for _ in range(4):
        g.add(lambda _: barrier.wait(60), source)
    with taskloom.Executor(3) as executor:
        assert executor.run(g).ok


def test_work_that_comes_up_later_still_finds_everybody() -> None:
    barrier = threading.Barrier(3)
    g = taskloom.Graph()
    layer = g.add(int)
    for _ in range(20):
        meeting = [g.add(lambda _: barrier.wait(60), layer) for _ in range(3)]
        layer = g.add(lambda *_: 0, *meeting)
    with taskloom.Executor(2) as executor:
        assert executor.run(g).ok
        assert executor.run(g).ok


def test_a_started_serial_run_stays_on_one_worker(executor: taskloom.Executor) -> None:
    g = taskloom.Graph()
    nodes = [g.add(threading.get_ident) for _ in range(50)]
    run = executor.start(g.compile(), mode="serial").result()
    threads = {run[node] for node in nodes}
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_an_unknown_mode_is_refused(executor: taskloom.Executor) -> None:
    with pytest.raises(taskloom.errors.OptionError, match="'serial'"):
        executor.run(taskloom.Graph(), mode="paralel")  # type: ignore[arg-type]


def test_only_graphs_and_plans_run(executor: taskloom.Executor) -> None:
    with pytest.raises(TypeError, match="only a graph or a plan"):
        executor.run(3)  # type: ignore[arg-type]


def test_a_closed_executor_runs_nothing() -> None:
    executor = taskloom.Executor(1)
    executor.shutdown()
    for refused in (executor.run, executor.start):
        with pytest.raises(RuntimeError, match="after shutdown"):
            refused(taskloom.Graph())


def test_shutdown_waits_for_a_started_run_even_when_it_cancels_what_is_queued() -> None:
    gate = Gate()
    g = taskloom.Graph()
    last = g.add(gate)
    for _ in range(100):
        last = g.add(lambda x: x, last)
    executor = taskloom.Executor(2)
    run = executor.start(g)
    assert gate.reached.wait(60)
    executor.shutdown(wait=False, cancel_futures=True)
    gate.opened.set()
    executor.shutdown(wait=True)
    assert run.done()
    assert run.ok


def test_cancel_leaves_what_runs_and_starts_nothing_more(executor: taskloom.Executor) -> None:
    gate = Gate()
    g = taskloom.Graph()
    first = g.add(gate)
    second = g.add(str, first)
    run = executor.start(g)
    assert gate.reached.wait(60)
    assert run.cancel()
    gate.opened.set()
    assert run.wait(60)
    assert run.status == "cancelled"
    assert run.why(first).status == "done"
    assert run.why(second).status == "cancelled"
    assert not run.cancel()
    with pytest.raises(concurrent.futures.CancelledError, match="1 of 2 nodes did not run"):
        run.result()
    with pytest.raises(concurrent.futures.CancelledError, match="before its end"):
        run[second]


def test_a_node_can_cancel_its_own_run(executor: taskloom.Executor) -> None:
    box: list[taskloom.Run] = []
    ready = threading.Event()
    g = taskloom.Graph()

    def cancel() -> bool:
        assert ready.wait(60)
        return box[0].cancel()

    first = g.add(cancel)
    second = g.add(str, first)
    box.append(executor.start(g))
    ready.set()
    assert box[0].wait(60)
    assert [box[0].why(node).status for node in (first, second)] == ["done", "cancelled"]


def test_a_node_that_waits_for_its_own_run_is_told_so(executor: taskloom.Executor) -> None:
    box: list[taskloom.Run] = []
    ready = threading.Event()
    g = taskloom.Graph()

    def wait() -> None:
        assert ready.wait(60)
        box[0].wait()

    node = g.add(wait)
    box.append(executor.start(g))
    ready.set()
    error = box[0].exceptions(60)[node]
    assert isinstance(error, RuntimeError)
    assert "waits for the run that it is part of" in str(error)


def test_nodes_may_run_plans_on_the_executor_that_runs_them() -> None:
    inner = taskloom.Graph()
    leaf = inner.add(sum, [inner.add(int, str(n)) for n in range(10)])
    plan = inner.compile()
    with taskloom.Executor(1) as executor:
        outer = taskloom.Graph()
        ran = outer.add(lambda: executor.run(plan)[leaf])
        started = outer.add(lambda: executor.start(plan).result()[leaf])
        submitted = outer.add(lambda: executor.submit(pow, 2, 5).result())
        run = executor.start(outer)
        assert (run[ran], run[started], run[submitted]) == (45, 45, 32)


def test_nested_runs_go_deeper_than_there_are_workers() -> None:
    with taskloom.Executor(2) as executor:

        def descend(depth: int) -> int:
            if depth == 0:
                return 1
            g = taskloom.Graph()
            left, right = g.add(descend, depth - 1), g.add(descend, depth - 1)
            run = executor.start(g)
            return run[left] + run[right]

        assert executor.submit(descend, 5).result(60) == 32


def test_one_plan_runs_on_several_threads_at_once() -> None:
    g = taskloom.Graph()
    numbers = [g.add(int, str(n)) for n in range(200)]
    total = g.add(sum, numbers)
    plan = g.compile()
    with (
        taskloom.Executor(2) as executor,
        concurrent.futures.ThreadPoolExecutor(4) as callers,
    ):
        totals = list(callers.map(lambda _: executor.run(plan)[total], range(100)))
    assert totals == [19900] * 100


def test_a_dropped_run_goes_on(executor: taskloom.Executor) -> None:
    gate, after = Gate(), threading.Event()
    g = taskloom.Graph()
    g.add(lambda _: after.set(), g.add(gate))
    watched = weakref.ref(executor.start(g))
    gc.collect()
    assert watched() is None
    gate.opened.set()
    assert after.wait(60)


def test_a_run_can_be_awaited(executor: taskloom.Executor) -> None:
    gate = Gate()
    g = taskloom.Graph()
    node = g.add(gate)

    async def main() -> str:
        run = executor.start(g)
        gate.opened.set()
        return (await run)[node]

    assert asyncio.run(main())


def test_a_failed_run_raises_where_it_is_awaited(executor: taskloom.Executor) -> None:
    g = taskloom.Graph()
    g.add(int, "x")

    async def main() -> None:
        await executor.start(g)

    with pytest.raises(taskloom.errors.RunFailed):
        asyncio.run(main())


def test_cancelling_the_awaiting_task_cancels_the_run(executor: taskloom.Executor) -> None:
    gate = Gate()
    g = taskloom.Graph()
    last = g.add(str, g.add(gate))

    async def main() -> taskloom.Run:
        run = executor.start(g)
        waiting = asyncio.ensure_future(run)
        await asyncio.sleep(0)  # a task that is cancelled before its first step awaits nothing
        await asyncio.to_thread(gate.reached.wait, 60)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        gate.opened.set()
        return run

    run = asyncio.run(main())
    assert run.wait(60)
    assert run.why(last).status == "cancelled"


VARIABLE = contextvars.ContextVar("variable", default="unset")


@pytest.mark.parametrize("how", ["run", "start", "serial"])
def test_nodes_find_the_context_variables_of_the_call(
    executor: taskloom.Executor, how: str
) -> None:
    g = taskloom.Graph()
    source = g.add(int)
    nodes = [g.add(lambda _: VARIABLE.get(), source) for _ in range(20)]
    context = contextvars.copy_context()
    context.run(VARIABLE.set, "mine")
    if how == "run":
        run = context.run(executor.run, g)
    else:
        mode: Any = "serial" if how == "serial" else "parallel"
        run = context.run(lambda: executor.start(g, mode=mode))
    assert {run[node] for node in nodes} == {"mine"}


@pytest.mark.parametrize("mode", ["serial", "parallel"])
def test_nodes_do_not_see_each_others_changes_of_context(
    executor: taskloom.Executor, mode: Any
) -> None:
    g = taskloom.Graph()

    def change(*_: object) -> str:
        before = VARIABLE.get()
        VARIABLE.set("changed")
        return before

    first = g.add(change)
    second = g.add(change, first)
    third = g.add(change, second)
    run = executor.run(g.compile(slots="one_to_one"), mode=mode)
    assert [run[node] for node in (first, second, third)] == ["unset"] * 3
    assert VARIABLE.get() == "unset"


def test_tasks_called_by_nodes_do_not_fill_an_open_graph(executor: taskloom.Executor) -> None:
    @taskloom.task
    def double(x: int) -> int:
        return 2 * x

    g = taskloom.Graph()
    node = g.add(lambda: double(21))
    with taskloom.Graph() as still_open:
        assert executor.run(g)[node] == 42
        assert executor.run(g, mode="serial")[node] == 42
    assert len(still_open) == 0


# No `threading.Event` here: an interrupt within its `set` or `wait` may leave its lock held.
INTERRUPTED = """
    import os, signal, threading, time, taskloom

    blocked, done = [], []

    def until(flag):
        while not flag:
            time.sleep(0.001)

    def block():
        blocked.append(1)
        until(done)

    def interrupt():
        until(blocked)
        os.kill(os.getpid(), signal.SIGINT)

    g = taskloom.Graph()
    g.add(block)
    with taskloom.Executor(1) as executor:
        try:
            threading.Thread(target=interrupt).start()
            {wait}
        except KeyboardInterrupt:
            print("interrupted", bool(done))
        done.append(1)
"""


@pytest.mark.parametrize(
    "wait",
    [
        "executor.start(g).wait()",
        "executor.start(g).result()",
        "executor.start(g).exceptions()",
        "g.add(until, blocked); executor.run(g.compile())",
    ],
)
def test_ctrl_c_reaches_a_thread_that_waits_for_a_run(wait: str) -> None:
    code = textwrap.dedent(INTERRUPTED).replace("{wait}", wait)
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert found.stdout == "interrupted False\n", found.stderr


def test_an_error_nobody_asked_for_is_logged_after_a_dropped_run() -> None:
    code = """
        import taskloom
        g = taskloom.Graph()
        g.options(name="lost").add(int, "x")
        with taskloom.Executor(1) as executor:
            executor.start(g)
    """
    found = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "error in node 'lost' of a run that nobody asked" in found.stderr


@pytest.mark.parametrize("mode", ["serial", "parallel"])
def test_signals_are_handled_between_nodes_that_are_no_python_functions(
    executor: taskloom.Executor, mode: Any
) -> None:
    g = taskloom.Graph()
    last = g.add(_thread.interrupt_main)
    for _ in range(3000):
        last = g.add(int).after(last)
    with pytest.raises(KeyboardInterrupt):
        executor.run(g, mode=mode)


def test_an_interrupt_after_the_last_node_is_not_lost(executor: taskloom.Executor) -> None:
    g = taskloom.Graph()
    last = g.add(int)
    for _ in range(1022):
        last = g.add(int).after(last)
    last = g.add(_thread.interrupt_main).after(last)
    with pytest.raises(KeyboardInterrupt):
        executor.run(g, mode="serial")


def test_other_threads_run_beside_nodes_that_are_no_python_functions(
    executor: taskloom.Executor,
) -> None:
    flag: list[int] = []
    thread = threading.Thread(target=flag.append, args=(1,))
    g = taskloom.Graph()
    before = g.add(thread.start)
    seen = g.add(flag.copy).after(before)
    for _ in range(200_000):
        before = g.add(int).after(before)
    after = g.add(flag.copy).after(before)
    run = executor.run(g, mode="serial")
    thread.join()
    assert run[seen] in ([], [1])
    assert run[after] == [1]


def test_more_tasks_than_take_part_can_wait_for_one_run() -> None:
    gate, entered = threading.Event(), threading.Semaphore(0)
    with taskloom.Executor(1) as other, taskloom.Executor(1) as executor:
        blocked = other.submit(gate.wait)
        g = taskloom.Graph()
        for _ in range(8):
            g.add(blocked.result)
        run = executor.start(g)

        def wait() -> bool:
            entered.release()
            return run.wait()

        waiting = [executor.submit(wait) for _ in range(6)]
        assert all(entered.acquire(timeout=60) for _ in waiting)
        gate.set()
        assert run.wait(60)
        assert all(task.result(60) for task in waiting)
