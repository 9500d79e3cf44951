"""Patterns: map, reduce, partition and concat, and the other names they go by, as one-liners.

python examples/patterns.py
"""

from __future__ import annotations

import functools
import operator

import taskloom


def square(number: int) -> int:
    return number * number


def main() -> None:
    g = taskloom.Graph()
    numbers = g.add(list, range(1, 11))

    # fan out: one value to several nodes; scatter: its parts to several
    ends = g.map(operator.getitem, numbers, [0, -1])
    parts = g.partition(numbers, 3)
    # map over the parts, and gather them again
    sums = g.map(sum, parts)
    gathered = g.concat(parts)
    # fan in: a group is a list of values; aggregate: one node over all of them
    largest = g.add(max, sums)
    # reduce: a tree; with map=, both in one; fold: from left to right within one node
    total = g.reduce(operator.add, sums)
    squares = g.reduce(operator.add, range(1, 11), map=square)
    folded = g.add(functools.reduce, operator.mul, sums)
    # at most two at once: as soon as one is done the next may start
    limited = g.options(name="limited", max_concurrency=2).map(square, range(6))

    run = taskloom.run(g.compile(keep=[sums]))
    print("ends:", run[ends])
    print("sums of the parts:", run[sums], "largest:", run[largest])
    print("total:", run[total], "sum of squares:", run[squares], "product:", run[folded])
    print("gathered:", run[gathered])
    print("limited:", run[limited], [node.name for node in limited][:2], "...")
    assert run[total] == 55
    assert run[squares] == 385
    assert run[gathered] == list(range(1, 11))


if __name__ == "__main__":
    main()
