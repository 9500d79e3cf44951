"""How the interpreter exits while executors are at work: nothing lost, no abort, no hang."""

from __future__ import annotations

import pytest
from probe import passes, run, turns


@turns
def test_exit_runs_what_is_queued(turn: int) -> None:
    out = passes(
        """
        import time
        from taskloom import Executor
        executor = Executor(2)
        done = []
        def task(number):
            time.sleep(0.0001)
            done.append(number)
            if len(done) == 200:
                print(sorted(done) == list(range(200)))
        for number in range(200):
            executor.submit(task, number)
        """
    )
    assert out == "True\n"


@turns
def test_exit_right_after_a_run_says_nothing(turn: int) -> None:
    # The run has asked workers for help that may come only now; from 3.12 on none can be started.
    out = passes(
        """
        import taskloom
        graph = taskloom.Graph()
        total = graph.add(sum, [graph.add(abs, number) for number in range(50)])
        print(taskloom.run(graph)[total])
        """
    )
    assert out == "1225\n"


@turns
def test_exit_waits_for_a_task_of_an_executor_that_was_dropped(turn: int) -> None:
    out = passes(
        """
        import threading
        from taskloom import Executor
        exit_begins = threading.Event()
        threading._register_atexit(exit_begins.set)
        Executor(1).submit(lambda: (exit_begins.wait(), print("ran")))
        """
    )
    assert out == "ran\n"


@turns
def test_task_that_submits_during_exit_is_refused_as_in_the_standard_library(turn: int) -> None:
    out = passes(
        """
        import time
        from taskloom import Executor
        executor = Executor(1)
        def task():
            while not executor._shutdown:
                time.sleep(0)
            try:
                executor.submit(int)
            except RuntimeError as error:
                print(error)
        executor.submit(task)
        """
    )
    assert out == "cannot schedule new futures after interpreter shutdown\n"


@pytest.mark.parametrize("status", [0, 1, 77])
@turns
def test_exit_status_is_the_programmes_own(turn: int, status: int) -> None:
    outcome = run(
        """
        import sys, threading
        from taskloom import Executor
        executor = Executor(2)
        exit_begins = threading.Event()
        threading._register_atexit(exit_begins.set)
        for _ in range(20):
            executor.submit(exit_begins.wait)
        sys.exit(int(sys.argv[1]))
        """,
        str(status),
    )
    assert (outcome.status, outcome.err) == (status, "")


@turns
def test_error_in_the_main_thread_still_lets_the_tasks_end(turn: int) -> None:
    outcome = run(
        """
        import threading
        from taskloom import Executor
        executor = Executor(1)
        exit_begins = threading.Event()
        threading._register_atexit(exit_begins.set)
        executor.submit(lambda: (exit_begins.wait(), print("ran")))
        raise KeyError("mine")
        """
    )
    assert (outcome.status, outcome.out) == (1, "ran\n")
    assert outcome.err.endswith("KeyError: 'mine'\n")


@turns
def test_hard_exit_inside_a_task_ends_the_process_at_once(turn: int) -> None:
    outcome = run(
        """
        import os
        from taskloom import Executor
        executor = Executor(2)
        futures = [executor.submit(int) for _ in range(100)]
        executor.submit(os._exit, 9).result()
        """
    )
    assert (outcome.status, outcome.err) == (9, "")


# Modules are taken down after the interpreter has begun to finalise: an object that sleeps then
# gives the interpreter up, and the threads left behind try to take it.
SLEEPS_WHILE_FINALISING = """
import sys, time
class Slow:
    def __del__(self, sleep=time.sleep):
        for _ in range(5):
            sleep(0.01)
sys.slow, slow = Slow(), Slow()
"""

ENDLESS_TASKS = {
    "loops": "def endless():\n    while True: pass\n",
    "sleeps": "def endless():\n    while True: time.sleep(0.0001)\n",
    "waits": "def endless():\n    executor.submit(time.sleep, 1000).result()\n",
    "waits a day": "def endless():\n    executor.submit(time.sleep, 9e4).result(9e4)\n",
    "waits for ever": "def endless():\n    taskloom.Future().result()\n",
}


@pytest.mark.parametrize("kind", ENDLESS_TASKS)
@turns
def test_endless_task_is_abandoned_and_named_after_exit_timeout(turn: int, kind: str) -> None:
    outcome = run(
        SLEEPS_WHILE_FINALISING
        + ENDLESS_TASKS[kind]
        + """
import threading, taskloom
executor = taskloom.Executor(2, exit_timeout=0.1)
started = threading.Event()
def endless_task():
    started.set()
    endless()
executor.submit(endless_task)
started.wait()
sys.exit(5)
"""
    )
    assert outcome.status == 5, outcome
    assert "taskloom: abandoned at exit after 0.1 s:" in outcome.err
    assert "endless_task (<string>:" in outcome.err


@turns
def test_exit_says_what_it_waits_for(turn: int) -> None:
    outcome = run(
        """
        import sys, threading
        from taskloom import Executor, _workers
        _workers.NAMED_AFTER = 0.05
        executor = Executor(1, thread_name_prefix="mine")
        said = threading.Event()
        class Listening:
            def write(self, text):
                sys.__stderr__.write(text)
                if "slow_task" in text:
                    said.set()
            def flush(self):
                sys.__stderr__.flush()
        sys.stderr = Listening()
        def slow_task():
            said.wait()
        executor.submit(slow_task)
        """
    )
    assert outcome.status == 0
    assert "taskloom: exit is waiting for:\n  mine_0: slow_task (<string>:" in outcome.err


@turns
def test_idle_and_searching_workers_do_not_disturb_the_exit(turn: int) -> None:
    passes(
        SLEEPS_WHILE_FINALISING
        + """
from taskloom import Executor
executors = [Executor(4) for _ in range(8)]
for executor in executors:
    list(executor.map(abs, range(50)))
"""
    )


@turns
def test_ctrl_c_during_exit_ends_the_wait(turn: int) -> None:
    outcome = run(
        SLEEPS_WHILE_FINALISING
        + """
import os, signal, threading
from taskloom import Executor
executor = Executor(1)
def endless():
    while True:
        time.sleep(0.001)
executor.submit(endless)
def interrupt():
    while not executor._shutdown:
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt, daemon=True).start()
"""
    )
    # Python reports an interrupted exit, and goes on with it.
    assert outcome.status >= 0, outcome
    assert "KeyboardInterrupt" in outcome.err


@turns
def test_daemon_threads_that_submit_while_the_interpreter_goes_down(turn: int) -> None:
    outcome = run(
        SLEEPS_WHILE_FINALISING
        + """
import threading
from taskloom import Executor
executor = Executor(2)
at_work = threading.Barrier(4)
def submitter():
    executor.submit(int).result()
    at_work.wait()
    while True:
        try:
            executor.submit(int).result()
        except RuntimeError:
            time.sleep(0)
for _ in range(3):
    threading.Thread(target=submitter, daemon=True).start()
at_work.wait()
sys.exit(3)
"""
    )
    assert (outcome.status, outcome.err) == (3, "")
