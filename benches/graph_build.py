"""Building and compiling graphs, per node with one edge."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
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


def touch(value: object, *_: object) -> None:
    """A node that is told to write to its argument."""


def compile_seconds(make: Callable[[], taskloom.Graph]) -> Callable[[], float]:
    def compile_fresh() -> float:
        graph = make()
        gc.collect()
        began = time.perf_counter()
        plan = graph.compile()
        spent = time.perf_counter() - began
        del plan
        return spent

    return compile_fresh


def writes() -> taskloom.Graph:
    """Each node writes to one of 1,000 resources, and comes after the node before it."""
    graph = taskloom.Graph()
    resources = [graph.resource(f"r{index}") for index in range(1_000)]
    last = None
    for index in range(NODES):
        node = graph.add(touch, taskloom.write(resources[index % 1_000]))
        if last is not None:
            node.after(last)
        last = node
    return graph


def reads_and_writes() -> taskloom.Graph:
    """Of each resource one writer, then three readers, and so on."""
    graph = taskloom.Graph()
    resources = [graph.resource(f"r{index}") for index in range(1_000)]
    for index in range(NODES):
        resource = resources[index % 1_000]
        graph.add(touch, taskloom.write(resource) if index // 1_000 % 4 == 0 else resource)
    return graph


def reads() -> taskloom.Graph:
    graph = taskloom.Graph()
    resources = [graph.resource(f"r{index}") for index in range(1_000)]
    for index in range(NODES):
        graph.add(touch, resources[index % 1_000])
    return graph


inferring = Workload(
    "graph-infer",
    "compile 100,000 nodes with `after` and access modes, by 1,000 resources",
    unit="ms",
    aim=100,
)


@inferring.contender("each writes, and comes after another")
def infer_writes() -> Contender:
    yield compile_seconds(writes)


@inferring.contender("one writes, three read, and so on")
def infer_reads_and_writes() -> Contender:
    yield compile_seconds(reads_and_writes)


@inferring.contender("all read")
def infer_reads() -> Contender:
    yield compile_seconds(reads)
