"""Draws the pictures of docs/state-graphs.md into docs/pictures/state/."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypedDict

from taskloom.pregel import END, START, StateGraph

PICTURES = Path(__file__).resolve().parent.parent / "docs" / "pictures" / "state"


class State(TypedDict):
    text: str


def same(state: State) -> State:
    return state


def with_nodes(*names: str) -> StateGraph[Any]:
    builder = StateGraph(State)
    for name in names:
        builder.add_node(name, same)
    return builder


def join() -> Any:
    builder = with_nodes("split", "spell", "count", "report")
    builder.add_edge(START, "split")
    builder.add_edge("split", "spell")
    builder.add_edge("split", "count")
    builder.add_edge(["spell", "count"], "report")
    return builder.compile().get_graph()


def agent() -> Any:
    builder = with_nodes("model", "approve", "tools")
    builder.add_edge(START, "model")
    ends: Any = {"a tool": "approve", "an answer": END}
    builder.add_conditional_edges("model", lambda state: "an answer", ends)
    builder.add_edge("approve", "tools")
    builder.add_edge("tools", "model")
    return builder.compile(interrupt_before=["approve"]).get_graph()


def nested() -> Any:
    inner = with_nodes("draft", "check")
    inner.add_edge(START, "draft")
    inner.add_edge("draft", "check")
    inner.add_conditional_edges("check", lambda state: END, {"again": "draft", "good": END})
    outer = with_nodes("outline")
    outer.add_node("write", inner.compile())
    outer.add_node("print", same)
    outer.add_edge(START, "outline")
    outer.add_edge("outline", "write")
    outer.add_edge("write", "print")
    return outer.compile().get_graph(xray=True)


GRAPHS = {"join": join, "agent": agent, "nested": nested}


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    for name, drawing in GRAPHS.items():
        (PICTURES / f"{name}.svg").write_text(drawing().draw_svg() + "\n")


if __name__ == "__main__":
    main()
