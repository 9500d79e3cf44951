"""Running compiled graphs of no-ops: a chain and a wide graph, serially and in parallel."""

from __future__ import annotations

from collections.abc import Iterable
from graphlib import TopologicalSorter
from typing import Any

import taskloom
from harness import Contender, Workload

NODES = 100_000
# Peers take three orders of magnitude longer, so they get fewer nodes.
PEER_NODES = 3_000


def noop(value: object = None) -> object:
    return value


def chain(length: int) -> taskloom.Graph:
    graph = taskloom.Graph()
    node = graph.add(noop)
    for _ in range(length - 1):
        node = graph.add(noop, node)
    return graph


def wide(width: int) -> taskloom.Graph:
    graph = taskloom.Graph()
    first = graph.add(noop)
    for _ in range(width - 1):
        graph.add(noop, first)
    return graph


def dask_chain(length: int) -> tuple[dict[Any, Any], Any]:
    graph: dict[Any, Any] = {0: (noop,)}
    graph |= {index: (noop, index - 1) for index in range(1, length)}
    return graph, length - 1


def dask_wide(width: int) -> tuple[dict[Any, Any], Any]:
    graph: dict[Any, Any] = {0: (noop,)}
    graph |= dict.fromkeys(range(1, width), (noop, 0))
    return graph, list(range(1, width))


def run_sorted(edges: Iterable[tuple[int, tuple[int, ...]]]) -> None:
    """A serial run with the standard library's topological sorter, values in a dict."""
    sorter: TopologicalSorter[int] = TopologicalSorter()
    before: dict[int, tuple[int, ...]] = {}
    for node, sources in edges:
        sorter.add(node, *sources)
        before[node] = sources
    sorter.prepare()
    values: dict[int, object] = {}
    while sorter.is_active():
        for node in sorter.get_ready():
            values[node] = noop(*[values[source] for source in before[node]])
            sorter.done(node)


chain_serial = Workload(
    "chain-serial", "a compiled chain of 100,000 no-ops, serial mode", unit="ns/node", aim=35
)


@chain_serial.contender("taskloom", per=NODES)
def chain_serial_ours() -> Contender:
    plan = chain(NODES).compile()
    with taskloom.Executor(2) as executor:
        yield lambda: executor.run(plan, mode="serial")


@chain_serial.contender("graphlib, built and run", per=PEER_NODES * 10)
def chain_serial_graphlib() -> Contender:
    edges = [(0, ()), *((index, (index - 1,)) for index in range(1, PEER_NODES * 10))]
    yield lambda: run_sorted(edges)


@chain_serial.contender("dask get_sync", per=PEER_NODES)
def chain_serial_dask() -> Contender:
    from dask.local import get_sync

    graph, last = dask_chain(PEER_NODES)
    yield lambda: get_sync(graph, last)


chain_parallel = Workload(
    "chain-parallel",
    "a compiled chain of 100,000 no-ops, parallel mode, 2 workers",
    unit="ns/node",
    aim=60,
)


@chain_parallel.contender("taskloom", per=NODES, note="the calling thread takes part")
def chain_parallel_ours() -> Contender:
    plan = chain(NODES).compile()
    with taskloom.Executor(2) as executor:
        yield lambda: executor.run(plan)


@chain_parallel.contender("dask.threaded", per=PEER_NODES)
def chain_parallel_dask() -> Contender:
    from dask.threaded import get

    graph, last = dask_chain(PEER_NODES)
    yield lambda: get(graph, last, num_workers=2)


wide_parallel = Workload(
    "wide-parallel",
    "100,000 no-ops that read one node's value, parallel mode, 2 workers",
    unit="ns/node",
    aim=50,
)


@wide_parallel.contender("taskloom", per=NODES, note="the calling thread takes part")
def wide_parallel_ours() -> Contender:
    plan = wide(NODES).compile()
    with taskloom.Executor(2) as executor:
        yield lambda: executor.run(plan)


@wide_parallel.contender("taskloom, serial mode", per=NODES)
def wide_serial_ours() -> Contender:
    plan = wide(NODES).compile()
    with taskloom.Executor(2) as executor:
        yield lambda: executor.run(plan, mode="serial")


@wide_parallel.contender("dask.threaded", per=PEER_NODES)
def wide_parallel_dask() -> Contender:
    from dask.threaded import get

    graph, last = dask_wide(PEER_NODES)
    yield lambda: get(graph, last, num_workers=2)


@wide_parallel.contender("joblib, threading", per=PEER_NODES)
def wide_parallel_joblib() -> Contender:
    from joblib import Parallel, delayed

    with Parallel(n_jobs=2, backend="threading") as parallel:
        yield lambda: parallel(delayed(noop)(index) for index in range(PEER_NODES))
