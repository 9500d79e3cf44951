"""Ctrl-C reaches a main thread that waits, on every wait."""

from __future__ import annotations

import signal

import pytest
from probe import ASLEEP, passes, turns

pytestmark = pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no signals to send")

# Interrupts the main thread once it waits, and says after how many milliseconds it noticed. A
# hundred are promised; a busy machine is given two thousand. The signal comes within the `try`, and
# to a thread that sleeps: a wait of the standard library that is about to begin would miss it.
PROGRAMME = (
    ASLEEP
    + """
import concurrent.futures, os, signal, threading, time
import taskloom
from taskloom import Executor
gate = threading.Event()
executor = Executor(2, max_queue_depth=1)
first, second = [executor.submit(gate.wait) for _ in range(2)]
while not (first.running() and second.running()):
    time.sleep(0.001)
queued = executor.submit(int)
graph = taskloom.Graph()
node = graph.add(gate.wait)
sent = 0.0
def interrupt():
    global sent
    until_asleep(threading.main_thread())
    sent = time.perf_counter()
    SEND
try:
    threading.Thread(target=interrupt, daemon=True).start()
    WAIT
except KeyboardInterrupt:
    noticed = time.perf_counter() - sent
else:
    raise AssertionError("not interrupted")
print(f"{noticed * 1e3:.1f}")
gate.set()
assert first.result() and second.result()
"""
)

WAITS = {
    "result": "first.result()",
    "result with a limit": "first.result(timeout=600)",
    "result of a queued task": "queued.result()",
    "result of a promise": "taskloom.Future().result()",
    "exception": "first.exception()",
    "wait": "concurrent.futures.wait([first])",
    "as_completed": "next(concurrent.futures.as_completed([first]))",
    "map": "list(executor.map(abs, [1]))",
    "submit to a full queue": "executor.submit(int)",
    "submit_many to a full queue": "executor.submit_many(int, [1, 2, 3])",
    "shutdown": "executor.shutdown()",
    "leaving with": "with executor: pass",
    "run": "Executor(1).start(graph).wait()",
    "result of a run": "Executor(1).start(graph).result()",
    "run in this thread": "Executor(1).run(graph)",
}

SENDERS = {
    "the process": "os.kill(os.getpid(), signal.SIGINT)",
    # Python's handler then runs in a thread that does not run signal handlers.
    "another thread": "signal.pthread_kill(threading.get_ident(), signal.SIGINT)",
}


def interrupted(wait: str, send: str = SENDERS["the process"]) -> float:
    """Seconds from the signal to the exception."""
    return float(passes(PROGRAMME.replace("WAIT", wait).replace("SEND", send))) / 1e3


@pytest.mark.parametrize("wait", WAITS)
@turns
def test_ctrl_c_ends_a_wait_of_the_main_thread(turn: int, wait: str) -> None:
    assert interrupted(WAITS[wait]) < 2.0


@pytest.mark.parametrize("wait", ["result", "submit to a full queue", "run"])
@turns
def test_ctrl_c_that_another_thread_gets_ends_the_wait_too(turn: int, wait: str) -> None:
    assert interrupted(WAITS[wait], SENDERS["another thread"]) < 2.0


@turns
def test_wait_goes_on_after_a_handler_that_returns(turn: int) -> None:
    out = passes(
        """
        import os, signal, threading, time
        from taskloom import Executor
        seen = []
        signal.signal(signal.SIGUSR1, lambda number, frame: seen.append(number))
        def task():
            for count in range(5):
                os.kill(os.getpid(), signal.SIGUSR1)
                while len(seen) == count:
                    time.sleep(0.001)
            return len(seen)
        with Executor(1) as executor:
            print(executor.submit(task).result())
        """
    )
    assert out == "5\n"


@turns
def test_task_goes_on_when_its_waiter_is_interrupted(turn: int) -> None:
    out = passes(
        """
        import os, signal, time
        from taskloom import Executor
        waiting, gate = [], []
        def until(flag):
            while not flag:
                time.sleep(0.001)
            return True
        def task():
            until(waiting)
            os.kill(os.getpid(), signal.SIGINT)
            return until(gate)
        with Executor(1) as executor:
            future = executor.submit(task)
            try:
                waiting.append(1)
                future.result()
            except KeyboardInterrupt:
                gate.append(1)
            print(future.result())
        """
    )
    assert out == "True\n"


@turns
def test_ctrl_c_while_a_worker_is_started_loses_neither_the_task_nor_the_signal(turn: int) -> None:
    # No `threading.Event` here: an interrupt within its `set` or `wait` may leave its lock held.
    out = passes(
        """
        import os, signal, time
        from taskloom import Executor
        ran, interrupted = [], 0
        def task(number):
            ran.append(number)
            os.kill(os.getpid(), signal.SIGINT)
        for number in range(20):
            executor = Executor(1)
            try:
                # The signal comes while the first task's worker is being started, or soon after.
                executor.submit(task, number)
                while True:
                    time.sleep(0.001)
            except KeyboardInterrupt:
                interrupted += 1
            executor.shutdown()
            # Its worker can be relied on again.
            with Executor(1) as executor:
                assert executor.submit(int).result() == 0
        print(len(ran), interrupted)
        """
    )
    assert out == "20 20\n"
