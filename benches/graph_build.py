"""Building and compiling graphs, per node with one edge."""

from __future__ import annotations

import gc
import time
from graphlib import TopologicalSorter

import taskloom
from harness import Contender, Workload

NODES = 100_000
PEER_NODES = 1_000


def noop(value: object = None) -> object:
    return value


def chain(length: int) -> taskloom.Graph:
    graph = taskloom.Graph()
    node = graph.add(noop)
    for _ in range(length - 1):
        node = graph.add(noop, node)
    return graph


build = Workload(
    "graph-add", "build a chain of 100,000 nodes, one edge each", unit="µs/node", aim=1.5
)


@build.contender("taskloom", per=NODES)
def build_ours() -> Contender:
    yield lambda: chain(NODES)


@build.contender("graphlib", per=NODES)
def build_graphlib() -> Contender:
    def add_all() -> None:
        sorter: TopologicalSorter[int] = TopologicalSorter()
        for index in range(NODES):
            sorter.add(index + 1, index)

    yield add_all


@build.contender("dask.delayed", per=PEER_NODES)
def build_dask() -> Contender:
    from dask import delayed

    def add_all() -> None:
        lazy = delayed(noop)
        node = lazy()
        for _ in range(PEER_NODES - 1):
            node = lazy(node)

    yield add_all


compiling = Workload(
    "graph-compile", "compile a chain of 100,000 nodes, one edge each", unit="µs/node", aim=0.5
)


@compiling.contender("taskloom")
def compile_ours() -> Contender:
    def compile_fresh() -> float:
        graph = chain(NODES)
        gc.collect()
        began = time.perf_counter()
        plan = graph.compile()
        spent = time.perf_counter() - began
        del plan
        return spent / NODES

    yield compile_fresh


@compiling.contender("graphlib, prepare and static order")
def compile_graphlib() -> Contender:
    def order_fresh() -> float:
        sorter: TopologicalSorter[int] = TopologicalSorter()
        for index in range(NODES):
            sorter.add(index + 1, index)
        began = time.perf_counter()
        for _ in sorter.static_order():
            pass
        return (time.perf_counter() - began) / NODES

    yield order_fresh
