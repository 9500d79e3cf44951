"""Ends of executors and of the interpreter, with runs that wait for who started them."""

from __future__ import annotations

import logging
import threading

import pytest
import taskloom
from probe import passes, run

PROGRAMME = """
import atexit
import threading
import taskloom

def here(number, *_):
    print(number, threading.current_thread() is threading.main_thread(), flush=True)

g = taskloom.Graph()
first = g.options(place="caller").add(here, 1)
between = g.add(int).after(first)
g.options(place="caller").add(here, 2, between)
executor = taskloom.Executor(1)
"""


def test_exit_runs_what_waits_for_the_main_thread() -> None:
    assert passes(PROGRAMME + "executor.start(g)") == "1 True\n2 True\n"


def test_exit_cancels_what_waits_for_a_thread_that_is_gone_and_says_so() -> None:
    starter = "t = threading.Thread(target=executor.start, args=(g,)); t.start(); t.join()"
    outcome = run(PROGRAMME + starter)
    assert (outcome.status, outcome.out) == (0, "")
    assert "a run of 3 nodes is cancelled" in outcome.err


def test_exit_lets_a_thread_that_is_still_there_run_its_own() -> None:
    out = passes(
        PROGRAMME
        + """
def start_and_wait():
    started = executor.start(g)
    exiting.wait()
    started.result()
    print("done")

exiting = threading.Event()
threading._register_atexit(exiting.set)
thread = threading.Thread(target=start_and_wait, daemon=True)
thread.start()
atexit.register(thread.join)  # exit waits for the run, and for what comes after only so
while not executor._owed:
    pass
"""
    )
    assert out == "1 False\n2 False\ndone\n"


def test_a_shutdown_cancels_what_waits_for_a_thread_that_is_gone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    g = taskloom.Graph()
    node = g.options(place="caller").add(threading.get_ident)
    runs: list[taskloom.Run] = []
    with (
        caplog.at_level(logging.WARNING, "taskloom"),
        taskloom.Executor(1) as executor,
    ):
        starter = threading.Thread(target=lambda: runs.append(executor.start(g)))
        starter.start()
        starter.join()
    assert (runs[0].status, runs[0].why(node).status) == ("cancelled", "cancelled")
    assert "the thread that started it is gone" in caplog.text


def test_a_shutdown_is_not_in_the_way_of_a_thread_that_runs_its_own() -> None:
    g = taskloom.Graph()
    node = g.options(place="caller").add(threading.get_ident)
    started, closing = threading.Event(), threading.Event()
    found: list[bool] = []

    def start_and_wait() -> None:
        run = executor.start(g)
        started.set()
        closing.wait()
        found.append(run.result()[node] == threading.get_ident())

    executor = taskloom.Executor(1)
    starter = threading.Thread(target=start_and_wait)
    starter.start()
    started.wait()
    executor.shutdown(wait=False)
    closing.set()
    executor.shutdown()
    starter.join()
    assert found == [True]
