"""Named shapes of task graphs, compiled and run, beside dask's two schedulers for one machine.

The shapes and their names are those of the benchmarks of C++ task libraries: linear chain, binary
tree, wavefront, graph traversal, and a stencil of 100 points. All tasks do nothing, so that the
figures are what the engine adds. dask's get_sync and dask.threaded run the same shapes with fewer
nodes, for they take orders of magnitude longer.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import taskloom
from harness import Contender, Workload

#: What each node waits for, all of it earlier.
Shape = list[list[int]]


def noop(*_: object) -> None:
    return None


def chain(length: int) -> Shape:
    return [[index - 1] if index else [] for index in range(length)]


def binary_tree(depth: int) -> Shape:
    """Node 0 at the root; every node is followed by two others."""
    return [[(index - 1) // 2] if index else [] for index in range((1 << depth) - 1)]


def wavefront(side: int) -> Shape:
    """A grid in which a block waits for its left and its upper neighbour."""
    return [
        [side * row + column - 1] * (column > 0) + [side * (row - 1) + column] * (row > 0)
        for row in range(side)
        for column in range(side)
    ]


def traversal(nodes: int, degree: int = 4) -> Shape:
    """At random, without cycles: each node waits for up to `degree` of the hundred before it."""
    draw = random.Random(3)
    return [
        sorted(
            {index - 1 - draw.randrange(min(index, 100)) for _ in range(draw.randint(1, degree))}
        )
        if index
        else []
        for index in range(nodes)
    ]


def stencil(steps: int, points: int = 100) -> Shape:
    """A row of points over time: each waits for itself and its neighbours one step before."""
    shape: Shape = [[] for _ in range(points)]
    for step in range(1, steps):
        before = points * (step - 1)
        shape += [
            [before + at for at in range(max(0, point - 1), min(points, point + 2))]
            for point in range(points)
        ]
    return shape


def plan_of(shape: Shape) -> taskloom.Plan:
    graph = taskloom.Graph()
    nodes: list[taskloom.Node[None]] = []
    for sources in shape:
        nodes.append(graph.add(noop, *[nodes[source] for source in sources]))
    return graph.compile()


def dask_of(shape: Shape) -> tuple[dict[Any, Any], list[Any]]:
    names = [f"n{index}" for index in range(len(shape))]
    graph = {
        name: (noop, *[names[source] for source in sources])
        for name, sources in zip(names, shape, strict=True)
    }
    read = {names[source] for sources in shape for source in sources}
    return graph, [name for name in names if name not in read]


def ours(make: Callable[[], Shape], mode: Any) -> Contender:
    shape = make()
    plan = plan_of(shape)
    with taskloom.Executor(2) as executor:
        yield lambda: executor.run(plan, mode=mode)


def dask_sync(make: Callable[[], Shape]) -> Contender:
    from dask.local import get_sync

    graph, ends = dask_of(make())
    yield lambda: get_sync(graph, ends)


def dask_threaded(make: Callable[[], Shape]) -> Contender:
    from dask.threaded import get

    graph, ends = dask_of(make())
    yield lambda: get(graph, ends, num_workers=2)


#: Of Taskflow with empty lambdas and 2 threads, on a machine of this kind; it is not run here.
CPP_CHAIN = "Taskflow in C++, 2 threads: 48 ns a node of a chain"
CPP_WIDE = "Taskflow in C++, 2 threads: 160 to 206 ns a node of a wide graph"


def shape(
    name: str,
    what: str,
    large: Callable[[], Shape],
    small: Callable[[], Shape],
    beside: str = CPP_WIDE,
) -> Workload:
    workload = Workload(
        f"shape-{name}", f"{what}, no-ops, run once compiled", unit="ns/node", beside=beside
    )
    count, fewer = len(large()), len(small())
    serial = workload.contender(f"taskloom, serial, {count:,} nodes", per=count)
    serial(lambda: ours(large, "serial"))
    parallel = workload.contender("taskloom, parallel, 2 workers", per=count)
    parallel(lambda: ours(large, "parallel"))
    workload.contender(f"dask get_sync, {fewer:,} nodes", per=fewer)(lambda: dask_sync(small))
    workload.contender("dask.threaded, 2 workers", per=fewer)(lambda: dask_threaded(small))
    return workload


linear_chain = shape(
    "chain", "linear chain", lambda: chain(50_000), lambda: chain(1_000), beside=CPP_CHAIN
)
tree = shape("tree", "binary tree", lambda: binary_tree(16), lambda: binary_tree(10))
waves = shape("wavefront", "wavefront", lambda: wavefront(220), lambda: wavefront(32))
walk = shape("traversal", "graph traversal", lambda: traversal(50_000), lambda: traversal(1_000))
points = shape("stencil", "100-point stencil", lambda: stencil(500), lambda: stencil(10))
