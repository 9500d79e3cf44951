"""How long values live, who may read them, and that nothing is left behind."""

from __future__ import annotations

import gc
import sys
import weakref
from typing import Any

import pytest
import taskloom
from taskloom.errors import ValueFreedError

Mode = Any
MODES = ["serial", "parallel"]


class Token:
    """Something that a weak reference can watch."""


@pytest.mark.parametrize("mode", MODES)
def test_a_value_is_freed_when_its_last_reader_is_done(mode: Mode) -> None:
    g = taskloom.Graph()
    watched: list[weakref.ref[Token]] = []

    def make() -> Token:
        token = Token()
        watched.append(weakref.ref(token))
        return token

    def alive(*_: object) -> bool:
        return watched[0]() is not None

    token = g.add(make)
    reader = g.add(alive, token)
    last_reader = g.add(alive, token).after(reader)
    later = g.add(alive).after(last_reader)
    run = taskloom.run(g, mode=mode)
    assert (run[reader], run[last_reader], run[later]) == (True, True, False)


@pytest.mark.parametrize("mode", MODES)
def test_a_freed_value_says_how_to_keep_it(mode: Mode) -> None:
    g = taskloom.Graph()
    first = g.options(name="first").add(int, "1")
    g.add(abs, first)
    run = taskloom.run(g, mode=mode)
    with pytest.raises(ValueFreedError, match=r"'first' was freed.*compile\(keep=\[node\]\)"):
        run[first]


@pytest.mark.parametrize("mode", MODES)
def test_kept_and_terminal_values_stay(mode: Mode) -> None:
    g = taskloom.Graph()
    a = g.add(int, "1")
    b = g.add(float, a)
    c = g.add(str, b)
    run = taskloom.run(g.compile(keep=[a]), mode=mode)
    assert (run[a], run[c]) == (1, "1.0")
    with pytest.raises(ValueFreedError):
        run[b]
    everything = taskloom.run(g.compile(slots="one_to_one"), mode=mode)
    assert (everything[a], everything[b], everything[c]) == (1, 1.0, "1.0")


@pytest.mark.parametrize("mode", MODES)
def test_two_runs_leave_every_reference_count_as_it_was(mode: Mode) -> None:
    g = taskloom.Graph()
    constant, function = Token(), lambda *args, **kwargs: Token()
    a = g.add(function, constant)
    b = g.add(function, a, [a, constant], k=a)
    g.add(function, a, b)
    g.add(function, b)
    plan = g.compile()
    counts = sys.getrefcount(constant), sys.getrefcount(function)
    for _ in range(2):
        taskloom.run(plan, mode=mode)
    assert (sys.getrefcount(constant), sys.getrefcount(function)) == counts


@pytest.mark.parametrize("mode", MODES)
def test_a_failing_run_frees_what_its_skipped_nodes_would_have_read(mode: Mode) -> None:
    g = taskloom.Graph()
    watched: list[weakref.ref[Token]] = []

    def make() -> Token:
        token = Token()
        watched.append(weakref.ref(token))
        return token

    token, bad = g.add(make), g.add(int, "x")
    g.add(lambda *_: None, token, bad)
    g.add(lambda *_: None, token, bad)
    run = taskloom.run(g, mode=mode, check=False)
    assert not run.ok
    assert watched[0]() is None


def test_a_run_keeps_its_values_until_it_is_dropped() -> None:
    g = taskloom.Graph()
    node = g.add(Token)
    run = taskloom.run(g)
    watched = weakref.ref(run[node])
    assert watched() is not None
    del run
    assert watched() is None


def test_runs_of_one_plan_do_not_share_values() -> None:
    g = taskloom.Graph()
    node = g.add(Token)
    plan = g.compile()
    first, second = taskloom.run(plan), taskloom.run(plan)
    assert first[node] is not second[node]


def test_a_cycle_through_a_graph_and_its_plan_is_collected() -> None:
    class Callable:
        graph: Any = None
        plan: Any = None

        def __call__(self) -> None:
            return None

    function = Callable()
    function.graph = taskloom.Graph()
    function.graph.add(function)
    function.plan = function.graph.compile()
    watched = weakref.ref(function)
    del function
    gc.collect()
    assert watched() is None


def test_a_cycle_through_a_run_and_its_value_is_collected() -> None:
    g = taskloom.Graph()
    node = g.add(Token)
    run = taskloom.run(g)
    watched = weakref.ref(run[node])
    run[node].run = run  # type: ignore[attr-defined]
    del run
    gc.collect()
    assert watched() is None


def test_a_cycle_through_a_run_and_its_plans_callables_is_collected() -> None:
    g = taskloom.Graph()
    box: list[Any] = []
    g.add(box.copy)
    g.add(box.__iter__)
    run = taskloom.run(g)
    box.append(run)
    watched = weakref.ref(run)
    del run, box, g
    gc.collect()
    assert watched() is None


@pytest.mark.parametrize("mode", MODES)
def test_a_chain_of_a_million_nodes_runs(mode: Mode) -> None:
    g = taskloom.Graph()
    node = g.add(int)
    step = (1).__add__
    for _ in range(1_000_000):
        node = g.add(step, node)
    assert taskloom.run(g, mode=mode)[node] == 1_000_000


def test_foreign_and_late_nodes_are_not_in_a_run() -> None:
    g, other = taskloom.Graph(), taskloom.Graph()
    g.add(int)
    run = taskloom.run(g)
    late, foreign = g.add(int), other.add(int)
    for node in (late, foreign):
        assert node not in run
        with pytest.raises(KeyError, match="not in this run's plan"):
            run[node]


def test_a_value_is_found_by_the_name_of_its_node() -> None:
    g = taskloom.Graph()
    g.options(name="answer").add(int, "42")
    assert taskloom.run(g)["answer"] == 42


def test_a_graph_that_grew_is_compiled_again() -> None:
    g = taskloom.Graph()
    first = g.add(int, "1")
    assert taskloom.run(g)[first] == 1
    second = g.add(abs, first)
    assert taskloom.run(g)[second] == 1


def test_the_empty_graph_runs() -> None:
    assert taskloom.run(taskloom.Graph()).ok
