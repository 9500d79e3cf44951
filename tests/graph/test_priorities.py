"""Which of several ready nodes goes first."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import taskloom
from taskloom.errors import OptionError

# Without a GIL each participant has a queue of its own.
needs_one_order = pytest.mark.skipif(
    not getattr(sys, "_is_gil_enabled", lambda: True)(),
    reason="free-threaded builds order entry nodes and the successors of a node only",
)


@pytest.fixture
def alone() -> Iterator[Callable[[taskloom.Graph | taskloom.Plan], list[str]]]:
    """Runs in parallel mode on the calling thread alone; the names of the nodes as they ran."""
    with taskloom.Executor(1) as executor:
        over = threading.Event()
        executor.submit(over.wait)  # Keeps the only worker.

        def run(target: taskloom.Graph | taskloom.Plan) -> list[str]:
            ran.clear()
            executor.run(target)
            return list(ran)

        yield run
        over.set()


ran: list[str] = []


def add(graph: taskloom.Graph, name: str, *sources: Any, **options: Any) -> Any:
    def note(*_: object) -> None:
        ran.append(name)

    return graph.options(name=name, **options).add(note, *sources)


def chain_last(**options: Any) -> taskloom.Graph:
    """Two nodes by themselves, then a chain of three."""
    g = taskloom.Graph()
    add(g, "a", **options)
    add(g, "b")
    add(g, "3", add(g, "2", add(g, "1")))
    return g


def test_the_start_of_the_longest_path_goes_first(alone: Any) -> None:
    assert alone(chain_last()) == ["1", "2", "3", "a", "b"]


def test_a_serial_run_keeps_the_order_of_registration() -> None:
    ran.clear()
    taskloom.run(chain_last(), mode="serial")
    assert ran == ["a", "b", "1", "2", "3"]


def test_the_order_of_registration_can_be_asked_for_in_a_parallel_run(alone: Any) -> None:
    assert alone(chain_last().compile(order="registration")) == ["a", "b", "1", "2", "3"]


@needs_one_order
def test_a_user_priority_outweighs_the_longest_path(alone: Any) -> None:
    assert alone(chain_last(priority=1)) == ["a", "1", "2", "b", "3"]


@needs_one_order
def test_a_long_node_outweighs_a_path_of_short_ones(alone: Any) -> None:
    g = chain_last(estimated_duration=4)
    add(g, "short", estimated_duration=0.1)
    add(g, "shorter", estimated_duration=0.1)
    # Of a mean of 1.4 seconds "a" is 2.9: less than the path of three, more than that of two.
    assert alone(g) == ["1", "a", "2", "b", "3", "short", "shorter"]


@needs_one_order
def test_a_more_urgent_node_elsewhere_comes_before_the_next_of_a_path(alone: Any) -> None:
    g = taskloom.Graph()
    low = add(g, "low")
    add(g, "lower", low, priority=-1)
    add(g, "other", priority=0)
    assert alone(g) == ["low", "other", "lower"]


@needs_one_order
def test_a_node_that_becomes_ready_elsewhere_waits_for_the_depth_of_the_first(alone: Any) -> None:
    g = taskloom.Graph()
    first = add(g, "first")
    left, right = add(g, "left", first), add(g, "right", first)
    add(g, "left leaf", left)
    add(g, "right leaf", right)
    assert alone(g.compile(order="depth_first")) == [
        "first",
        "left",
        "left leaf",
        "right",
        "right leaf",
    ]
    assert alone(g.compile(order="critical_path")) == [
        "first",
        "left",
        "right",
        "left leaf",
        "right leaf",
    ]


def test_priorities_are_user_times_a_thousand_plus_path_plus_a_share_of_descendants() -> None:
    g = taskloom.Graph()
    first = g.options(priority=2).add(int)
    g.options(priority=-1).add(abs, first)
    g.add(abs, first)
    lines = g.compile().dump().splitlines()
    assert lines[0].endswith("by critical path")
    assert [line.split("priority ")[1].split()[0] for line in lines[1:]] == ["2002.67", "1", "-999"]


def test_a_plan_says_if_it_does_not_go_depth_first() -> None:
    g = chain_last()
    assert "by" not in g.compile().dump().splitlines()[0]
    assert g.compile(order="registration").dump().splitlines()[0].endswith("by registration")


def test_an_unknown_order_is_refused() -> None:
    with pytest.raises(OptionError, match="'depth_first', 'critical_path'"):
        taskloom.Graph().compile(order="width_first")  # type: ignore[arg-type]


def test_an_estimated_duration_is_refused_where_nothing_is_ordered() -> None:
    with taskloom.Executor(1) as executor:
        with pytest.raises(OptionError, match="orders the nodes of a graph"):
            executor.options(estimated_duration=1)
        slow = taskloom.task(abs, estimated_duration=1)
        assert executor.submit(slow, -1).result() == 1


def test_a_limited_node_may_have_an_estimated_duration() -> None:
    g = taskloom.Graph()
    node = g.options(timeout=60, estimated_duration=0.5).add(abs, -1)
    assert taskloom.run(g)[node] == 1


def test_many_participants_run_every_node_once_under_each_order() -> None:
    g = taskloom.Graph()
    level = [g.add(int, 1) for _ in range(300)]
    total = level[0]
    for width in (150, 75):
        level = [g.add(lambda a, b: a + b, *level[2 * at : 2 * at + 2]) for at in range(width)]
        total = g.add(lambda *parts: sum(parts), *level)
    with taskloom.Executor(4) as executor:
        for order in ("depth_first", "critical_path", "registration"):
            plan = g.compile(order=order)
            assert {executor.run(plan)[total] for _ in range(20)} == {300}
