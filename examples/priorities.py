"""Which of the nodes that are ready goes first: by priority, then by what is left to do after it.

python examples/priorities.py
"""

from __future__ import annotations

import taskloom
from taskloom import Graph


def main() -> None:
    order: list[str] = []
    g = Graph()

    def add(name: str, after: str | None = None, **options: float) -> None:
        node = g.options(name=name, **options).add(order.append, name)
        if after is not None:
            node.after(g.node(after))

    add("quick", estimated_duration=0.5)
    add("slow", estimated_duration=3.0)
    add("first of three")
    add("second of three", after="first of three")
    add("third of three", after="second of three")
    add("urgent", priority=1)
    plan = g.compile()
    print(plan.dump())

    # One thread, so that the order shows.
    with taskloom.Executor(1) as executor:
        executor.start(plan).result()
    print("ran:", *order, sep="\n  ")
    assert order[0] == "urgent"
    assert order.index("slow") < order.index("quick")
    assert order.index("first of three") < order.index("quick")


if __name__ == "__main__":
    main()
