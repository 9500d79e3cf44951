"""Draws the pictures of docs/graphs.md into docs/pictures/: python tools/draw_pictures.py"""

from __future__ import annotations

import operator
from pathlib import Path

import taskloom
from taskloom import forward, take, write

PICTURES = Path(__file__).resolve().parent.parent / "docs" / "pictures"


def access() -> taskloom.Graph:
    g = taskloom.Graph()
    numbers = g.options(name="numbers").add(list, (3, 1, 2))
    g.options(name="before").add(len, numbers)
    g.options(name="append").add(list.append, write(numbers), 0)
    ordered = g.options(name="ordered").add(list.sort, forward(numbers))
    g.options(name="lowest").add(min, ordered)
    g.options(name="text").add(str, take(ordered))
    return g


def patterns() -> taskloom.Graph:
    g = taskloom.Graph()
    text = g.options(name="text").add(str, "to be or not to be")
    parts = g.options(name="part").partition(text, 4)
    counts = g.options(name="count").map(len, parts)
    g.options(name="total").reduce(operator.add, counts)
    return g


def tree() -> taskloom.Graph:
    g = taskloom.Graph()
    words = g.options(name="words").tree(str.split, "to be or not to be")
    words.options(name="count").child(len)
    words.options(name="longest").child(max, key=len)
    words.options(name="append").child(list.append, write(words), "that")
    ordered = words.options(name="ordered").child(list.sort, forward(words))
    ordered.options(name="text").child(" ".join, take(ordered))
    return g


def subgraph() -> taskloom.Graph:
    counting = taskloom.Graph()
    words = counting.options(name="words").add(str.split, counting.resource("text"))
    counting.options(name="count").add(len, words)
    plan = counting.compile()
    g = taskloom.Graph()
    texts = [g.options(name=f"page {n}").add(str, "to be") for n in (1, 2)]
    counts = [
        g.options(name=name).subgraph(plan, text=text)
        for name, text in zip(("first", "second"), texts, strict=True)
    ]
    g.options(name="total").add(sum, counts)
    return g


def wavefront() -> taskloom.Graph:
    g = taskloom.Graph()
    made: dict[tuple[int, int], taskloom.Node[int]] = {}
    for i in range(4):
        for j in range(4):
            near = [made[at] for at in ((i - 1, j), (i, j - 1)) if at in made]
            made[i, j] = g.options(name=f"{i},{j}").add(lambda *paths: sum(paths) or 1, *near)
    return g


GRAPHS = {
    "access": access,
    "patterns": patterns,
    "tree": tree,
    "subgraph": subgraph,
    "wavefront": wavefront,
}


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    for name, graph in GRAPHS.items():
        (PICTURES / f"{name}.svg").write_text(graph().compile().draw() + "\n")


if __name__ == "__main__":
    main()
