"""Nodes that must stay on the thread that called, as a window system's, while workers do the rest.

python examples/caller_place.py
"""

from __future__ import annotations

import threading

import taskloom

CANVAS: list[str] = []
OWNER = threading.get_ident()


def render(number: int) -> str:
    return "#" * number


def paint(line: str) -> None:
    if threading.get_ident() != OWNER:
        raise RuntimeError("only the main thread may paint")
    CANVAS.append(line)


def main() -> None:
    g = taskloom.Graph()
    on_main = g.options(place="caller")
    for number in range(1, 6):
        on_main.add(paint, g.add(render, number))
    plan = g.compile()
    with taskloom.Executor(2) as executor:
        executor.run(plan)  # this thread paints, and helps with the rest
        run = executor.start(plan)
        # ... nothing is painted in between ...
        run.result()  # this thread paints while it waits
    print("\n".join(CANVAS))
    assert sorted(CANVAS) == sorted(2 * [render(number) for number in range(1, 6)])


if __name__ == "__main__":
    main()
