"""What priorities, deadlines, timing and a full queue cost a submit."""

from __future__ import annotations

import queue
import threading

from harness import Contender, Workload
from taskloom import Executor
from taskloom.errors import QueueFull
from taskloom.view import ExecutorView

ALIVE = 100_000
REFUSED = 20_000


def noop() -> None:
    return None


def submit_all(submitter: Executor | ExecutorView) -> None:
    submit = submitter.submit
    for future in [submit(noop) for _ in range(ALIVE)]:
        future.result()


chosen = Workload(
    "submit-options",
    "submit and result with priority, deadline and timing, 100,000 futures alive, 1 worker",
    unit="ns/task",
    aim=250,
)


@chosen.contender("priority, deadline, timing", per=ALIVE, note="the waiter does not help")
def everything() -> Contender:
    with Executor(1, max_queue_depth=None, timing=True) as executor:
        view = executor.options(priority=2, deadline=60)
        yield lambda: submit_all(view)


@chosen.contender("deadline", per=ALIVE)
def deadlines() -> Contender:
    with Executor(1, max_queue_depth=None) as executor:
        view = executor.options(deadline=60)
        yield lambda: submit_all(view)


@chosen.contender("timeout", per=ALIVE)
def timeouts() -> Contender:
    with Executor(1, max_queue_depth=None) as executor:
        view = executor.options(timeout=60)
        yield lambda: submit_all(view)


@chosen.contender("priority", per=ALIVE)
def priorities() -> Contender:
    with Executor(1, max_queue_depth=None) as executor:
        view = executor.options(priority=2)
        yield lambda: submit_all(view)


@chosen.contender("none of them", per=ALIVE)
def plain() -> Contender:
    with Executor(1, max_queue_depth=None) as executor:
        yield lambda: submit_all(executor)


refusal = Workload(
    "submit-rejected",
    "a submit that a full queue refuses, with the try and except around it",
    unit="ns",
    aim=200,
)


@refusal.contender("taskloom", per=REFUSED)
def refused() -> Contender:
    gate, entered = threading.Event(), threading.Event()

    def occupy() -> None:
        entered.set()
        gate.wait()

    def attempt() -> None:
        submit = executor.submit
        for _ in range(REFUSED):
            try:  # noqa: SIM105 (suppress costs more than what is measured)
                submit(noop)
            except QueueFull:
                pass

    with Executor(1, max_queue_depth=1, when_full="reject") as executor:
        executor.submit(occupy)
        entered.wait()
        executor.submit(noop)
        yield attempt
        gate.set()


@refusal.contender("raise QueueFull in Python", per=REFUSED, note="the floor: no submit at all")
def raised() -> Contender:
    def attempt() -> None:
        for _ in range(REFUSED):
            try:
                raise QueueFull("the queue is full")
            except QueueFull:
                pass

    yield attempt


@refusal.contender("queue.Queue.put_nowait", per=REFUSED)
def put() -> Contender:
    full: queue.Queue[None] = queue.Queue(1)
    full.put(None)

    def attempt() -> None:
        for _ in range(REFUSED):
            try:  # noqa: SIM105 (suppress costs more than what is measured)
                full.put_nowait(None)
            except queue.Full:
                pass

    yield attempt
