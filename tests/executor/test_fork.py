"""Executors and futures in a forked child: a fresh pool, and no wait that cannot end."""

from __future__ import annotations

import os

import pytest
from probe import passes, turns

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")

# Runs `body` in a forked child, and ends the parent with what came out.
FORK = """
import concurrent.futures, os, sys, threading, time
from taskloom import Executor
from taskloom.errors import BrokenExecutor
def in_child(body):
    pid = os.fork()
    if pid == 0:
        try:
            body()
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(3)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
gate = threading.Event()
executor = Executor(2)
running = [executor.submit(gate.wait) for _ in range(2)]
queued = [executor.submit(int) for _ in range(6)]
"""

FINISH = """
gate.set()
assert [future.result() for future in queued] == [0] * 6
assert [future.result() for future in running] == [True] * 2
executor.shutdown()
"""


def fork_passes(body: str) -> None:
    passes(FORK + body + "assert in_child(child) == 0\n" + FINISH)


@turns
def test_child_gets_a_fresh_pool(turn: int) -> None:
    fork_passes(
        """
def child():
    assert executor.queue_depth == 0
    assert executor.submit(pow, 2, 3).result() == 8
    assert list(executor.map(abs, range(100))) == list(range(100))
    executor.shutdown()
    with Executor(3) as another:
        assert another.submit(int).result() == 0
"""
    )


@turns
def test_pending_futures_fail_in_the_child_and_go_on_in_the_parent(turn: int) -> None:
    fork_passes(
        """
def child():
    for future in running + queued:
        try:
            future.result()
        except BrokenExecutor as error:
            assert "forked child" in str(error)
        else:
            raise AssertionError(future)
        assert future.done() and not future.cancelled()
"""
    )


@turns
def test_standard_waits_end_in_the_child(turn: int) -> None:
    fork_passes(
        """
def child():
    done, rest = concurrent.futures.wait(running + queued[:3])
    assert len(done) == 5 and not rest
    assert set(concurrent.futures.as_completed(queued)) == set(queued)
"""
    )


@turns
def test_callbacks_are_called_in_the_child(turn: int) -> None:
    fork_passes(
        """
called = []
queued[0].add_done_callback(lambda future: called.append(type(future.exception())))
def child():
    queued[1].add_done_callback(lambda future: called.append(type(future.exception())))
    assert called == [BrokenExecutor]
    assert queued[0].done()
    assert called == [BrokenExecutor] * 2
"""
    )


@turns
def test_closed_executor_stays_closed_in_the_child(turn: int) -> None:
    fork_passes(
        """
other = Executor(1)
other.shutdown()
def child():
    try:
        other.submit(int)
    except RuntimeError:
        return
    raise AssertionError
"""
    )


@turns
def test_child_forked_by_a_task_can_use_the_executor(turn: int) -> None:
    out = passes(
        FORK
        + """
gate.set()
def child():
    assert executor.submit(pow, 2, 3).result() == 8
    assert executor.submit(lambda: executor.submit(int).result()).result() == 0
    concurrent.futures.wait([executor.submit(int)])
print([executor.submit(in_child, child).result() for _ in range(3)])
"""
        + FINISH
    )
    assert out == "[0, 0, 0]\n"


@pytest.mark.parametrize("end", ["return 1", "raise KeyError", "sys.exit(7)"])
@turns
def test_child_that_leaves_its_task_runs_nothing_of_the_parents(turn: int, end: str) -> None:
    out = passes(
        FORK
        + f"""
def task():
    pid = os.fork()
    if pid == 0:
        for future in futures[:3]:
            future.exception()
        {end}
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
gate.set()
ran = []
futures = []
futures.append(executor.submit(task))
futures += [executor.submit(lambda: ran.append(os.getpid())) for _ in range(200)]
print(futures[0].result())
executor.shutdown()
assert ran == [os.getpid()] * 200
"""
    )
    assert out == "0\n"


@turns
def test_processes_of_multiprocessing_start_by_fork_while_an_executor_is_busy(turn: int) -> None:
    out = passes(
        """
import multiprocessing, time
from taskloom import Executor
executor = Executor(4)
context = multiprocessing.get_context("fork")
def child(queue):
    with Executor(2) as own:
        queue.put(sum(own.map(abs, range(100))))
    queue.put(sum(executor.map(abs, range(10))))
def one():
    queue = context.SimpleQueue()
    process = context.Process(target=child, args=(queue,))
    process.start()
    values = queue.get(), queue.get()
    process.join()
    return values, process.exitcode
busy = [executor.submit(time.sleep, 0.001) for _ in range(100)]
print({one(), *[future.result() for future in [executor.submit(one) for _ in range(3)]]})
"""
    )
    assert out == "{((4950, 45), 0)}\n"


@turns
def test_process_started_by_a_task_can_be_terminated(turn: int) -> None:
    """A worker that blocked signals would hand the mask on to its children."""
    out = passes(
        """
import subprocess, sys
from taskloom import Executor
def start_and_stop():
    command = [sys.executable, "-c", "import time; print(flush=True); time.sleep(1000)"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        process.terminate()
        return process.wait(30)
with Executor(1) as executor:
    print(executor.submit(start_and_stop).result())
"""
    )
    assert out == "-15\n"


@turns
def test_child_can_set_timeouts_whatever_the_timer_was_doing(turn: int) -> None:
    fork_passes(
        """
stop = threading.Event()
def set_and_take_back():
    with Executor(1) as other:
        while not stop.is_set():
            other.options(timeout=30).submit(int).result()
churning = threading.Thread(target=set_and_take_back)
churning.start()
def child():
    never = threading.Event()
    try:
        executor.options(timeout=0.001).submit(never.wait).result()
    except TimeoutError:
        never.set()
        return
    raise AssertionError("no timeout in the child")
for _ in range(2):
    assert in_child(child) == 0
stop.set()
churning.join()
"""
    )


@turns
def test_waiting_for_a_run_of_the_parent_fails_in_the_child(turn: int) -> None:
    fork_passes(
        """
import asyncio, taskloom
inside, go_on = threading.Event(), threading.Event()
def hold():
    inside.set()
    go_on.wait()
    return 7
g = taskloom.Graph()
node = g.add(hold)
last = g.add(abs, node)
with Executor(1) as other:
    run = other.start(g)
    inside.wait()
    def child():
        async def awaited():
            await run
        for wait in (run.result, run.wait, lambda: run[last], lambda: run.why(last),
                     lambda: asyncio.run(awaited())):
            try:
                wait()
            except BrokenExecutor as error:
                assert "start it again here" in str(error)
            else:
                raise AssertionError
        assert other.run(taskloom.Graph()).ok
        assert not run.done()
    assert in_child(child) == 0
    go_on.set()
    assert run.result()[last] == 7
def child():
    pass
"""
    )


@turns
def test_child_forked_by_a_node_leaves_the_run_to_the_parent(turn: int) -> None:
    out = passes(
        """
import os, sys, taskloom
from taskloom import Executor
from taskloom.errors import BrokenExecutor
here = os.getpid()
ran = []
def fork():
    pid = os.fork()
    return None if pid == 0 else os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
g = taskloom.Graph()
node = g.add(fork)
for _ in range(50):
    g.add(lambda: ran.append(os.getpid())).after(node)
executor = Executor(2)
try:
    run = executor.run(g.compile(keep=[node]))
except BrokenExecutor:
    assert os.getpid() != here and not ran
    os._exit(9)
assert os.getpid() == here
executor.shutdown()
print(run[node], len(ran), set(ran) == {here})
"""
    )
    assert out == "9 50 True\n"
