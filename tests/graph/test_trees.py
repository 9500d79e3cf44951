"""Trees: one parent each, the parent's value flowing on, and who may stand beside whom."""

from __future__ import annotations

import random
from typing import Any

import pytest
import taskloom
from taskloom import Context, Forward, Take, Tree, Write, copy, forward, read, take, write
from taskloom.errors import GraphError


@pytest.fixture(params=["serial", "parallel"])
def run(request: pytest.FixtureRequest) -> Any:
    def go(target: Any, **options: Any) -> taskloom.Run:
        return taskloom.run(target, mode=request.param, **options)

    return go


def passing(value: Any) -> Any:
    return value


def test_the_value_of_the_parent_flows_to_its_children(run: Any) -> None:
    g = taskloom.Graph()
    root = g.tree(str.split, "to be or not")
    count = root.child(len)
    longest = root.child(max, key=len)
    shouted = longest.child(str.upper)
    got = run(g)
    assert [got[tree] for tree in (count, shouted)] == [4, "NOT"]


def test_the_value_comes_first_unless_the_tree_stands_elsewhere(run: Any) -> None:
    g = taskloom.Graph()
    root = g.tree(int, "2")
    first, second = root.child(pow, 5), root.child(pow, 5, root)
    keyword = root.child(int, "11", base=root)
    got = run(g)
    assert [got[tree] for tree in (first, second, keyword)] == [32, 25, 3]


def test_a_function_without_parameters_is_called_without_the_value(run: Any) -> None:
    def constant() -> int:
        return 7

    g = taskloom.Graph()
    root = g.tree(int, "2")
    child = root.child(constant)
    optioned = root.child(taskloom.task(constant, name="named"))
    got = run(g)
    assert (got[child], got[optioned]) == (7, 7)
    assert child.node.name == "constant#1"
    assert child.node.parents == (root.node,)


def test_a_subtree_runs_only_if_its_parent_chain_succeeded(run: Any) -> None:
    g = taskloom.Graph()
    root = g.options(on_error="continue").tree(passing, "x")
    bad = root.options(name="bad", on_error="continue").child(int)
    below = bad.child(str).child(len)
    beside = root.child(str.upper)
    unlooking = bad.child(lambda: "does not look at the value")
    got = run(g, check=False)
    assert got[beside] == "X"
    assert got.why(unlooking.node).status == "skipped"
    assert [node.name for node in got.why(below.node).chain][-1] == "bad"


def test_readers_stand_side_by_side(run: Any) -> None:
    g = taskloom.Graph()
    root = g.tree(list, "abc")
    readers = [root.child(len), root.child(read_all, read(root)), root.child("".join)]
    got = run(g)
    assert [got[tree] for tree in readers] == [3, ["a", "b", "c"], "abc"]
    assert {edge[0] for edge in g.compile()._edges} == {root.node.index}


def read_all(items: list[str]) -> list[str]:
    return list(items)


def test_writers_are_ordered_as_they_were_added(run: Any) -> None:
    g = taskloom.Graph()
    root = g.tree(list)
    for number in range(20):
        root.child(list.append, write(root), number)
    last = root.child(tuple)
    assert run(g)[last] == tuple(range(20))


def test_a_copy_leaves_the_value_alone(run: Any) -> None:
    g = taskloom.Graph()
    root = g.tree(list, "ab")
    mine = root.child(list.pop, copy(root))
    rest = root.child(tuple)
    got = run(g)
    assert (got[mine], got[rest]) == ("b", ("a", "b"))


def test_a_taker_comes_last(run: Any) -> None:
    g = taskloom.Graph()
    root = g.tree(list, "ab")
    size, text = root.child(len), root.child("".join, take(root))
    got = run(g)
    assert (got[size], got[text]) == (2, "ab")


def test_a_forwarding_child_passes_the_object_of_its_parent_on(run: Any) -> None:
    g = taskloom.Graph()
    made = []

    def make() -> list[int]:
        made.append([2, 1])
        return made[-1]

    root = g.tree(make)
    ordered = root.child(list.sort, forward(root))
    more = ordered.child(list.append, forward(ordered), 3)
    seen = more.child(passing)
    assert run(g)[seen] is made[-1]
    assert made[-1] == [1, 2, 3]


def test_modes_of_annotations_hold_in_trees() -> None:
    def eat(items: Take[list[int]]) -> None: ...

    def fill(items: Write[list[int]]) -> None: ...

    def order(items: Forward[list[int]]) -> None: ...

    root = taskloom.Graph().tree(list)
    root.child(fill)
    ordered = root.child(order)
    with pytest.raises(GraphError, match=r"'eat' .* but 'order#2' stands for that object"):
        root.child(eat)
    ordered.child(eat)
    with pytest.raises(GraphError, match=r"'len' is to read .* 'list#0', which 'eat#3' takes"):
        root.child(len)


@pytest.mark.parametrize("mode", [read, copy, write, forward, take])
def test_nobody_stands_behind_a_taker(mode: Any) -> None:
    root = taskloom.Graph().tree(list)
    root.options(name="eater").child(len, take(root))
    with pytest.raises(GraphError, match="which 'eater' takes: add 'late' before 'eater'"):
        root.options(name="late").child(len, mode(root))


@pytest.mark.parametrize("mode", [write, forward, take])
def test_who_changes_a_forwarded_object_grows_from_who_stands_for_it(mode: Any) -> None:
    root = taskloom.Graph().tree(list)
    now = root.options(name="now").child(list.sort, forward(root))
    with pytest.raises(GraphError, match="'now' stands for that object"):
        root.child(list.clear, mode(root))
    now.child(list.clear, mode(now))


def test_a_refused_child_leaves_no_node_behind() -> None:
    g = taskloom.Graph()
    root = g.tree(list)
    root.child(len, take(root))
    with pytest.raises(GraphError):
        root.child(len)
    assert (len(g), len(root.children)) == (2, 1)


def test_a_second_parent_is_refused() -> None:
    g = taskloom.Graph()
    other = g.options(name="other").add(int)
    root = g.options(name="root").tree(int)
    for second in (other, [other], {"x": (other,)}, taskloom.Group([other, other])):
        with pytest.raises(GraphError, match="grows from 'root' and is to be given 'other' too"):
            root.child(max, second)


def test_values_of_the_context_are_no_parents(run: Any) -> None:
    g = taskloom.Graph()
    root = g.tree(int, "3")
    child = root.child(pow, g.resource("exponent"))
    typed = root.child(str.zfill, g.from_context(str), root)
    got = run(g, context=Context("5", exponent=2))
    assert (got[child], got[typed]) == (9, "005")


def test_a_tree_may_grow_from_a_value_of_the_context(run: Any) -> None:
    g = taskloom.Graph()
    log = g.tree(g.resource("log"))
    log.child(list.append, write(log), "a")
    with pytest.raises(GraphError, match="belongs to who gave the context"):
        log.child(len, take(log))
    mine: list[str] = []
    run(g, context=Context(log=mine))
    assert mine == ["a"]


def test_then_is_for_the_only_child() -> None:
    root = taskloom.Graph().tree(int)
    root.then(abs)
    with pytest.raises(GraphError, match="the only one after"):
        root.child(abs)
    with pytest.raises(GraphError, match="the only one after"):
        root.then(abs)
    other = taskloom.Graph().tree(int)
    other.child(abs)
    with pytest.raises(GraphError, match="use child"):
        other.then(abs)


def test_an_empty_tree_is_refused_at_compile() -> None:
    g = taskloom.Graph()
    tree = g.tree()
    with pytest.raises(GraphError, match="a tree without a root"):
        g.compile()
    tree.root(int, "4")
    with pytest.raises(GraphError, match="has a root already"):
        tree.root(int)
    assert taskloom.run(g)[tree] == 4


def test_an_empty_tree_is_no_argument_and_grows_nothing() -> None:
    g = taskloom.Graph()
    tree = g.tree()
    with pytest.raises(GraphError, match="no root yet"):
        tree.child(len)
    g.add(len, tree)
    with pytest.raises(GraphError, match="without a root"):
        g.compile()


def test_a_tree_stands_for_its_node_as_an_argument(run: Any) -> None:
    g = taskloom.Graph()
    left, right = g.tree(int, "1"), g.tree(list, "ab")
    joined = g.add(lambda a, b: (a, b), left, [right])
    gone = g.add(len, take(right))
    got = run(g)
    assert (got[joined], got[gone]) == ((1, [["a", "b"]]), 2)


def test_options_are_given_through_a_view(run: Any) -> None:
    g = taskloom.Graph()
    root = g.options(name="root", retry=2).tree(int, "1")
    child = root.options(name="child").options(priority=3).child(abs)
    last = child.options(name="last").then(abs)
    assert root.node.options is not None
    assert (root.node.name, root.node.options.get("retry").attempts) == ("root", 2)
    assert child.node.options is not None
    assert (child.node.options.get("priority"), "retry" in child.node.options) == (3, False)
    assert run(g)["last"] == 1
    assert last.node is g.node("last")


def test_parents_and_children_of_trees_and_their_nodes_agree() -> None:
    root = taskloom.Graph().tree(int)
    a, b = root.child(abs), root.child(abs)
    c = a.then(abs)
    assert (root.parent, a.parent, c.parent) == (None, root, a)
    assert root.children == (a, b)
    assert root.node.children == (a.node, b.node)
    assert c.node.parents == (a.node,)
    assert list(root) == [root, a, c, b]


@pytest.mark.parametrize("seed", range(10))
def test_a_serial_run_goes_depth_first_however_the_tree_was_grown(seed: int) -> None:
    draw = random.Random(seed)
    taken: list[int] = []
    g = taskloom.Graph()

    def visit(_: object, number: int) -> list[int]:
        taken.append(number)
        return []

    made: list[Tree] = [g.tree(visit, None, 0)]
    for number in range(1, 40):
        tree = draw.choice(made)
        use = draw.choice([read, write, copy])
        made.append(tree.child(visit, use(tree), number))
    taskloom.run(g, mode="serial")
    assert taken == [made.index(tree) for tree in made[0]]


def test_a_deep_tree_runs_without_recursion(run: Any) -> None:
    g = taskloom.Graph()
    tree = root = g.tree(int)
    for _ in range(5000):
        tree = tree.then((1).__add__)
    assert run(g)[tree] == 5000
    assert sum(1 for _ in root) == 5001
