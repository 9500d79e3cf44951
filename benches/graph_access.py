"""What access modes cost at run time, and how many values a reduction keeps alive.

Modes are checked when a plan is compiled; here is what is left of them when it runs. Each figure is
a plan with modes in percent of the same plan without: of many short runs of both, taken in turns,
the fastest of each, since a run of 50 µs is rarely cut short by other programs.
"""

from __future__ import annotations

import copy
import operator
import time
from collections.abc import Callable
from typing import Any

import taskloom
from harness import Contender, Workload

NODES = 2_000
LISTS = 20
ROUNDS = 60

Mode = Callable[[Any], Any]


def noop(value: object = None) -> object:
    return value


def on_lists(nodes: int, lists: int, mode: Mode | None) -> taskloom.Plan:
    """Nodes on lists in turn; without a mode, in the order that writing them makes."""
    graph = taskloom.Graph()
    made = [graph.add(list) for _ in range(lists)]
    last = list(made)
    for index in range(nodes):
        at = index % lists
        node: Any = graph.add(noop, made[at] if mode is None else mode(made[at]))
        if mode is None:
            node.after(last[at])
        last[at] = node
    return graph.compile()


def chains(nodes: int, lists: int, mode: Mode | None) -> taskloom.Plan:
    """Lists that are handed on from node to node."""
    graph = taskloom.Graph()
    last: list[Any] = [graph.add(list) for _ in range(lists)]
    for index in range(nodes):
        at = index % lists
        last[at] = graph.add(noop, last[at] if mode is None else mode(last[at]))
    return graph.compile()


def readers(nodes: int, function: Callable[[Any], object], mode: Mode | None) -> taskloom.Plan:
    """Nodes that all use one list of a hundred numbers."""
    graph = taskloom.Graph()
    numbers: Any = graph.add(list, range(100))
    for _ in range(nodes):
        graph.add(function, numbers if mode is None else mode(numbers))
    return graph.compile()


def in_percent(with_modes: taskloom.Plan, without: taskloom.Plan, mode: Any) -> Contender:
    with taskloom.Executor(2) as executor:

        def once(plan: taskloom.Plan) -> float:
            began = time.perf_counter()
            executor.run(plan, mode=mode)
            return time.perf_counter() - began

        def measure() -> float:
            both = [(once(with_modes), once(without)) for _ in range(ROUNDS)]
            return 100 * min(one for one, _ in both) / min(other for _, other in both)

        yield measure


def workload(
    name: str, what: str, make: Callable[[], tuple[taskloom.Plan, taskloom.Plan]]
) -> Workload:
    found = Workload(
        f"access-{name}", what, unit="% of the time of the plan without modes", aim=105
    )
    found.contender("serial")(lambda: in_percent(*make(), "serial"))
    found.contender("parallel, 2 workers")(lambda: in_percent(*make(), "parallel"))
    return found


write = workload(
    "write",
    "2,000 no-ops that write to 20 lists; without modes, the same edges by `after`",
    lambda: (on_lists(NODES, LISTS, taskloom.write), on_lists(NODES, LISTS, None)),
)
forward = workload(
    "forward",
    "20 lists, each forwarded along 100 no-ops; without modes, handed on by them",
    lambda: (chains(NODES, LISTS, taskloom.forward), chains(NODES, LISTS, None)),
)
take = workload(
    "take",
    "20 lists, each taken and handed on by 100 no-ops; without modes, read and handed on",
    lambda: (chains(NODES, LISTS, taskloom.take), chains(NODES, LISTS, None)),
)
copies = workload(
    "copy",
    "200 nodes that get a copy of a list of 100 numbers; without modes, that make it by deepcopy",
    lambda: (readers(200, noop, taskloom.copy), readers(200, copy.deepcopy, None)),
)

access = Workload(
    "graph-access",
    "100,000 no-ops on 100 lists in turn, serial mode; the plan with access modes writes to them",
    unit="ns/node",
)


@access.contender("with access modes", per=100_000)
def with_modes() -> Contender:
    plan = on_lists(100_000, 100, taskloom.write)
    with taskloom.Executor(2) as executor:
        yield lambda: executor.run(plan, mode="serial")


@access.contender("the same edges by `after`", per=100_000)
def without_modes() -> Contender:
    plan = on_lists(100_000, 100, None)
    with taskloom.Executor(2) as executor:
        yield lambda: executor.run(plan, mode="serial")


class Counted:
    """A number that counts how many of its kind are alive."""

    alive = most = 0

    def __init__(self, number: int) -> None:
        self.number = number
        Counted.alive += 1
        Counted.most = max(Counted.most, Counted.alive)

    def __del__(self) -> None:
        Counted.alive -= 1

    def __add__(self, other: Counted) -> Counted:
        return Counted(self.number + other.number)


def most_alive(leaves: int, mode: Any) -> Contender:
    graph = taskloom.Graph()
    graph.reduce(operator.add, range(leaves), map=Counted)
    plan = graph.compile()
    with taskloom.Executor(2) as executor:

        def measure() -> int:
            Counted.most = Counted.alive
            executor.run(plan, mode=mode)
            return Counted.most

        yield measure


alive = Workload(
    "live-values",
    "the most values alive at once in a reduction over 65,536 leaves, serial mode (log2: 16)",
    unit="values",
    aim=18,
)
alive.contender("65,536 leaves")(lambda: most_alive(65_536, "serial"))
alive.contender("4,096 leaves (log2: 12)")(lambda: most_alive(4_096, "serial"))
alive.contender("256 leaves (log2: 8)")(lambda: most_alive(256, "serial"))
alive.contender("65,536, parallel, 2 workers")(lambda: most_alive(65_536, "parallel"))
