"""Slips of who builds a graph, as to use a node as its value: each error says what is meant."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import pytest
import taskloom
from taskloom import Graph, take, write
from taskloom.errors import CycleError, GraphError, OptionError

# What is tried with a node, and the call that the message names.
SLIPS: dict[str, tuple[Callable[[Any], object], str]] = {
    "sum": (sum, "g.add(sum, node)"),
    "a for loop": (lambda node: [item for item in node], "g.partition(node, n)"),  # noqa: C416
    "unpacking": (lambda node: operator.add(*node), "g.partition(node, n)"),
    "if": (lambda node: 1 if node else 2, "g.branch(node, {...})"),
    "not": (operator.not_, "g.branch(node, {...})"),
    "len": (len, "g.add(len, node)"),
    "int": (int, "g.add(int, node)"),
    "float": (float, "g.add(float, node)"),
    "abs": (abs, "g.add(abs, node)"),
    "minus": (operator.neg, "g.add(operator.neg, node)"),
    "tilde": (operator.invert, "g.add(operator.invert, node)"),
    "plus a value": (lambda node: node + 1, "g.add(operator.add, node, 1)"),
    "a value plus": (lambda node: "a" + node, "g.add(operator.add, 'a', node)"),
    "plus a node": (lambda node: node + node, "g.add(operator.add, node, other)"),
    "times": (lambda node: 2 * node, "g.add(operator.mul, 2, node)"),
    "power": (lambda node: node**2, "g.add(operator.pow, node, 2)"),
    "matrix product": (lambda node: node @ 2, "g.add(operator.matmul, node, 2)"),
    "both bits": (lambda node: node & 3, "g.add(operator.and_, node, 3)"),
    "either bit": (lambda node: 3 | node, "g.add(operator.or_, 3, node)"),
    "less": (lambda node: node < 3, "g.add(operator.lt, node, 3)"),
    "at least": (lambda node: 3 <= node, "g.add(operator.ge, node, 3)"),  # noqa: SIM300
    "an item": (lambda node: node[0], "g.add(operator.getitem, node, 0)"),
    "a key": (lambda node: node["size"], "g.add(operator.getitem, node, 'size')"),
    "in": (lambda node: 3 in node, "g.add(operator.contains, node, 3)"),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_a_node_in_place_of_its_value_is_refused_with_the_call_that_is_meant(slip: str) -> None:
    attempt, meant = SLIPS[slip]
    node = Graph().options(name="numbers").add(list)
    with pytest.raises(TypeError, match="node 'numbers' has no value before it has run") as caught:
        attempt(node)
    assert meant in str(caught.value)


def test_the_sum_of_a_group_of_nodes_names_the_sum_of_their_values() -> None:
    g = Graph()
    with pytest.raises(TypeError, match=r"g\.add\(sum, nodes\)"):
        sum(g.map(len, ["a", "b"]))  # type: ignore[arg-type]


def test_an_attribute_of_a_value_is_refused_with_the_calls_that_may_be_meant() -> None:
    node: Any = Graph().options(name="text").add(str)
    with pytest.raises(AttributeError) as caught:
        node.upper()
    for part in ("'text'", "attrgetter('upper')", "methodcaller('upper')", "run[node]"):
        assert part in str(caught.value)
    assert not hasattr(node, "__array__")
    assert not hasattr(node, "shape")


def test_nodes_are_equal_to_themselves_alone_and_stand_in_lists_and_sets() -> None:
    g = Graph()
    one, two = g.add(list), g.add(list)
    assert one == one  # noqa: PLR0124
    assert one != two
    assert two in [one, two]
    assert len({one, two, one}) == 2


def test_a_node_cannot_be_called_and_is_no_function_of_another() -> None:
    g = Graph()
    node: Any = g.add(list)
    with pytest.raises(TypeError, match="not callable"):
        node()
    with pytest.raises(TypeError, match=r"a node is an argument: add\(function, node\)"):
        g.add(node)


def test_what_is_no_function_is_refused_by_add() -> None:
    with pytest.raises(TypeError, match=r"a node needs a callable, not 3: add\(function, \*arg"):
        Graph().add(3)  # type: ignore[call-overload]


def test_an_option_among_the_arguments_is_refused_with_where_options_go() -> None:
    g = Graph()
    with pytest.raises(GraphError, match=r"g\.options\(timeout=2\)\.add\(\.\.\.\)"):
        g.add(len, "abc", timeout=2)


def test_a_node_as_the_list_of_what_to_come_after_is_refused() -> None:
    g = Graph()
    node: Any = g.add(list)
    with pytest.raises(OptionError, match="must be a list of what to come after"):
        g.options(after=node)


def test_a_node_is_run_with_its_graph() -> None:
    node: Any = Graph().add(list)
    with pytest.raises(TypeError, match=r"run\(node\.graph\)\[node\]"):
        taskloom.run(node)


def test_two_access_modes_for_one_argument_are_refused() -> None:
    g = Graph()
    with pytest.raises(GraphError, match="is used in one way"):
        g.add(len, write(take(g.add(list))))


def test_a_copier_that_cannot_be_called_is_refused() -> None:
    wrong: Any = 3
    with pytest.raises(TypeError, match="copier"):
        taskloom.copy([], wrong)


def test_what_became_of_a_node_may_be_asked_by_its_name() -> None:
    g = Graph()
    g.options(name="answer").add(int, "42")
    run = taskloom.run(g)
    assert run.why("answer").status == "done"
    with pytest.raises(KeyError, match="did you mean 'answer'"):
        run.why("anser")
    wrong: Any = 3
    with pytest.raises(TypeError, match="a node or its name, not 3"):
        run.why(wrong)


def test_a_number_to_go_through_is_refused_with_the_range_that_is_meant() -> None:
    wrong: Any = 3
    with pytest.raises(TypeError, match=r"range\(3\)"):
        Graph().map(abs, wrong)


def test_a_branch_needs_cases() -> None:
    g = Graph()
    node, wrong = g.add(int), [1]
    with pytest.raises(GraphError, match="nothing to choose from"):
        g.branch(node, {})
    with pytest.raises(TypeError, match="a mapping from values"):
        g.branch(node, wrong)  # type: ignore[arg-type]


def test_a_case_is_a_function_of_the_graph() -> None:
    g = Graph()
    with pytest.raises(TypeError, match="case True is to be a function of the graph"):
        g.branch(g.add(bool), {True: lambda: 3})


def test_a_context_is_no_dictionary() -> None:
    wrong: Any = {"x": 1}
    g = Graph()
    g.resource("x")
    with pytest.raises(TypeError, match=r"taskloom\.Context"):
        taskloom.run(g, context=wrong)


def test_one_node_to_keep_is_given_as_a_list() -> None:
    g = Graph()
    node: Any = g.options(name="answer").add(int)
    with pytest.raises(TypeError, match=r"keep=\[answer\]"):
        g.compile(keep=node)


def test_a_cycle_by_access_modes_says_which_use_it_follows_from() -> None:
    g = Graph()
    numbers = g.add(list)
    reader = g.options(name="reader").add(len, numbers)
    writer = g.options(name="writer").add(list.append, write(numbers), 1)
    reader.after(writer)
    with pytest.raises(CycleError, match="'writer' comes after 'reader' because of how they use"):
        g.compile()


def test_a_run_that_is_called_says_how_a_value_is_asked_for() -> None:
    graph = taskloom.Graph()
    node = graph.add(abs, -1)
    run: Any = taskloom.run(graph)
    with pytest.raises(TypeError, match=r"run\[node\] is the value of a node"):
        run(node)
