"""Order that no value shows: one thing after another, though neither is given to the other.

python examples/ordering.py
"""

from __future__ import annotations

import taskloom
from taskloom import Graph, write
from taskloom.errors import CycleError


def main() -> None:
    done: list[str] = []
    g = Graph()

    def step(name: str) -> taskloom.Node[None]:
        return g.options(name=name).add(done.append, name)

    migrate, serve, warm, check = map(step, ("migrate", "serve", "warm the cache", "check"))
    serve.after(migrate, warm)
    check.before(serve)
    warm.after(migrate)
    taskloom.run(g)
    print("done:", ", ".join(done))
    assert done.index("migrate") < done.index("warm the cache") < done.index("serve")
    assert done[-1] == "serve"

    # What values do show needs no word: whoever adds to a list comes in the order of registration.
    g = Graph()
    log = g.add(list)
    for word in ("one", "two", "three"):
        g.add(list.append, write(log), word)
    text = g.add(" ".join, log)
    assert taskloom.run(g)[text] == "one two three"

    # Nodes that wait for each other are refused, with the way round.
    g = Graph()
    egg, hen = g.options(name="egg").add(str), g.options(name="hen").add(str)
    egg.after(hen).before(hen)
    try:
        g.compile()
    except CycleError as error:
        print(error)
    else:
        raise AssertionError


if __name__ == "__main__":
    main()
