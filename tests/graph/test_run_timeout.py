"""Runs with a timeout; the timer is in the tests' hands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from taskloom import Executor, Graph, _taskloom
from taskloom.errors import OptionError, RunFailed


@pytest.fixture
def executor() -> Iterator[Executor]:
    with Executor(2) as executor:
        yield executor


@pytest.fixture
def timers(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, Callable[[], Any]]]:
    """What the timer was asked to call, and after how many seconds."""
    asked: list[tuple[float, Callable[[], Any]]] = []
    monkeypatch.setattr(_taskloom, "_call_later", lambda *call: asked.append(call))
    return asked


def expire(timers: list[tuple[float, Callable[[], Any]]]) -> None:
    """Lets the time of the run be up."""
    timers[0][1]()


@pytest.mark.parametrize("mode", ["serial", "parallel", "auto"])
@pytest.mark.parametrize("how", ["run", "start"])
def test_run_starts_nothing_more_after_its_timeout(
    executor: Executor, timers: list[tuple[float, Callable[[], Any]]], how: str, mode: Any
) -> None:
    g = Graph()
    late: list[int] = []
    first = g.add(expire, timers)
    g.options(after=[first]).add(late.append, 1)
    view = executor.options(timeout=5.0)
    with pytest.raises(TimeoutError, match=r"its timeout of 5 s: 1 of 2 nodes did not run"):
        getattr(view, how)(g, mode=mode).result()
    assert timers[0][0] == 5.0
    assert late == []


def test_failures_before_the_timeout_are_its_cause(
    executor: Executor, timers: list[tuple[float, Callable[[], Any]]]
) -> None:
    g = Graph()
    failing = g.options(on_error="continue").add(int, "x")
    last = g.options(after=[failing]).add(expire, timers)
    g.options(after=[last]).add(int)
    with pytest.raises(TimeoutError) as caught:
        executor.options(timeout=5.0).run(g)
    assert isinstance(caught.value.__cause__, RunFailed)


def test_run_that_ends_in_time_keeps_its_result(
    executor: Executor, timers: list[tuple[float, Callable[[], Any]]]
) -> None:
    g = Graph()
    node = g.add(pow, 2, 10)
    run = executor.options(timeout=5.0).run(g)
    timers[0][1]()
    assert (run.status, run.result()[node]) == ("done", 1024)


def test_run_without_a_timeout_asks_no_timer(
    executor: Executor, timers: list[tuple[float, Callable[[], Any]]]
) -> None:
    g = Graph()
    g.add(int)
    executor.run(g)
    assert timers == []


def test_other_options_are_still_refused_for_runs(executor: Executor) -> None:
    with pytest.raises(OptionError, match="takes priority and timeout from a view"):
        executor.options(retry=2).run(Graph())
