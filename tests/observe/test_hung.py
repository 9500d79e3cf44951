"""Tasks that go on after their time was up are told of with their stacks, watchdog or not."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import pytest
import taskloom
from taskloom import _observed
from taskloom.observe.hung import HungTasks, tell_of_hung


class Warnings(logging.Handler):
    """Keeps what is logged, and lets a test wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.came = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())
        self.came.set()


@pytest.fixture
def warnings() -> Iterator[Warnings]:
    handler = Warnings()
    logging.getLogger("taskloom").addHandler(handler)
    yield handler
    logging.getLogger("taskloom").removeHandler(handler)


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    gate = threading.Event()
    yield gate
    gate.set()


def stubborn(gate: threading.Event) -> None:
    gate.wait()


def hang(executor: taskloom.Executor, gate: threading.Event) -> taskloom.Future[None]:
    future = executor.options(timeout=0.001, name="load").submit(stubborn, gate)
    assert isinstance(future.exception(), TimeoutError)
    return future


def test_a_task_that_goes_on_is_logged_with_its_stack(
    warnings: Warnings, gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_observed, "HUNG_AFTER", 0.0)
    with taskloom.Executor(1) as executor:
        hang(executor, gate)
        assert warnings.came.wait(60)
        gate.set()
    assert "task 'load' goes on" in warnings.texts[0]
    assert "in stubborn" in warnings.texts[0]


def test_it_is_told_of_once(warnings: Warnings, gate: threading.Event) -> None:
    with taskloom.Executor(1) as executor:
        hang(executor, gate)
        for _ in range(3):
            tell_of_hung(0.0)
        gate.set()
    assert len(warnings.texts) == 1


def test_one_that_has_left_by_then_is_none(warnings: Warnings, gate: threading.Event) -> None:
    with taskloom.Executor(1) as executor:
        hang(executor, gate)
        gate.set()
    tell_of_hung(0.0)
    assert not warnings.texts


def test_one_whose_time_was_up_just_now_is_none(gate: threading.Event) -> None:
    with taskloom.Executor(1) as executor:
        hang(executor, gate)
        assert not list(HungTasks().find(executor, 1000.0))
        gate.set()


def test_an_executor_with_a_watchdog_leaves_it_to_that(
    warnings: Warnings, gate: threading.Event
) -> None:
    with taskloom.Executor(1, watchdog=1000.0) as executor:
        hang(executor, gate)
        tell_of_hung(0.0)
        gate.set()
    assert not warnings.texts
