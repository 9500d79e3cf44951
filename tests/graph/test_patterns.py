"""Patterns: map, reduce, partition, concat, depends_on, and the groups they compose through."""

from __future__ import annotations

import operator
from typing import Any

import pytest
import taskloom
from taskloom import Group, copy, take, write
from taskloom.errors import GraphError, OptionError


@pytest.fixture(params=["serial", "parallel"])
def run(request: pytest.FixtureRequest) -> Any:
    def go(target: Any, **options: Any) -> taskloom.Run:
        return taskloom.run(target, mode=request.param, **options)

    return go


def square(number: int) -> int:
    return number * number


def test_map_goes_through_items(run: Any) -> None:
    g = taskloom.Graph()
    squares = g.map(square, [1, 2, 3])
    assert run(g)[squares] == [1, 4, 9]


def test_map_goes_through_the_outputs_of_a_group(run: Any) -> None:
    g = taskloom.Graph()
    fourth = g.map(square, g.map(square, [1, 2, 3]))
    assert run(g)[fourth] == [1, 16, 81]


def test_map_goes_through_several_sequences_in_step(run: Any) -> None:
    g = taskloom.Graph()
    sums = g.map(operator.add, g.map(square, [1, 2]), [10, 20])
    assert run(g)[sums] == [11, 24]


def test_map_makes_n_outputs_of_one_input(run: Any) -> None:
    g = taskloom.Graph()
    table = g.add(list, "abc")
    letters = g.map(operator.getitem, table, range(3))
    assert run(g)[letters] == ["a", "b", "c"]


def test_the_keywords_of_map_belong_to_the_function(run: Any) -> None:
    def scaled(number: int, *, by: int, timeout: int) -> int:
        return number * by + timeout

    g = taskloom.Graph()
    by = g.add(int, "3")
    group = g.map(scaled, range(3), by=by, timeout=1)
    assert run(g)[group] == [1, 4, 7]


def test_map_refuses_sequences_of_different_lengths() -> None:
    with pytest.raises(GraphError, match="they are 2, 3 long"):
        taskloom.Graph().map(operator.add, [1, 2], [1, 2, 3])


def test_map_refuses_to_go_through_the_unknown_value_of_a_node() -> None:
    g = taskloom.Graph()
    node = g.add(list, "abc")
    with pytest.raises(GraphError, match="partition"):
        g.map(str.upper, node)


def test_map_of_nothing_is_an_empty_group(run: Any) -> None:
    g = taskloom.Graph()
    total = g.add(sum, g.map(square, []))
    assert run(g)[total] == 0


def test_the_nodes_of_a_pattern_are_named_after_it() -> None:
    g = taskloom.Graph()
    fetched = g.options(name="fetch").map(square, range(2))
    total = g.options(name="total").reduce(operator.add, range(4))
    assert [node.name for node in fetched] == ["fetch[0]", "fetch[1]"]
    assert total.name == "total"
    assert g.node("total[1]") is g.nodes[3]


def test_an_access_mode_around_a_group_holds_for_each_call(run: Any) -> None:
    g = taskloom.Graph()
    lists = g.map(list, ["ab", "cd"])
    g.map(list.append, write(lists), "xy")
    texts = g.map("".join, take(lists))
    assert run(g)[texts] == ["abx", "cdy"]


def test_an_access_mode_around_a_single_node_holds_for_each_call(run: Any) -> None:
    g = taskloom.Graph()
    log = g.add(list)
    g.map(list.append, write(log), range(5))
    mine = g.map(list.pop, copy(log), range(2))
    last = g.add(tuple, log)
    got = run(g)
    assert got[last] == (0, 1, 2, 3, 4)
    assert got[mine] == [0, 1]


def test_a_group_is_a_list_of_values_as_an_argument(run: Any) -> None:
    g = taskloom.Graph()
    group = g.map(square, range(3))
    listed = g.add(repr, group)
    nested = g.add(repr, {"all": [group, group[:1]]})
    got = run(g)
    assert got[listed] == "[0, 1, 4]"
    assert got[nested] == "{'all': [[0, 1, 4], [0]]}"


def test_a_run_gives_the_values_of_groups_and_joins() -> None:
    g = taskloom.Graph()
    group = g.map(square, range(3))
    pair = g.depends_on(group[2], group)
    got = taskloom.run(g.compile(keep=[pair]))
    g.add(sum, group)
    assert (got[group], got[pair]) == ([0, 1, 4], (4, [0, 1, 4]))


def test_all_of_a_group_may_be_kept() -> None:
    g = taskloom.Graph()
    group = g.map(square, range(3))
    g.add(sum, group)
    assert taskloom.run(g.compile(keep=[group]))[group] == [0, 1, 4]
    with pytest.raises(TypeError, match="keep takes nodes"):
        g.compile(keep=[3])  # type: ignore[list-item]


def test_groups_are_sequences_of_nodes() -> None:
    g = taskloom.Graph()
    group = g.map(square, range(4))
    assert group[1] is group.nodes[1]
    assert [*group[2:], *group[:2]] == [*(group[2:] + group[:2])]
    assert (len(group), group[3] in group, repr(group[:1])) == (4, True, "<group of 1: square#0>")
    with pytest.raises(TypeError, match="number 1 of these is none"):
        Group([group[0], 7])  # type: ignore[list-item]


def test_reduce_keeps_the_order_of_the_values(run: Any) -> None:
    for count in range(1, 20):
        for split_every in (2, 3, 4):
            g = taskloom.Graph()
            text = g.reduce(operator.add, g.map(str, range(count)), split_every=split_every)
            assert run(g)[text] == "".join(map(str, range(count)))


def test_reduce_is_a_tree(run: Any) -> None:
    g = taskloom.Graph()
    top = g.reduce(operator.add, g.map(int, range(64)))

    def depth(node: taskloom.Node[Any]) -> int:
        return 1 + max(map(depth, node.parents), default=0)

    assert depth(top) == 7
    assert run(g)[top] == sum(range(64))


def test_reduce_begins_with_the_initial_value(run: Any) -> None:
    g = taskloom.Graph()
    start = g.add(str, "<")
    text = g.reduce(operator.add, ["a", "b", "c"], initial=start, split_every=3)
    alone = g.reduce(operator.add, [], initial="-")
    got = run(g)
    assert (got[text], got[alone]) == ("<abc", "-")


def test_reduce_maps_first_in_one_call(run: Any) -> None:
    g = taskloom.Graph()
    total = g.options(name="total").reduce(operator.add, [1, 2, 3], map=square, initial=100)
    assert run(g)[total] == 114
    assert {node.name for node in g.nodes} >= {"total", "total.map[1]", "total.map[3]"}


def test_reducing_one_value_gives_its_node() -> None:
    g = taskloom.Graph()
    only = g.add(int, "4")
    assert g.reduce(operator.add, [only]) is only
    named = g.options(name="total").reduce(operator.add, [only])
    assert (named.name, taskloom.run(g)[named]) == ("total", 4)


def test_reduce_of_nothing_is_refused() -> None:
    with pytest.raises(GraphError, match="nothing to combine"):
        taskloom.Graph().reduce(operator.add, [])


def test_reduce_may_take_what_it_combines(run: Any) -> None:
    def merge(left: list[int], right: list[int]) -> list[int]:
        left += right
        return left

    g = taskloom.Graph()
    parts = g.map(list, [(1, 2), (3,), (4,), (5, 6), (7,)])
    merged = g.reduce(merge, take(parts))
    assert run(g)[merged] == [1, 2, 3, 4, 5, 6, 7]
    assert g.compile()._facts.takes


def test_a_reduction_that_takes_leaves_constants_alone(run: Any) -> None:
    start: list[int] = []
    g = taskloom.Graph()
    merged = g.reduce(operator.iadd, take(g.map(list, ["ab", "c"])), initial=start)
    plan = g.compile()
    assert [run(plan)[merged] for _ in range(2)] == [["a", "b", "c"]] * 2
    assert start == []


def test_an_access_mode_around_constants_is_as_for_add() -> None:
    g = taskloom.Graph()
    with pytest.raises(GraphError, match="a constant of the graph"):
        g.map(list.clear, write([[1], [2]]))
    ends = g.map(list.pop, copy([[1, 2], [3]]))
    plan = g.compile()
    assert [taskloom.run(plan)[ends] for _ in range(2)] == [[2, 3]] * 2


def test_a_mapped_reduction_keeps_few_values_alive_in_a_serial_run() -> None:
    alive = most = 0

    class Value:
        def __init__(self, number: int) -> None:
            nonlocal alive, most
            alive += 1
            most = max(most, alive)
            self.number = number

        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    g = taskloom.Graph()
    total = g.reduce(lambda a, b: Value(a.number + b.number), range(256), map=Value)
    got = taskloom.run(g, mode="serial")
    assert got[total].number == sum(range(256))
    assert most <= 10  # log2(256) + the one being made and the one beside it


def test_partition_slices_a_value(run: Any) -> None:
    g = taskloom.Graph()
    text = g.add(str, "abcdefg")
    thirds = g.partition(text, 3)
    assert run(g)[thirds] == ["ab", "cd", "efg"]


def test_partition_sorts_items_by_a_function(run: Any) -> None:
    g = taskloom.Graph()
    numbers = g.add(range, 7)
    even, odd = g.partition(numbers, 2, by=lambda number: number % 2)
    got = run(g)
    assert (got[even], got[odd]) == ([0, 2, 4, 6], [1, 3, 5])


def test_partition_of_a_group_lists_its_values(run: Any) -> None:
    g = taskloom.Graph()
    halves = g.partition(g.map(square, range(5)), 2)
    assert run(g)[halves] == [[0, 1], [4, 9, 16]]


def test_a_part_that_is_not_there_is_named(run: Any) -> None:
    g = taskloom.Graph()
    parts = g.partition(g.add(range, 3), 2, by=int)
    (error,) = run(g, check=False).exceptions().values()
    assert isinstance(error, IndexError)
    assert str(error) == "by(2) is 2, but the parts are 0 to 1"
    assert len(parts) == 2


@pytest.mark.parametrize("parts", [0, -1, True, 1.5])
def test_a_number_of_parts_that_is_none_is_refused(parts: Any) -> None:
    with pytest.raises(GraphError, match="a whole number from 1"):
        taskloom.Graph().partition("abc", parts)


def test_concat_undoes_partition(run: Any) -> None:
    numpy = pytest.importorskip("numpy")
    g = taskloom.Graph()
    whole = ["abcde", b"abcde", (1, 2, 3), [1, 2, 3], numpy.arange(5)]
    again = [g.concat(g.partition(g.add(lambda value=value: value), 2)) for value in whole]
    got = run(g)
    for value, node in zip(whole, again, strict=True):
        assert type(got[node]) is type(value)
        assert list(got[node]) == list(value)


def test_concat_may_be_a_tree(run: Any) -> None:
    g = taskloom.Graph()
    text = g.concat(g.map(str, range(10)), split_every=3)
    assert run(g)[text] == "0123456789"
    assert len(text.parents) <= 3


def test_depends_on_packs_values_into_a_tuple(run: Any) -> None:
    g = taskloom.Graph()
    users, orders = g.add(str, "u"), g.add(str, "o")
    joined = g.depends_on(users, orders).add(lambda both, sep: sep.join(both), "+")
    as_argument = g.add(repr, g.depends_on(users, orders))
    got = run(g)
    assert (got[joined], got[as_argument]) == ("u+o", "('u', 'o')")


def test_depends_on_has_a_combiner_called_once(run: Any) -> None:
    calls = []

    def merge(*values: int) -> int:
        calls.append(values)
        return sum(values)

    g = taskloom.Graph()
    parents = g.map(square, range(4))
    total = g.depends_on(*parents, combiner=merge)
    first, second = total.add(str), total.add(float)
    taken = g.add(repr, take(total))
    got = run(g)
    assert (got[first], got[second], got[taken]) == ("14", 14.0, "14")
    assert calls == [(0, 1, 4, 9)]


def test_options_of_a_join_hold_for_what_is_added() -> None:
    g = taskloom.Graph()
    joined = g.options(name="join").depends_on(g.add(int), g.add(int), combiner=max)
    assert joined.add(str).name == "join"


def test_depends_on_nothing_is_refused() -> None:
    with pytest.raises(GraphError, match="names no parent"):
        taskloom.Graph().depends_on()


def test_a_mode_in_a_tuple_is_refused() -> None:
    g = taskloom.Graph()
    x = g.add(list)
    with pytest.raises(GraphError, match="give a combiner"):
        g.depends_on(x, write(x))


def test_a_mode_on_several_values_is_refused() -> None:
    g = taskloom.Graph()
    with pytest.raises(GraphError, match="stands for several values"):
        g.add(sum, take(g.map(int, range(2))))


def test_parents_and_children_are_along_values_only() -> None:
    g = taskloom.Graph()
    a, b = g.add(int), g.add(int)
    c = g.add(max, [b, a, b])
    d = g.add(str, c).after(a)
    assert (c.parents, d.parents, a.parents) == ((b, a), (c,), ())
    assert (a.children, c.children, d.children) == ((c,), (d,), ())
    e = g.add(str, a)
    assert a.children == (c, e)


@pytest.mark.parametrize("limit", [0, -1, True, 1.5, "2"])
def test_a_window_that_lets_nobody_in_is_refused(limit: Any) -> None:
    with pytest.raises(OptionError, match="max_concurrency"):
        taskloom.Graph().options(max_concurrency=limit)
