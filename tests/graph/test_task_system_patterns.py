"""What taskloom keeps of the graphs of a C++ coroutine task system: one test for each feature."""

from __future__ import annotations

import functools
import operator
import threading
import weakref
from typing import Any

import pytest
import taskloom
from taskloom.errors import GraphError


@pytest.fixture(params=["serial", "parallel"])
def run(request: pytest.FixtureRequest) -> Any:
    def go(target: Any, **options: Any) -> taskloom.Run:
        return taskloom.run(target, mode=request.param, **options)

    return go


def square(number: int) -> int:
    return number * number


def test_depends_on(run: Any) -> None:
    g = taskloom.Graph()
    joined = g.depends_on(g.add(int, "1"), g.add(str, "a")).add(repr)
    assert run(g)[joined] == "(1, 'a')"


def test_with_combiner(run: Any) -> None:
    g = taskloom.Graph()
    joined = g.depends_on(g.add(int, "1"), g.add(int, "2"), combiner=operator.sub).add(abs)
    assert run(g)[joined] == 1


def test_values_are_freed_when_their_last_reader_is_done() -> None:
    class Value:
        pass

    followed: list[weakref.ref[Value]] = []

    def make() -> Value:
        value = Value()
        followed.append(weakref.ref(value))
        return value

    g = taskloom.Graph()
    value = g.add(make)
    readers = g.map(id, [value, value])
    gone = g.add(lambda: followed[-1]() is None).after(*readers)
    assert taskloom.run(g, mode="serial")[gone] is True


def test_types_are_checked_when_an_edge_is_made() -> None:
    pytest.importorskip("beartype")
    g = taskloom.Graph(check_types="error")
    number = g.add(square, 3)

    def shout(text: str) -> str:
        raise AssertionError("checked, not called")

    with pytest.raises(GraphError, match="is to be str, but node 'square#0'"):
        g.add(shout, number)
    assert len(g) == 1


def test_parallel() -> None:
    barrier = threading.Barrier(3, timeout=30)
    g = taskloom.Graph()
    g.map(lambda _: barrier.wait(), range(3))
    with taskloom.Executor(3) as executor:
        assert executor.run(g).ok


def test_map(run: Any) -> None:
    g = taskloom.Graph()
    squares = g.map(square, [1, 2, 3])
    assert run(g)[squares] == [1, 4, 9]


def test_reduce(run: Any) -> None:
    g = taskloom.Graph()
    total = g.reduce(operator.add, g.map(square, range(10)))
    assert run(g)[total] == 285


def test_fold(run: Any) -> None:
    g = taskloom.Graph()
    folded = g.add(functools.reduce, operator.sub, g.map(square, range(4)), 100)
    assert run(g)[folded] == 86


def test_fan_out(run: Any) -> None:
    g = taskloom.Graph()
    items = g.add(list, "abc")
    letters = g.map(operator.getitem, items, range(3))
    assert run(g)[letters] == ["a", "b", "c"]


def test_fan_in(run: Any) -> None:
    g = taskloom.Graph()
    joined = g.add("-".join, g.map(str, range(3)))
    assert run(g)[joined] == "0-1-2"


def test_aggregate(run: Any) -> None:
    g = taskloom.Graph()
    group = g.map(square, range(4))
    least, most = g.add(min, group), g.add(max, group)
    got = run(g)
    assert (got[least], got[most]) == (0, 9)


def test_partition(run: Any) -> None:
    g = taskloom.Graph()
    parts = g.partition(g.add(list, range(5)), 2)
    assert run(g)[parts] == [[0, 1], [2, 3, 4]]


def test_concat(run: Any) -> None:
    g = taskloom.Graph()
    whole = g.concat(g.partition(g.add(list, range(5)), 2))
    assert run(g)[whole] == [0, 1, 2, 3, 4]


def test_scatter_and_gather(run: Any) -> None:
    g = taskloom.Graph()
    parts = g.partition(g.add(list, range(6)), 3)
    doubled = g.concat(g.map(lambda part: [2 * item for item in part], parts))
    assert run(g)[doubled] == [0, 2, 4, 6, 8, 10]


def test_a_window_on_concurrency() -> None:
    lock = threading.Lock()
    inside = most = 0
    pair = threading.Barrier(2, timeout=30)

    def visit(_: int) -> None:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        pair.wait()  # only two at once can get on
        with lock:
            inside -= 1
        pair.wait()

    g = taskloom.Graph()
    g.options(max_concurrency=2).map(visit, range(6))
    with taskloom.Executor(4) as executor:
        assert executor.run(g).ok
    assert most == 2
