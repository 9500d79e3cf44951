"""Composition: a graph that is part of another one, twice, with different inputs.

python examples/composition.py
"""

from __future__ import annotations

import taskloom
from taskloom import Context, write


def cleaning() -> taskloom.Graph:
    """Cleans the resource `text`, and says so in the resource `log`."""
    g = taskloom.Graph()
    words = g.options(name="words").add(str.split, g.resource("text"))
    lowered = g.options(name="lowered").add(lambda items: [item.lower() for item in items], words)
    note = g.add(lambda items: f"{len(items)} words", lowered)
    g.options(name="noted").add(list.append, write(g.resource("log")), note)
    return g


def main() -> None:
    plan = cleaning().compile()

    g = taskloom.Graph()
    first = g.options(name="first").subgraph(plan, text=g.add(str, "To be or not"))
    second = g.options(name="second").subgraph(plan, text="TO BE")
    # `log` was given to neither: it is asked of the context of the run, and written to in order.
    common = g.add(lambda a, b: sorted({*a} & {*b}), first["lowered"], second["lowered"])

    log: list[str] = []
    run = taskloom.run(g, context=Context(log=log))
    print("common:", run[common])
    print("log:", log)
    print(g.compile().draw("mermaid"))
    assert run[common] == ["be", "to"]
    assert log == ["4 words", "2 words"]


if __name__ == "__main__":
    main()
