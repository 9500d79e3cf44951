"""Annotations checked where an edge is made, before anything runs; needs the extra `types`.

python examples/edge_types.py
"""

from __future__ import annotations

import taskloom
from taskloom import Graph
from taskloom.errors import GraphError


def count(text: str) -> int:
    return len(text)


def shout(text: str) -> str:
    return text.upper()


def total(numbers: list[int]) -> int:
    return sum(numbers)


def refused(*, in_list: bool) -> str:
    g = Graph(check_types="error")
    number = g.options(name="number").add(count, "abc")
    text = g.options(name="text").add(shout, "abc")
    try:
        if in_list:
            g.add(total, [number, text])
        else:
            g.add(shout, number)
    except GraphError as error:
        return str(error)
    return "nothing was wrong"


def main() -> None:
    try:
        g = Graph(check_types="error")
    except ModuleNotFoundError as error:
        print(error)
        return
    node = g.add(total, [g.add(count, "abc"), g.add(count, g.add(shout, "de"))])
    assert taskloom.run(g)[node] == 5
    print(refused(in_list=False))
    print(refused(in_list=True))
    assert "'text' is to be str" in refused(in_list=False)
    assert "'numbers[1]' is to be int" in refused(in_list=True)


if __name__ == "__main__":
    main()
