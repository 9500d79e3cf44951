"""Layered drawings of graphs: which node stands in which row, and where in it.

Rows follow the longest way from a node that waits for nothing; what leads on stands right above the
first that it leads to. An edge that passes rows takes a
place in each of them, so that it crosses no node. Within a row all stand by the mean place of their
neighbours in the rows above and below, in turn, which leaves few crossings (the barycentre method:
Sugiyama, Tagawa, Toda, "Methods for visual understanding of hierarchical system structures", 1981).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

__all__ = ["layered"]

#: Places that edges take at most, in all; beyond, they are drawn straight.
MOST_PASSED = 20_000

Way = tuple[int, ...]


def layered(
    order: Sequence[int],
    edges: Sequence[tuple[int, int]],
    box: Mapping[int, int] | None = None,
) -> tuple[list[list[int]], dict[tuple[int, int], Way]]:
    """The rows of a drawing, from the top, and the way of each edge through them.

    Parameters
    ----------
    order
        The nodes, each after all that it has edges from, numbered from 0.
    edges
        Pairs of nodes, the earlier one first.
    box
        The number of the box that a node is in, if any: those of one box stay together.

    In the rows, numbers beyond the nodes are places where edges pass.

    >>> from taskloom.observe.layered import layered
    >>> layered([0, 1, 2], [(0, 1), (1, 2), (0, 2)])
    ([[0], [1, 3], [2]], {(0, 1): (0, 1), (1, 2): (1, 2), (0, 2): (0, 3, 2)})
    """
    sources: dict[int, list[int]] = {}
    targets: dict[int, list[int]] = {}
    for before, after in edges:
        sources.setdefault(after, []).append(before)
        targets.setdefault(before, []).append(after)
    row: dict[int, int] = {}
    for index in order:
        row[index] = max((row[source] + 1 for source in sources.get(index, ())), default=0)
    for index in reversed(order):
        row[index] = min((row[target] - 1 for target in targets.get(index, ())), default=row[index])
    rows: list[list[int]] = [[] for _ in range(max(row.values(), default=-1) + 1)]
    for index in order:
        rows[row[index]].append(index)
    straight = sum(row[after] - row[before] - 1 for before, after in edges) > MOST_PASSED
    passed = len(order)
    ways: dict[tuple[int, int], Way] = {}
    for before, after in edges:
        way = [before]
        for place in range(row[before] + 1, row[before] + 1 if straight else row[after]):
            rows[place].append(passed)
            way.append(passed)
            passed += 1
        ways[before, after] = (*way, after)
    _settle(rows, ways, box or {})
    return rows, ways


def _settle(
    rows: list[list[int]], ways: Mapping[tuple[int, int], Way], box: Mapping[int, int]
) -> None:
    """Puts the members of each row in order."""
    above: dict[int, list[int]] = {}
    below: dict[int, list[int]] = {}
    for way in ways.values():
        for upper, lower in pairwise(way):
            above.setdefault(lower, []).append(upper)
            below.setdefault(upper, []).append(lower)
    at = {index: (k + 0.5) / len(own) for own in rows for k, index in enumerate(own)}
    for neighbours in (above, below, above):
        for own in rows if neighbours is above else reversed(rows):
            mean: dict[int, float] = {}
            for index in own:
                places = [at[other] for other in neighbours.get(index, ())]
                mean[index] = sum(places) / len(places) if places else at[index]
            # Whatever is in no box is a box of its own.
            number = {index: box.get(index, len(box) + index) for index in own}
            together: dict[int, list[float]] = {}
            for index in own:
                together.setdefault(number[index], []).append(mean[index])
            key = {
                index: (sum(found) / len(found), number[index], mean[index])
                for index in own
                for found in (together[number[index]],)
            }
            own.sort(key=key.__getitem__)
            at.update({index: (k + 0.5) / len(own) for k, index in enumerate(own)})
