"""Finding objects that two owners share: a cache that a node sorts without knowing.

python examples/check_aliasing.py
"""

from __future__ import annotations

import warnings

import taskloom
from taskloom import AliasingWarning, Write, copy

CACHE = {"scores": [3, 1, 2]}


def load(name: str) -> list[int]:
    return CACHE[name]  # the list itself, which the cache keeps


def order(scores: Write[list[int]]) -> None:
    scores.sort()


def graph(*, copied: bool) -> taskloom.Graph:
    g = taskloom.Graph()
    loaded = g.options(name="load").add(load, "scores")
    scores = g.options(name="own").add(lambda mine: mine, copy(loaded)) if copied else loaded
    g.options(name="order").add(order, scores)
    g.options(name="best").add(max, scores)
    return g


def warned_about(g: taskloom.Graph) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", AliasingWarning)
        taskloom.run(g.compile(check_aliasing=True), mode="serial")
    return [str(warning.message) for warning in caught]


def main() -> None:
    clean = warned_about(graph(copied=True))
    print("with a copy:", clean or "nothing to warn about", CACHE)
    assert (clean, CACHE["scores"]) == ([], [3, 1, 2])

    (message,) = warned_about(graph(copied=False))
    print("without:", message)
    print("the cache now:", CACHE)
    assert "'load' returned an object of type 'list' that is still in use" in message
    assert CACHE["scores"] == [1, 2, 3]


if __name__ == "__main__":
    main()
