"""What the watchdog takes for a stall and what not; its clock is moved by hand."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import taskloom
from taskloom.errors import OptionError
from taskloom.observe.watchdog import Watchdog


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Held:
    """A task that runs until it is let go."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.go_on = threading.Event()

    def __call__(self) -> None:
        self.began.set()
        self.go_on.wait()


@pytest.fixture
def held() -> Iterator[Held]:
    task = Held()
    yield task
    task.go_on.set()


@pytest.fixture(autouse=True)
def watching() -> Iterator[None]:
    taskloom._taskloom._watch(True)
    yield
    taskloom._taskloom._watch(False)


def until(condition: Callable[[], Any]) -> None:
    while not condition():
        time.sleep(0)


def wait_for_blocked(executor: taskloom.Executor, count: int) -> None:
    until(lambda: executor._tally()[5] == count)


def after(watchdog: Watchdog, clock: Clock, seconds: float) -> Any:
    """What the watchdog says when nothing has happened for some seconds."""
    watchdog.check()
    clock.now += seconds
    return watchdog.check()


def test_tasks_that_are_queued_behind_busy_workers_are_a_stall(held: Held) -> None:
    clock = Clock()
    with taskloom.Executor(1) as executor:
        executor.options(name="long").submit(held)
        held.began.wait()
        executor.submit(int)
        stall = after(Watchdog(executor, seconds=5.0, clock=clock), clock, 5.0)
        held.go_on.set()
    assert (stall.kind, stall.seconds, stall.queued) == ("stall", 5.0, 1)
    assert "in __call__" in stall.stacks[0].stack


def test_a_long_task_with_nothing_behind_it_is_none(held: Held) -> None:
    clock = Clock()
    with taskloom.Executor(1) as executor:
        executor.submit(held)
        held.began.wait()
        assert after(Watchdog(executor, seconds=5.0, clock=clock), clock, 100.0) is None
        held.go_on.set()


def test_an_idle_executor_is_none() -> None:
    clock = Clock()
    with taskloom.Executor(1) as executor:
        executor.submit(int).result()
        assert after(Watchdog(executor, seconds=5.0, clock=clock), clock, 100.0) is None


def test_less_time_than_asked_for_is_none(held: Held) -> None:
    clock = Clock()
    with taskloom.Executor(1) as executor:
        executor.submit(held)
        held.began.wait()
        executor.submit(int)
        assert after(Watchdog(executor, seconds=5.0, clock=clock), clock, 4.9) is None
        held.go_on.set()


def test_tasks_that_wait_for_each_other_are_a_deadlock_and_say_so() -> None:
    clock = Clock()
    futures: dict[str, taskloom.Future[Any]] = {}
    ready = threading.Event()

    def wait_for(other: str) -> None:
        ready.wait()
        futures[other].result()

    with taskloom.Executor(2) as executor:
        futures["a"] = executor.options(name="a").submit(wait_for, "b")
        futures["b"] = executor.options(name="b").submit(wait_for, "promise")
        promise = futures["promise"] = taskloom.Future()
        ready.set()
        wait_for_blocked(executor, 2)
        stall = after(Watchdog(executor, seconds=5.0, clock=clock), clock, 6.0)
        promise.set_result(None)
    assert stall.kind == "deadlock"
    assert {(wait.waiter, wait.target) for wait in stall.waits} >= {("a", "b")}
    assert "a waits for b" in str(stall)


def test_what_is_held_back_for_a_future_that_nobody_sets_is_a_deadlock() -> None:
    clock = Clock()
    promise: taskloom.Future[None] = taskloom.Future()
    with taskloom.Executor(1) as executor:
        executor.submit(int).result()
        later = executor.options(after=[promise], name="later").submit(int)
        until(lambda: executor._idle() == 1)
        stall = after(Watchdog(executor, seconds=5.0, clock=clock), clock, 6.0)
        promise.set_result(None)
        later.result()
    assert (stall.kind, stall.held) == ("deadlock", 1)
    assert stall.waits[-1].waiter == "later"


def test_an_episode_is_told_of_once_and_the_next_one_again(
    held: Held, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    with taskloom.Executor(1) as executor:
        watchdog = Watchdog(executor, seconds=5.0, clock=clock)
        executor.submit(held)
        held.began.wait()
        executor.submit(int)
        assert after(watchdog, clock, 6.0) is not None
        assert after(watchdog, clock, 6.0) is None
        held.go_on.set()
        until(lambda: executor.stats().finished == 2)
        second = Held()
        executor.submit(second)
        second.began.wait()
        executor.submit(int)
        assert after(watchdog, clock, 6.0) is not None
        second.go_on.set()
    assert len(watchdog.stalls) == 2
    assert [r.levelno for r in caplog.records if r.name == "taskloom"] == [logging.WARNING] * 2


def test_a_task_that_says_how_far_it_is_makes_progress() -> None:
    clock = Clock()
    said, go_on = threading.Semaphore(0), threading.Semaphore(0)

    def work() -> None:
        for done in range(3):
            task = taskloom.current_task()
            assert task is not None
            task.progress(done, 3)
            said.release()
            go_on.acquire()

    with taskloom.Executor(1) as executor:
        watchdog = Watchdog(executor, seconds=5.0, clock=clock)
        executor.submit(work)
        executor.submit(int)
        for _ in range(3):
            said.acquire()
            assert after(watchdog, clock, 4.0) is None
            go_on.release()


def test_a_node_that_takes_long_on_the_calling_thread_is_none() -> None:
    clock = Clock()
    with taskloom.Executor(1) as executor:
        watchdog = Watchdog(executor, seconds=5.0, clock=clock)
        g = taskloom.Graph()
        g.add(lambda: after(watchdog, clock, 100.0))
        executor.run(g, mode="serial")
        executor.run(g)
    assert watchdog.stalls == ()


def test_a_task_whose_thread_does_not_leave_is_reported_with_its_stack(held: Held) -> None:
    clock = Clock()
    found: list[Any] = []
    with taskloom.Executor(1) as executor:
        watchdog = Watchdog(executor, seconds=1e-9, on_stall=found.append, clock=clock)
        late = executor.options(name="late", timeout=0.001).submit(held)
        with pytest.raises(TimeoutError):
            late.result()
        # Its worker is hung, and yet there is one to run this.
        assert executor.submit(int).result() == 0
        watchdog.check()
        watchdog.check()
        held.go_on.set()
    hung = [stall for stall in found if stall.kind == "hung"]
    assert [stall.task for stall in hung] == ["late"]
    assert "in __call__" in str(hung[0])


def test_a_hung_task_alone_is_no_deadlock(held: Held) -> None:
    clock = Clock()
    with taskloom.Executor(1) as executor:
        watchdog = Watchdog(executor, seconds=3600.0, clock=clock)
        late = executor.options(name="late", timeout=0.001).submit(held)
        with pytest.raises(TimeoutError):
            late.result()
        until(executor._hung)
        wait_for_blocked(executor, 1)
        assert after(watchdog, clock, 3600.0) is None
        held.go_on.set()


def test_a_hung_task_that_leaves_is_forgotten(held: Held) -> None:
    with taskloom.Executor(1) as executor:
        late = executor.options(timeout=0.001).submit(held)
        with pytest.raises(TimeoutError):
            late.result()
        until(executor._hung)
        held.go_on.set()
        until(lambda: not executor._hung())


def test_an_error_of_the_callback_is_logged(held: Held, caplog: pytest.LogCaptureFixture) -> None:
    def fail(stall: Any) -> None:
        raise ValueError("no")

    clock = Clock()
    with taskloom.Executor(1) as executor:
        executor.submit(held)
        held.began.wait()
        executor.submit(int)
        assert after(Watchdog(executor, seconds=5.0, on_stall=fail, clock=clock), clock, 6.0)
        held.go_on.set()
    assert "on_stall failed" in caplog.text


def test_an_executor_may_have_one_that_looks_by_itself(held: Held) -> None:
    with taskloom.Executor(1, watchdog=0.01) as executor:
        executor.submit(held)
        held.began.wait()
        executor.submit(int)
        until(lambda: executor.stalls)
        held.go_on.set()
    assert executor.stalls[0].kind == "stall"


def test_no_time_at_all_is_refused() -> None:
    with taskloom.Executor(1) as executor, pytest.raises(OptionError, match="seconds=0"):
        Watchdog(executor, seconds=0)
