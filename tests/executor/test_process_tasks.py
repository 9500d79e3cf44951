"""Submitted tasks with `place="process"`."""

from __future__ import annotations

import concurrent.futures
import os
import time
from collections.abc import Iterator

import pytest
from taskloom import Executor, Future


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with Executor(1) as executor:
        yield executor


def test_task_runs_in_another_process_and_has_a_future_of_ours(executor: Executor) -> None:
    future = executor.options(place="process").submit(os.getpid)
    assert type(future) is Future
    assert future.result() != os.getpid()


def test_timeout_kills_the_process(executor: Executor) -> None:
    future = executor.options(place="process", timeout=0.1).submit(time.sleep, 3600)
    assert isinstance(future.exception(), TimeoutError)


def test_cancel_kills_the_process_of_a_running_task(executor: Executor) -> None:
    future = executor.options(place="process").submit(time.sleep, 3600)
    assert future.cancel()
    with pytest.raises(concurrent.futures.CancelledError):
        future.result()


def test_failed_task_is_sent_again(executor: Executor) -> None:
    error = executor.options(place="process", retry=2).submit(int, "x").exception()
    assert isinstance(error, ValueError)


def test_shutdown_waits_for_tasks_in_processes() -> None:
    executor = Executor(1)
    future = executor.options(place="process").submit(pow, 2, 10)
    executor.shutdown()
    assert future.done()
    assert future.result() == 1024
