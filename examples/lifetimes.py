"""How long values live: freed after their last user, kept if asked for, and few at a time.

python examples/lifetimes.py
"""

from __future__ import annotations

import operator

import taskloom
from taskloom import Graph
from taskloom.errors import ValueFreedError


class Page:
    """Something large, of which we count how many there are."""

    alive = most = 0

    def __init__(self, words: int) -> None:
        self.words = words
        Page.alive += 1
        Page.most = max(Page.most, Page.alive)

    def __del__(self) -> None:
        Page.alive -= 1

    def __add__(self, other: Page) -> Page:
        return Page(self.words + other.words)


def most_alive(leaves: int) -> int:
    """Of a reduction over so many pages, two by two, how many were there at once."""
    g = Graph()
    total = g.reduce(operator.add, range(leaves), map=Page, split_every=2)
    Page.most = 0
    run = taskloom.run(g, mode="serial")
    assert run[total].words == sum(range(leaves))
    return Page.most


def main() -> None:
    g = Graph()
    first = g.options(name="first").add(list, "first")
    second = g.options(name="second").add("".join, first)
    last = g.options(name="last").add(str.upper, second)

    run = taskloom.run(g.compile(keep=[first]))
    print("kept, and what nobody reads:", run[first], run[last])
    try:
        run[second]
    except ValueFreedError as error:
        print("freed:", error)
    else:
        raise AssertionError

    run = taskloom.run(g.compile(slots="one_to_one"))
    print("one slot for each node:", run[second])
    assert run[second] == "first"

    for leaves in (16, 256, 4096):
        print(f"{leaves} pages, added two by two: at most {most_alive(leaves)} at once")
    assert most_alive(4096) <= 12 + 2


if __name__ == "__main__":
    main()
