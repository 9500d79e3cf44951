"""What several threads use at once, and nothing but a lock or one atomic step keeps right."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import taskloom
from taskloom import Executor, _default, _waits, current
from taskloom.scheduling.config import ExecutorConfig


@contextmanager
def meanwhile(*functions: Callable[[], object]) -> Iterator[None]:
    """Calls functions again and again, each on a thread of its own, while the block goes on."""
    over = threading.Event()

    def again(function: Callable[[], object]) -> None:
        while not over.is_set():
            function()

    threads = [threading.Thread(target=again, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def test_threads_that_ask_at_once_get_the_same_default_executor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found: list[Executor] = []
    others: list[threading.Thread] = []
    load = ExecutorConfig.load

    def load_while_another_thread_asks() -> ExecutorConfig:
        if not others:
            others.append(
                threading.Thread(target=lambda: found.append(taskloom.default_executor()))
            )
            others[0].start()
            # It comes through only if nothing holds it up.
            others[0].join(0.1)
        return load()

    monkeypatch.setattr(_default, "_default", None)
    monkeypatch.setattr(ExecutorConfig, "load", load_while_another_thread_asks)
    found.append(taskloom.default_executor())
    others[0].join()
    assert found[0] is found[1]
    found[0].shutdown()


def test_name_of_a_task_may_be_asked_for_while_its_function_goes_away() -> None:
    def fresh(number: int) -> Callable[[], int]:
        def task() -> int:
            return number

        return task

    with Executor(1) as pool:
        latest = [pool.submit(int)]
        with meanwhile(lambda: latest[0].name):
            for number in range(3_000):
                latest[0] = pool.submit(fresh(number))
                assert latest[0].result() == number


class Elsewhere:
    """A scope of another executor."""

    _executor = object()


def test_progress_may_be_asked_for_while_scopes_open() -> None:
    def open_scope() -> None:
        with taskloom.Scope():
            pass

    # So many that a look takes longer than it takes to open one.
    many = [Elsewhere() for _ in range(20_000)]
    current.open_scopes.update(many)
    try:
        with Executor(1) as pool, meanwhile(open_scope):
            for _ in range(50):
                pool.progress()
    finally:
        current.open_scopes.difference_update(many)


def test_watchdogs_that_come_and_go_are_counted_exactly() -> None:
    before = len(_waits._watchers)

    def come_and_go() -> None:
        for _ in range(2_000):
            _waits.watch(True)
            _waits.watch(False)

    threads = [threading.Thread(target=come_and_go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(_waits._watchers) == before
