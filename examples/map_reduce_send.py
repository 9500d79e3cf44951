"""Map-reduce with `Send`, streamed: each part is shown as soon as it is done.

Counts the words of some texts: one node splits, one counts each part on its own, one adds up.

    python examples/map_reduce_send.py            a built-in text
    python examples/map_reduce_send.py FILE ...   these files
"""

from __future__ import annotations

import operator
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, TypedDict

from taskloom.pregel import START, Send, StateGraph

TEXT = """the loom holds the warp and the weaver throws the weft
a thread that breaks is tied and the weaving goes on
the cloth grows row by row and each row rests on the row before"""


class State(TypedDict):
    texts: dict[str, str]
    counts: Annotated[Counter[str], operator.add]
    parts: Annotated[list[str], operator.add]
    top: list[tuple[str, int]]


class Part(TypedDict):
    name: str
    text: str


def split(state: State) -> list[Send]:
    """One task for each line that has words."""
    return [
        Send("count", {"name": f"{name}:{number}", "text": line})
        for name, text in state["texts"].items()
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip()
    ]


def count(part: Part) -> dict[str, Any]:
    """Runs once for each part, side by side, with the part as its whole input."""
    return {"counts": Counter(part["text"].lower().split()), "parts": [part["name"]]}


def reduce(state: State) -> dict[str, Any]:
    return {"top": state["counts"].most_common(3)}


def build() -> StateGraph:
    builder = StateGraph(State)
    builder.add_node(count)
    builder.add_node(reduce)
    builder.add_conditional_edges(START, split, ["count"])
    builder.add_edge("count", "reduce")
    return builder


def main() -> None:
    files = [Path(name) for name in sys.argv[1:]]
    texts = {file.name: file.read_text(errors="replace") for file in files} or {"loom": TEXT}
    for chunk in build().compile().stream({"texts": texts}):
        for node, update in chunk.items():
            if node == "count":
                print(f"{update['parts'][0]}: {sum(update['counts'].values())} words")
            else:
                print("most frequent:", ", ".join(f"{word} ({n})" for word, n in update["top"]))


if __name__ == "__main__":
    main()
