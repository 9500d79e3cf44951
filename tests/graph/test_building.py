"""What a graph accepts, what it refuses, and with which words."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any

import pytest
import taskloom
from taskloom.errors import CycleError, GraphError, OptionError


def double(x: int) -> int:
    return 2 * x


def keyword_only(*, a: int, b: int = 1) -> int:
    return a + b


def test_nodes_pass_values_by_position_and_keyword() -> None:
    g = taskloom.Graph()
    a = g.add(int, "3")
    b = g.add(pow, a, 2)
    c = g.add(keyword_only, a=b, b=a)
    assert taskloom.run(g)[c] == 12


def test_nodes_inside_lists_tuples_and_dictionaries_are_resolved() -> None:
    g = taskloom.Graph()
    one, two = g.add(int, "1"), g.add(int, "2")
    shape = g.add(lambda *a, **k: (a, k), [one, (two, {"k": [one, 9]})], key={two: (one,)})
    assert taskloom.run(g)[shape] == (([1, (2, {"k": [1, 9]})],), {"key": {2: (1,)}})


def test_containers_without_nodes_arrive_as_the_same_object() -> None:
    g = taskloom.Graph()
    constant = [1, [2], {"a": ()}]
    node = g.add(lambda x, y: x, constant, [g.add(int)])
    assert taskloom.run(g)[node] is constant


def test_a_container_that_holds_itself_is_a_constant() -> None:
    g = taskloom.Graph()
    knot: list[Any] = []
    knot.append(knot)
    node = g.add(len, knot)
    assert taskloom.run(g)[node] == 1


def test_a_missing_argument_is_refused_at_add() -> None:
    g = taskloom.Graph()
    with pytest.raises(GraphError, match=r"node 'double#0': missing a required argument: 'x'"):
        g.add(double)


def test_too_many_arguments_are_refused_at_add() -> None:
    with pytest.raises(GraphError, match="too many positional arguments"):
        taskloom.Graph().add(double, 1, 2)


def test_an_unknown_keyword_is_refused_at_add() -> None:
    with pytest.raises(GraphError, match="unexpected keyword argument 'y'"):
        taskloom.Graph().add(double, 1, y=2)


def test_a_missing_keyword_is_refused_at_add() -> None:
    with pytest.raises(GraphError, match="missing a required"):
        taskloom.Graph().add(keyword_only)


def test_methods_partials_and_classes_are_checked_without_their_bound_arguments() -> None:
    class Box:
        def __init__(self, value: int) -> None:
            self.value = value

        def plus(self, other: int) -> int:
            return self.value + other

    g = taskloom.Graph()
    box = g.add(Box, 1)
    method = g.add(Box(40).plus, 2)
    half = g.add(partial(pow, 2), 5)
    run = taskloom.run(g)
    assert (run[box].value, run[method], run[half]) == (1, 42, 32)
    for wrong in (Box, Box(1).plus):
        with pytest.raises(GraphError):
            g.add(wrong)


def test_a_callable_that_is_not_hashable_is_accepted() -> None:
    class Callable:
        __hash__ = None  # type: ignore[assignment]

        def __call__(self, x: int) -> int:
            return x

    g = taskloom.Graph()
    node = g.add(Callable(), 5)
    assert taskloom.run(g)[node] == 5


def test_something_that_cannot_be_called_is_refused() -> None:
    with pytest.raises(TypeError, match="needs a callable, not 3"):
        taskloom.Graph().add(3)  # type: ignore[arg-type]


def test_a_node_of_another_graph_is_refused_wherever_it_stands() -> None:
    g, other = taskloom.Graph(), taskloom.Graph()
    foreign = other.options(name="theirs").add(int)
    own = g.add(int)
    with pytest.raises(GraphError, match="'theirs' belongs to another graph"):
        g.add(double, foreign)
    with pytest.raises(GraphError, match="'theirs'"):
        g.add(keyword_only, a=foreign)
    with pytest.raises(GraphError, match="'theirs'"):
        own.after(foreign)
    with pytest.raises(GraphError, match="'theirs'"):
        g.compile(keep=[foreign])
    g.add(len, [[foreign]])
    with pytest.raises(GraphError, match="'theirs'"):
        g.compile()


def test_a_cycle_is_named_node_by_node() -> None:
    g = taskloom.Graph()
    a = g.options(name="a").add(int)
    b = g.options(name="b").add(double, a)
    c = g.options(name="c").add(double, b)
    a.after(c)
    with pytest.raises(CycleError, match="cycle: b -> c -> a -> b") as e:
        g.compile()
    assert set(e.value.nodes) == {a, b, c}


def test_a_duplicate_name_is_refused() -> None:
    g = taskloom.Graph()
    g.options(name="n").add(int)
    with pytest.raises(GraphError, match="a node named 'n' already"):
        g.options(name="n").add(double, 1)
    assert len(g) == 1


def test_an_unknown_node_name_brings_up_the_nearest() -> None:
    g = taskloom.Graph()
    g.options(name="total").add(int)
    with pytest.raises(KeyError, match="did you mean 'total'"):
        g.node("totl")


def test_after_and_before_order_nodes_that_share_no_value() -> None:
    g = taskloom.Graph()
    seen: list[str] = []
    last = g.add(seen.append, "last")
    first = g.add(seen.append, "first")
    middle = g.add(seen.append, "middle").before(last).after(first)
    g.options(after=[last, middle]).add(seen.append, "end")
    taskloom.run(g)
    assert seen == ["first", "middle", "last", "end"]


def test_of_the_nodes_that_are_ready_the_most_urgent_runs_first() -> None:
    g = taskloom.Graph()
    seen: list[int] = []
    for priority in (0, 3, -2, 50, 3):
        g.options(priority=priority).add(seen.append, priority)
    taskloom.run(g, mode="serial")
    assert seen == [50, 3, 3, 0, -2]


def test_of_the_nodes_that_become_ready_together_the_most_urgent_runs_first() -> None:
    g = taskloom.Graph()
    seen: list[int] = []
    source = g.add(int)
    for priority in (1, 2):
        g.options(priority=priority, after=[source]).add(seen.append, priority)
    taskloom.run(g, mode="serial")
    assert seen == [2, 1]


def test_only_nodes_order_nodes() -> None:
    with pytest.raises(TypeError, match="not int"):
        taskloom.Graph().add(int).after(3)  # type: ignore[arg-type]


def test_tasks_called_inside_a_with_block_become_nodes() -> None:
    twice = taskloom.task(double)
    with taskloom.Graph() as g:
        node = twice(twice(10))
    assert len(g) == 2
    assert taskloom.run(g)[node] == 40  # type: ignore[call-overload]
    assert twice(1) == 2


def test_the_ambient_graph_does_not_travel_to_other_threads() -> None:
    import contextvars

    twice = taskloom.task(double)
    with taskloom.Graph() as g:
        context = contextvars.copy_context()
        got: list[int] = []
        thread = threading.Thread(target=lambda: got.append(context.run(twice, 4)))
        thread.start()
        thread.join()
    assert got == [8]
    assert len(g) == 0


def test_nested_with_blocks_fill_the_inner_graph() -> None:
    twice = taskloom.task(double)
    with taskloom.Graph() as outer:
        with taskloom.Graph() as inner:
            twice(1)
        twice(2)
        twice(3)
    assert (len(outer), len(inner)) == (2, 1)


def test_options_of_a_view_win_over_those_of_the_task() -> None:
    flaky = taskloom.task(double, retry=5, on_error="continue")
    g = taskloom.Graph()
    node = g.options(retry=2).add(flaky, 1)
    assert node.options is not None
    assert node.options.get("retry") == taskloom.Retry(2)
    assert node.options.get("on_error") == "continue"


def test_a_task_keeps_its_options_without_a_view() -> None:
    g = taskloom.Graph()
    node = g.add(taskloom.task(double, name="twice", on_error="continue"), 1)
    assert node.name == "twice#0"
    assert node.options is not None
    assert node.options.get("on_error") == "continue"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"retyr": 1}, "did you mean 'retry'"),
        ({"place": "proces"}, "did you mean 'process'"),
        ({"on_error": "ignore"}, "choose from cancel_dependents"),
        ({"priority": "high"}, "whole number"),
        ({"timeout": 0}, "seconds above 0"),
        ({"retry": 0}, "at least 1"),
        ({"name": ""}, "not empty"),
        ({"isolate_context": 1}, "True or False"),
        ({"after": "node"}, "a list"),
    ],
)
def test_a_wrong_option_is_refused_with_what_would_be_right(
    options: dict[str, Any], words: str
) -> None:
    with pytest.raises(OptionError, match=words):
        taskloom.Graph().options(**options)
    with pytest.raises(OptionError, match=words):
        taskloom.task(double, **options)


def test_an_option_of_single_nodes_is_refused_for_a_graph() -> None:
    with pytest.raises(OptionError, match=r"use graph\.options\(name="):
        taskloom.Graph(name="x")


def test_nodes_can_be_added_from_several_threads() -> None:
    g = taskloom.Graph()

    def work() -> None:
        for _ in range(500):
            g.add(double, 1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [node.index for node in g.nodes] == list(range(2000))
    assert taskloom.run(g).ok
