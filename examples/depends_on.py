"""Several parents at once: their values as a tuple, or as what a combiner makes of them.

python examples/depends_on.py
"""

from __future__ import annotations

import taskloom

Table = dict[str, int]


def users() -> Table:
    return {"ada": 1, "bob": 2}


def orders() -> Table:
    return {"ada": 250, "eve": 40}


def joined(tables: tuple[Table, Table]) -> list[tuple[str, int, int]]:
    left, right = tables
    return [(name, left[name], right[name]) for name in left if name in right]


def merged(*tables: Table) -> Table:
    return {name: value for table in tables for name, value in table.items()}


def main() -> None:
    g = taskloom.Graph()
    both = g.add(users), g.add(orders)
    rows = g.depends_on(*both).add(joined)

    everybody = g.depends_on(*both, combiner=merged)
    count = everybody.add(len)
    names = g.add(sorted, everybody)

    run = taskloom.run(g)
    print("rows:", run[rows])
    print(run[count], "names:", run[names])
    assert run[rows] == [("ada", 1, 250)]
    assert run[names] == ["ada", "bob", "eve"]


if __name__ == "__main__":
    main()
