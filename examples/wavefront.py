"""A wavefront: the longest common subsequence of two texts, block by block.

Each block of the table needs the last column of its left neighbour and the last row of its upper
one, so that the blocks of a diagonal are independent of each other.

python examples/wavefront.py
"""

from __future__ import annotations

import random

import taskloom

Edges = tuple[list[int], list[int]]

SIZE = 40  # letters along the side of a block


def block(left: str, top: str, beside: Edges | None, above: Edges | None) -> Edges:
    """The last column and the last row of a block; each has the corner before it in front."""
    column = beside[0] if beside else [0] * (len(left) + 1)
    row = above[1] if above else [0] * (len(top) + 1)
    last_column = [row[-1]]
    for place, letter in enumerate(left):
        now = [column[place + 1]]
        for other in range(len(top)):
            diagonal = row[other] + (letter == top[other])
            now.append(max(diagonal, row[other + 1], now[-1]))
        last_column.append(now[-1])
        row = now
    return last_column, row


def wavefront(first: str, second: str) -> tuple[taskloom.Graph, taskloom.Node[Edges]]:
    g = taskloom.Graph()
    made: dict[tuple[int, int], taskloom.Node[Edges]] = {}
    rows = [first[at : at + SIZE] for at in range(0, len(first), SIZE)]
    columns = [second[at : at + SIZE] for at in range(0, len(second), SIZE)]
    for i, left in enumerate(rows):
        for j, top in enumerate(columns):
            view = g.options(name=f"block {i},{j}")
            made[i, j] = view.add(block, left, top, made.get((i, j - 1)), made.get((i - 1, j)))
    return g, made[len(rows) - 1, len(columns) - 1]


def plainly(first: str, second: str) -> int:
    row = [0] * (len(second) + 1)
    for letter in first:
        now = [0]
        for other in range(len(second)):
            now.append(max(row[other] + (letter == second[other]), row[other + 1], now[-1]))
        row = now
    return row[-1]


def main() -> None:
    draw = random.Random(1)
    first, second = ("".join(draw.choices("acgt", k=200)) for _ in range(2))
    g, last = wavefront(first, second)
    _, row = taskloom.run(g)[last]
    print(f"{len(g)} blocks; the longest common subsequence has {row[-1]} letters")
    assert row[-1] == plainly(first, second)


if __name__ == "__main__":
    main()
