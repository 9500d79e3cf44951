"""A graph that grows while it runs: quicksort, whose nodes spawn the graphs for their halves.

python examples/dynamic_graph.py
"""

from __future__ import annotations

import random
from typing import Any

import taskloom
from taskloom import Spawn


def join(lower: list[int], middle: list[int], upper: list[int]) -> list[int]:
    return [*lower, *middle, *upper]


def quicksort(numbers: list[int]) -> Any:
    if len(numbers) < 50:
        return sorted(numbers)
    pivot = numbers[len(numbers) // 2]
    g = taskloom.Graph()
    lower = g.add(quicksort, [number for number in numbers if number < pivot])
    upper = g.add(quicksort, [number for number in numbers if number > pivot])
    middle = [number for number in numbers if number == pivot]
    return Spawn(g, g.add(join, lower, middle, upper))


def main() -> None:
    random.seed(1)
    numbers = [random.randrange(1000) for _ in range(2000)]
    g = taskloom.Graph()
    result = g.add(quicksort, numbers)
    lowest = g.add(lambda numbers: numbers[:5], result)
    run = taskloom.run(g.compile(keep=[result]))
    print("the lowest:", run[lowest])
    assert run[result] == sorted(numbers)


if __name__ == "__main__":
    main()
