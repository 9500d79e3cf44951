"""Graphs, plans and nodes as pickles, where what they call can be pickled."""

from __future__ import annotations

import operator
import pickle
import threading
from typing import Any

import pytest
import taskloom
from taskloom import Context, forward, take, write


def again(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


def test_a_graph_comes_back_with_names_options_and_order() -> None:
    g = taskloom.Graph(on_error="continue")
    two = g.options(name="two", retry=2).add(int, "2")
    g.options(name="list").add(sorted, [3, two, {"a": 1}["a"]], reverse=True)
    g.options(name="last").add(operator.itemgetter(0), [0]).after(two)
    copied = again(g)
    assert copied.compile().dump() == g.compile().dump()
    run = taskloom.run(copied)
    assert (run["list"], run["last"]) == ([3, 2, 1], 0)


def test_a_plan_and_its_nodes_come_back_together() -> None:
    g = taskloom.Graph()
    half = g.add(int, "21")
    whole = g.add(operator.mul, half, 2)
    plan, copied_half, copied_whole = again((g.compile(keep=[half]), half, whole))
    run = taskloom.run(plan)
    assert (run[copied_half], run[copied_whole]) == (21, 42)


@pytest.mark.parametrize("slots", ["compact", "one_to_one"])
def test_a_plan_is_compiled_as_it_was(slots: Any) -> None:
    g = taskloom.Graph()
    g.add(abs, g.add(int, "1"))
    plan = g.compile(slots=slots, order="registration")
    assert again(plan).dump() == plan.dump()


def test_access_modes_and_context_come_back() -> None:
    g = taskloom.Graph()
    log = g.resource("log")
    g.add(list.append, write(log), 1)
    made = g.add(list, (2, 1))
    ordered = g.add(list.sort, forward(made))
    text = g.add(str, take(ordered))
    plan, text = again((g.compile(), text))
    mine: list[int] = []
    assert taskloom.run(plan, context=Context(log=mine))[text] == "[1, 2]"
    assert mine == [1]


def test_patterns_and_windows_come_back() -> None:
    g = taskloom.Graph()
    squares = g.options(max_concurrency=2).map(abs, [-1, -2, -3])
    total = g.reduce(operator.add, squares)
    plan, total = again((g.compile(), total))
    assert plan.graph._windows == g._windows
    assert taskloom.run(plan)[total] == 6


def test_a_plan_whose_graph_has_grown_is_refused() -> None:
    g = taskloom.Graph()
    plan = g.compile()
    g.add(int)
    with pytest.raises(pickle.PicklingError, match="has grown since it was compiled"):
        pickle.dumps(plan)


def test_what_cannot_be_pickled_is_told_as_pickle_tells_it() -> None:
    g = taskloom.Graph()
    g.add(threading.Lock().acquire)
    with pytest.raises(TypeError, match="pickle"):
        pickle.dumps(g.compile())


def test_a_plan_runs_on_several_threads_at_once() -> None:
    g = taskloom.Graph()
    level = [g.add(int, number) for number in range(50)]
    total = g.add(sum, level)
    plan = g.compile()
    found: list[int] = []
    with taskloom.Executor(2) as executor:

        def run_often() -> None:
            for mode in ("serial", "parallel") * 50:
                found.append(executor.run(plan, mode=mode)[total])  # type: ignore[arg-type]

        threads = [threading.Thread(target=run_often) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == [1225] * 400
