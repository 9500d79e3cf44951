"""Graphs as text that draws them, and what else a graph says about itself."""

from itertools import pairwise
from typing import Any, Literal, TypedDict
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


def test_mermaid_text_has_labels_and_breakpoints() -> None:
    text = small().compile(interrupt_before=["b"]).get_graph().draw_mermaid()
    assert 'b["b<br/>interrupt before"]' in text
    assert "b -.->|more| a" in text


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
    assert {("__start__", "sub:a", False), ("sub:a", "sub:b", True)} <= inside
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
