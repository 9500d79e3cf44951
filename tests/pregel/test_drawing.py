"""Graphs as text that draws them, and what else a graph says about itself."""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated, Any, Literal, TypedDict
from xml.etree import ElementTree

import draw_state_graphs
import pytest
from taskloom.pregel import END, START, Command, NodeBuilder, Pregel, StateGraph
from taskloom.pregel.channels import EphemeralValue, LastValue


class State(TypedDict):
    x: int


def go(state: State) -> Command[Literal["b"]]:
    return Command(goto="b")


def edges_of(graph: Any, **options: Any) -> set[tuple[str, str, bool]]:
    drawn = graph.get_graph(**options).to_json()["edges"]
    return {(edge["source"], edge["target"], edge.get("conditional", False)) for edge in drawn}


def small() -> StateGraph:
    builder = StateGraph(State)
    builder.add_node("a", go)
    builder.add_node("b", lambda state: state)
    builder.add_edge(START, "a")
    builder.add_conditional_edges("b", lambda state: "done", {"more": "a", "done": END})
    return builder


def test_edges_are_drawn_with_what_decides_them() -> None:
    assert edges_of(small().compile()) == {
        ("__start__", "a", False),
        ("a", "b", True),
        ("b", "a", True),
        ("b", "__end__", True),
    }


def test_mermaid_text_is_that_of_langgraph() -> None:
    drawing = small().compile(interrupt_before=["b"]).get_graph()
    assert drawing.draw_mermaid(with_styles=False).splitlines() == [
        "graph TD;",
        "\t__start__ --> a;",
        "\ta -.-> b;",
        "\tb -. &nbsp;done&nbsp; .-> __end__;",
        "\tb -. &nbsp;more&nbsp; .-> a;",
    ]
    assert drawing.draw_mermaid().splitlines() == [
        *("---", "config:", "  flowchart:", "    curve: linear", "---", "graph TD;"),
        "\t__start__([<p>__start__</p>]):::first",
        "\ta(a)",
        "\tb(b<hr/><small><em>__interrupt = before</em></small>)",
        "\t__end__([<p>__end__</p>]):::last",
        "\t__start__ --> a;",
        "\ta -.-> b;",
        "\tb -. &nbsp;done&nbsp; .-> __end__;",
        "\tb -. &nbsp;more&nbsp; .-> a;",
        "\tclassDef default fill:#f2f0ff,line-height:1.2",
        "\tclassDef first fill-opacity:0",
        "\tclassDef last fill:#bfb6fc",
    ]


def test_mermaid_text_puts_subgraphs_in_boxes() -> None:
    builder = StateGraph(State)
    builder.add_node("sub graph", small().compile())
    builder.add_edge(START, "sub graph")
    text = builder.compile().get_graph(xray=True).draw_mermaid(with_styles=False)
    assert text.splitlines() == [
        "graph TD;",
        "\t__start__ --> sub\\20graph\\3a__start__;",
        "\tsub\\20graph\\3a__end__ --> __end__;",
        "\tsubgraph sub graph",
        "\tsub\\20graph\\3a__start__ --> sub\\20graph\\3aa;",
        "\tsub\\20graph\\3aa -.-> sub\\20graph\\3ab;",
        "\tsub\\20graph\\3ab -. &nbsp;done&nbsp; .-> sub\\20graph\\3a__end__;",
        "\tsub\\20graph\\3ab -. &nbsp;more&nbsp; .-> sub\\20graph\\3aa;",
        "\tend",
    ]


def test_long_labels_are_broken_and_metadata_is_escaped() -> None:
    builder = StateGraph(State)
    builder.add_node("a", lambda state: state, metadata={"tools": ["x", "y"], "why": "a<b"})
    builder.add_edge(START, "a")
    builder.add_conditional_edges("a", lambda state: END, {"one two three": "a", "no": END})
    drawing = builder.compile().get_graph()
    text = drawing.draw_mermaid(wrap_label_n_words=2, curve_style="basis")
    assert "\ta -. &nbsp;one two&nbsp<br>&nbspthree&nbsp; .-> a;\n" in text
    assert "\ta(a<hr/><small><em>tools = x, y\nwhy = a#60;b</em></small>)\n" in text
    assert "    curve: basis\n" in text


def test_two_subgraphs_of_one_name_cannot_be_told_apart_in_mermaid() -> None:
    middle = StateGraph(State)
    middle.add_node("same", small().compile())
    middle.add_node("after", lambda state: state)
    middle.add_edge(START, "same")
    middle.add_edge("same", "after")
    outer = StateGraph(State)
    outer.add_node("same", middle.compile())
    outer.add_edge(START, "same")
    with pytest.raises(ValueError, match="two subgraphs are called 'same'"):
        outer.compile().get_graph(xray=True).draw_mermaid()


def test_a_node_that_waits_for_all_else_is_drawn_after_what_ran_last() -> None:
    builder = StateGraph(State)
    for name in ("a", "b", "c"):
        builder.add_node(name, lambda state: state)
    builder.add_node("late", lambda state: state, defer=True)
    for start, end in ((START, "a"), ("a", "b"), ("b", "c"), ("a", "late")):
        builder.add_edge(start, end)
    assert {("a", "late", False), ("c", "late", True)} <= edges_of(builder.compile())


def test_nodes_can_be_looked_at() -> None:
    nodes = small().compile(interrupt_after=["a"]).get_graph().nodes
    assert nodes["a"].data is go
    assert nodes["a"].metadata == {"__interrupt": "after"}
    assert nodes["__end__"].data is None


def test_dot_text_has_nodes_and_edges() -> None:
    text = small().compile().get_graph().draw_dot()
    assert '"a" -> "b" [style=dashed];' in text
    assert text.startswith("digraph {")


def test_xray_draws_what_is_inside_of_a_subgraph() -> None:
    builder = StateGraph(State)
    builder.add_node("sub", small().compile())
    builder.add_edge(START, "sub")
    graph = builder.compile()
    assert ("__start__", "sub", False) in edges_of(graph)
    inside = edges_of(graph, xray=True)
    assert {("__start__", "sub:__start__", False), ("sub:__start__", "sub:a", False)} <= inside
    assert {("sub:a", "sub:b", True), ("sub:__end__", "__end__", False)} <= inside
    assert [name for name, _ in graph.get_subgraphs()] == ["sub"]


def test_a_graph_of_cells_is_drawn_by_what_it_writes() -> None:
    graph = Pregel(
        nodes={
            "one": NodeBuilder().subscribe_only("in").do(str).write_to("mid"),
            "two": NodeBuilder().subscribe_only("mid").do(len).write_to("out"),
        },
        channels={"in": EphemeralValue(int), "mid": LastValue(str), "out": LastValue(int)},
        input_channels="in",
        output_channels="out",
    )
    assert edges_of(graph) == {
        ("__start__", "one", False),
        ("one", "two", False),
        ("two", "__end__", False),
    }


def test_json_schemas_of_input_and_output() -> None:
    graph = small().compile()
    assert graph.get_input_jsonschema()["properties"]["x"]["type"] == "integer"
    assert graph.get_output_jsonschema()["title"] == "State"
    assert graph.get_context_jsonschema() is None


def test_configured_copy_leaves_the_graph_as_it_was() -> None:
    graph = small().compile()
    limited = graph.with_config(recursion_limit=7)
    assert limited.config == {"recursion_limit": 7}
    assert graph.config is None


def boxes(picture: str) -> dict[str, tuple[float, float]]:
    """Where the boxes stand, by the text in them: left and top."""
    root = ElementTree.fromstring(picture)
    svg = "{http://www.w3.org/2000/svg}"
    drawn = list(root)
    return {
        str(after.text): (float(box.get("x", "")), float(box.get("y", "")))
        for box, after in pairwise(drawn)
        if box.tag == f"{svg}rect" and after.tag == f"{svg}text"
    }


def test_a_picture_shows_each_node_below_what_leads_to_it() -> None:
    found = boxes(small().compile().get_graph().draw_svg())
    heights = [found[name][1] for name in ("__start__", "a", "b", "__end__")]
    assert heights == sorted(set(heights))


def test_a_picture_shows_labels_breakpoints_and_what_may_be_taken() -> None:
    picture = small().compile(interrupt_before=["b"]).get_graph().draw_svg()
    for text in (">more<", ">done<", ">interrupt before<"):
        assert text in picture
    assert picture.count("stroke-dasharray") == 3  # a to b, and both ways out of b


def test_an_edge_to_itself_is_drawn() -> None:
    builder = StateGraph(State)
    builder.add_node("a", lambda state: state)
    builder.add_edge(START, "a")
    builder.add_conditional_edges("a", lambda state: END, ["a", END])
    picture = builder.compile().get_graph().draw_svg()
    assert picture.count("marker-end") == 3


def test_names_are_escaped_in_a_picture() -> None:
    builder = StateGraph(State)
    builder.add_node("a < b", lambda state: state)
    builder.add_edge(START, "a < b")
    assert "a < b" in boxes(builder.compile().get_graph().draw_svg())


@pytest.mark.parametrize("name", sorted(draw_state_graphs.GRAPHS))
def test_a_picture_of_the_docs_is_what_is_drawn_today(name: str) -> None:
    kept = (draw_state_graphs.PICTURES / f"{name}.svg").read_text()
    assert kept == draw_state_graphs.GRAPHS[name]().draw_svg() + "\n"


@dataclass
class Loose:
    must: str
    may: int | None
    also: Annotated[float | None, "said about it"]
    has: list[int] = field(default_factory=list)


def test_a_dataclass_field_that_may_be_none_may_be_left_out_of_the_input() -> None:
    builder = StateGraph(Loose).add_node("a", lambda state: {}).add_edge(START, "a")
    for schema in (
        builder.compile().get_input_jsonschema(),
        builder.compile().get_output_jsonschema(),
    ):
        assert schema["required"] == ["must"]
        assert schema["properties"]["may"]["default"] is None
