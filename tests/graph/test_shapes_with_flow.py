"""Shapes and flow together: branches and loops in subgraphs, subgraphs in branches, windows."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import taskloom
from taskloom import AbortBranch, Context, RetryTask, catch


@pytest.fixture(params=["serial", "parallel"])
def run(request: pytest.FixtureRequest) -> Any:
    def go(target: Any, **options: Any) -> taskloom.Run:
        return taskloom.run(target, mode=request.param, **options)

    return go


def deciding() -> taskloom.Graph:
    """Doubles the resource `text` if it is a number, and counts its letters otherwise."""
    g = taskloom.Graph()
    text = g.resource("text")
    g.branch(
        g.add(str.isdigit, text),
        {True: lambda g: g.add((2).__mul__, g.add(int, text)), False: g.add(len, text)},
    )
    return g


@pytest.mark.parametrize(("text", "expected"), [("21", 42), ("word", 4)])
def test_a_branch_works_inside_a_subgraph(run: Any, text: str, expected: int) -> None:
    g = taskloom.Graph()
    decided = g.subgraph(deciding(), text=g.add(str, text))
    shown = g.add(str, decided)
    got = run(g)
    assert got.ok
    assert got[shown] == str(expected)


@pytest.mark.parametrize(("number", "expected"), [(1, "1!"), (2, 2)])
def test_a_subgraph_may_be_the_case_of_a_branch(run: Any, number: int, expected: Any) -> None:
    inner = taskloom.Graph()
    inner.add("{}!".format, inner.resource("number"))
    g = taskloom.Graph()
    chosen = g.add(int, number)
    value = g.branch(
        g.add((1).__eq__, chosen),
        {True: lambda g: g.subgraph(inner, number=chosen), False: lambda g: g.add(abs, chosen)},
    )
    assert run(g)[value] == expected


def test_a_pattern_may_be_the_case_of_a_branch(run: Any) -> None:
    g = taskloom.Graph()
    value = g.branch(
        g.add(bool, 1),
        {
            True: lambda g: g.add(sum, g.map(abs, [-1, -2])),
            False: lambda g: g.tree(int, "1").then(abs),
        },
    )
    assert run(g)[value] == 3


def test_a_value_of_the_context_asked_for_in_a_case_is_there_for_others(run: Any) -> None:
    g = taskloom.Graph()
    value = g.branch(g.add(bool, 0), {True: lambda g: g.add(len, g.resource("x")), False: 0})
    other = g.add(len, g.resource("x"))
    got = run(g, context=Context(x="abc"))
    assert (got[value], got[other]) == (0, 3)


def test_a_loop_works_inside_a_subgraph(run: Any) -> None:
    inner = taskloom.Graph()
    inner.loop((2).__mul__, inner.resource("start"), max_iterations=5)
    g = taskloom.Graph()
    looped = g.subgraph(inner, start=g.add(int, "3"))
    assert run(g)[looped] == 96


def test_a_node_that_ends_its_branch_leaves_its_window(run: Any) -> None:
    def stop(number: int) -> int:
        raise AbortBranch(number)

    g = taskloom.Graph()
    group = g.options(max_concurrency=1).map(stop, range(5))
    got = run(g)
    assert got.ok
    assert got[group] == [0, 1, 2, 3, 4]


def test_a_node_that_is_tried_again_keeps_its_place_in_the_window() -> None:
    lock = threading.Lock()
    inside = most = 0
    tries = dict.fromkeys(range(6), 0)

    def visit(number: int) -> int:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
            tries[number] += 1
        with lock:
            inside -= 1
        if tries[number] < 3:
            raise RetryTask
        return number

    g = taskloom.Graph()
    group = g.options(max_concurrency=1).map(visit, range(6))
    with taskloom.Executor(3) as executor:
        got = executor.run(g)
    assert got[group] == list(range(6))
    assert (most, set(tries.values())) == (1, {3})


def test_a_pattern_may_catch(run: Any) -> None:
    g = taskloom.Graph()
    numbers = g.map(catch(int, {ValueError: -1}), ["1", "x", "3"])
    assert run(g)[numbers] == [1, -1, 3]
