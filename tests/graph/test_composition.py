"""A graph or plan as part of another: values, context, order, options, failures, drawing."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest
import taskloom
from taskloom import Context, copy, read, take, write
from taskloom.errors import GraphError, OptionError, ValueFreedError


@pytest.fixture(params=["serial", "parallel"])
def run(request: pytest.FixtureRequest) -> Any:
    def go(target: Any, **options: Any) -> taskloom.Run:
        return taskloom.run(target, mode=request.param, **options)

    return go


def counting(**options: Any) -> taskloom.Graph:
    """Counts the words of the resource `text`."""
    g = taskloom.Graph(**options)
    words = g.options(name="words").add(str.split, g.resource("text"))
    g.options(name="count").add(len, words)
    return g


def test_a_graph_is_added_with_its_inputs_bound(run: Any) -> None:
    g = taskloom.Graph()
    text = g.add(str.upper, "to be")
    first = g.subgraph(counting(), text=text)
    total = g.add(int.__mul__, first, 10)
    assert run(g)[total] == 20


def test_a_plan_may_be_added_many_times(run: Any) -> None:
    plan = counting().compile()
    g = taskloom.Graph()
    counts = [
        g.options(name=f"part{place}").subgraph(plan, text=text)
        for place, text in enumerate(["a", "a b", "a b c"])
    ]
    total = g.add(sum, counts)
    got = run(g)
    assert got[total] == 6
    assert g.node("part2.words").parents == ()


def test_inputs_may_be_typed(run: Any) -> None:
    inner = taskloom.Graph()
    inner.add(pow, inner.from_context(int), inner.resource("exponent"))
    g = taskloom.Graph()
    power = g.subgraph(inner, {int: g.add(int, "2")}, exponent=5)
    assert run(g)[power] == 32


def test_what_is_not_bound_is_asked_of_the_context(run: Any) -> None:
    g = taskloom.Graph()
    count = g.subgraph(counting())
    letters = g.add(len, g.resource("text"))
    got = run(g, context=Context(text="to be"))
    assert (got[count], got[letters]) == (2, 5)


def test_an_unknown_input_is_refused() -> None:
    with pytest.raises(GraphError, match="asks its context for 'text', and not for 'txt'"):
        taskloom.Graph().subgraph(counting(), txt="a")


def test_a_node_of_the_inner_graph_leads_to_what_it_became(run: Any) -> None:
    inner = counting()
    g = taskloom.Graph()
    sub = g.subgraph(inner, text=g.add(str, "to be"))
    outer = sub[inner.node("words")]
    assert outer is sub["words"]
    assert outer.graph is g
    listed = g.add(tuple, sub["words"])
    assert run(g)[listed] == ("to", "be")
    with pytest.raises(KeyError, match="no node of the graph"):
        sub[outer]


def test_several_ends_stand_for_the_tuple_of_their_values(run: Any) -> None:
    inner = taskloom.Graph()
    inner.map(abs, [-1, -2, -3])
    g = taskloom.Graph()
    total = g.add(sum, g.subgraph(inner))
    assert run(g)[total] == 6


def test_arguments_in_containers_keywords_and_groups_come_along(run: Any) -> None:
    inner = taskloom.Graph()
    ones = inner.map(int, ["1", "2"])
    pair = inner.depends_on(*ones)
    tree = inner.tree(int, "7")
    inner.add(lambda a, *, b, c: (a, b, c), {"x": [ones]}, b=pair, c=tree)
    g = taskloom.Graph()
    sub = g.subgraph(inner)
    assert run(g)[sub] == ({"x": [[1, 2]]}, (1, 2), 7)


def test_access_modes_order_uses_across_the_graphs(run: Any) -> None:
    inner = taskloom.Graph()
    log = inner.resource("log")
    inner.add(list.append, write(log), "inner")
    inner.add(tuple, copy(log))
    g = taskloom.Graph()
    shared = g.add(list)
    g.add(list.append, write(shared), "before")
    g.subgraph(inner, log=shared)
    g.add(list.append, write(shared), "after")
    last = g.add(tuple, take(shared))
    assert run(g)[last] == ("before", "inner", "after")


def test_modes_at_the_call_still_overrule_annotations() -> None:
    def fill(target: taskloom.Write[list[int]]) -> None: ...

    inner = taskloom.Graph()
    x = inner.add(list)
    inner.add(fill, read(x))
    g = taskloom.Graph()
    g.subgraph(inner)
    assert g.compile()._facts.uses == {}


def test_a_constant_for_what_is_written_to_is_refused() -> None:
    inner = taskloom.Graph()
    inner.options(name="note").add(list.append, write(inner.resource("log")), 1)
    with pytest.raises(GraphError, match="'note' of the inner graph is to write the value"):
        taskloom.Graph().subgraph(inner, log=[])


def test_how_an_input_is_used_is_not_for_the_outer_graph_to_say() -> None:
    g = taskloom.Graph()
    with pytest.raises(GraphError, match="give it plain"):
        g.subgraph(counting(), text=take(g.add(str)))


def test_order_only_edges_come_along() -> None:
    inner = taskloom.Graph()
    first, second = inner.add(int), inner.add(int)
    first.after(second)
    g = taskloom.Graph()
    g.add(int)
    g.subgraph(inner)
    assert g.compile()._edges == [(2, 1, 1)]


def test_a_subgraph_comes_after_and_before_others(run: Any) -> None:
    taken: list[str] = []
    inner = taskloom.Graph()
    inner.add(taken.append, "inner")
    g = taskloom.Graph()
    first = g.add(int)
    last = g.add(taken.append, "last")
    sub = g.options(after=[first]).subgraph(inner).before(last)
    run(g)
    assert taken == ["inner", "last"]
    assert (first.index, sub.nodes[0].index, 1) in g.compile()._edges


def test_failures_and_reasons_come_through(run: Any) -> None:
    g = taskloom.Graph()
    bad = g.options(name="bad").add(int, "x")
    sub = g.options(name="pre").subgraph(counting(), text=bad)
    last = g.options(name="last").add(str, sub)
    reason = run(g, check=False).why(last)
    assert [node.name for node in reason.chain] == ["last", "pre.count", "pre.words", "bad"]
    assert isinstance(reason.error, ValueError)


def test_defaults_of_the_inner_graph_stay_with_its_nodes(run: Any) -> None:
    tries: list[int] = []

    def fail() -> None:
        tries.append(1)
        raise ValueError

    inner = taskloom.Graph(on_error="cancel_run", retry=3)
    inner.add(fail)
    g = taskloom.Graph()
    sub = g.subgraph(inner)
    late = g.add(str, g.add(str).after(g.add(int)))
    got = run(g, check=False)
    assert len(tries) == 3
    assert sub.nodes[0].options is not None
    assert sub.nodes[0].options.get("on_error") == "cancel_run"
    assert got.why(late).status in ("cancelled", "done")


def test_options_of_the_view_hold_where_nothing_nearer_is_said() -> None:
    inner = taskloom.Graph()
    inner.options(priority=2).add(int)
    inner.add(int)
    g = taskloom.Graph()
    sub = g.options(priority=7, retry=2).subgraph(inner)
    found = [node.options for node in sub.nodes]
    assert [options and options.get("priority") for options in found] == [2, 7]
    with pytest.raises(OptionError, match="timeout"):
        g.options(timeout=3).subgraph(inner)


def test_windows_come_along() -> None:
    inner = taskloom.Graph()
    inner.options(max_concurrency=2).map(int, "12")
    inner.add(int)
    g = taskloom.Graph()
    g.options(max_concurrency=5).subgraph(inner)
    limits, members = g._windows
    assert [limits[members[index]] for index in range(3)] == [2, 2, 5]


def test_a_name_that_is_there_already_asks_for_a_prefix() -> None:
    g = taskloom.Graph()
    g.subgraph(counting(), text="a")
    with pytest.raises(GraphError, match="give the subgraph a name"):
        g.subgraph(counting(), text="b")
    assert len(g) == 2
    g.options(name="second").subgraph(counting(), text="b")


def test_what_the_inner_plan_keeps_is_kept() -> None:
    inner = counting()
    plan = inner.compile(keep=[inner.node("words")])
    g = taskloom.Graph()
    kept = g.options(name="kept").subgraph(plan, text="a b")
    freed = g.options(name="freed").subgraph(inner, text="a b")
    got = taskloom.run(g)
    assert got[kept["words"]] == ["a", "b"]
    with pytest.raises(ValueFreedError):
        got[freed["words"]]


def test_later_growth_of_the_inner_graph_does_not_matter(run: Any) -> None:
    inner = counting()
    plan = inner.compile()
    inner.add(print, inner.node("count"))
    g = taskloom.Graph()
    sub = g.subgraph(plan, text="a b")
    inner.add(print)
    assert len(sub) == len(g) == 2
    assert run(g)[sub] == 2


def test_a_graph_in_itself_is_refused() -> None:
    g = taskloom.Graph()
    with pytest.raises(GraphError, match="part of itself"):
        g.subgraph(g)
    with pytest.raises(TypeError, match=r"to add a graph or plan: subgraph\("):
        g.add(taskloom.Graph().compile())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a graph or a plan"):
        g.subgraph(len)  # type: ignore[arg-type]


def nested() -> taskloom.Plan:
    middle = taskloom.Graph()
    counts = [
        middle.options(name=name).subgraph(counting(), text=middle.resource(name)) for name in "ab"
    ]
    middle.options(name="most").add(max, *counts)
    g = taskloom.Graph()
    text = g.options(name="text").add(str, "a b")
    most = g.options(name="pre").subgraph(middle, a=text, b="a")
    g.options(name="out").add(str, most)
    return g.compile()


def test_subgraphs_nest(run: Any) -> None:
    assert run(nested())["out"] == "2"


def test_subgraphs_are_boxes_in_mermaid() -> None:
    assert nested().draw("mermaid").splitlines()[:13] == [
        "flowchart TD",
        '    n0["text"]',
        '    n6["out"]',
        '    subgraph b0["pre"]',
        '        n5["pre.most"]',
        '        subgraph b1["pre.a"]',
        '            n1["pre.a.words"]',
        '            n2["pre.a.count"]',
        "        end",
        '        subgraph b2["pre.b"]',
        '            n3["pre.b.words"]',
        '            n4["pre.b.count"]',
        "        end",
    ]


def test_subgraphs_are_clusters_in_dot() -> None:
    text = nested().draw("dot")
    assert 'subgraph cluster_1 { label="pre.a"' in text
    assert text.count("{") == text.count("}")


def test_subgraphs_are_outlined_in_svg() -> None:
    root = ElementTree.fromstring(nested().draw())
    space = "{http://www.w3.org/2000/svg}"
    assert len(root.findall(f"{space}rect")) == 7 + 3
    texts = [element.text for element in root.findall(f"{space}text")]
    assert {"pre", "pre.a", "pre.a.words"} <= set(texts)
