"""One test for each thing that the C++ scheduler Plexus has, in the words of this library."""

from __future__ import annotations

import gc
import re
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import taskloom
from taskloom import write
from taskloom.errors import RunFailed


@pytest.fixture(scope="module")
def executor() -> Iterator[taskloom.Executor]:
    with taskloom.Executor(2) as executor:
        yield executor


def edges(plan: taskloom.Plan) -> set[tuple[str, str]]:
    nodes = plan.nodes
    return {(nodes[before].name, nodes[after].name) for before, after, _ in plan._edges}


def named(g: taskloom.Graph, name: str, function: Any, *args: Any) -> Any:
    return g.options(name=name).add(function, *args)


def fail(*_: object) -> None:
    raise ValueError("on purpose")


def test_bake_once_run_often(executor: taskloom.Executor) -> None:
    g = taskloom.Graph()
    total = g.add(sum, [g.add(int, "1"), g.add(int, "2")])
    plan = g.compile()
    g.add(fail)  # later additions do not change the plan
    assert [executor.run(plan)[total] for _ in range(3)] == [3, 3, 3]


def test_edges_are_inferred_for_a_read_after_a_write() -> None:
    g = taskloom.Graph()
    buffer = named(g, "buffer", list)
    named(g, "writer", list.append, write(buffer), 1)
    reader = named(g, "reader", len, buffer)
    assert ("writer", "reader") in edges(g.compile())
    assert taskloom.run(g)[reader] == 1


def test_edges_are_inferred_for_a_write_after_a_write() -> None:
    g = taskloom.Graph()
    buffer = named(g, "buffer", list)
    named(g, "first", list.append, write(buffer), 1)
    named(g, "second", list.append, write(buffer), 2)
    assert ("first", "second") in edges(g.compile())
    assert taskloom.run(g.compile(keep=[buffer]))[buffer] == [1, 2]


def test_edges_are_inferred_for_a_write_after_a_read() -> None:
    g = taskloom.Graph()
    buffer = named(g, "buffer", list)
    reader = named(g, "reader", len, buffer)
    named(g, "writer", list.append, write(buffer), 1)
    assert ("reader", "writer") in edges(g.compile())
    assert taskloom.run(g)[reader] == 0


def test_run_after_and_run_before(executor: taskloom.Executor) -> None:
    order: list[str] = []
    g = taskloom.Graph()
    last = g.add(order.append, "last")
    first = g.add(order.append, "first")
    middle = g.add(order.append, "middle").after(first)
    middle.before(last)
    executor.run(g)
    assert order == ["first", "middle", "last"]


def test_effective_priority_is_that_of_the_user_then_of_the_path_and_the_descendants() -> None:
    g = taskloom.Graph()
    named(g, "short", int)
    long = named(g, "long", int)
    for _ in range(3):
        long = g.add(abs, long)
    g.options(name="urgent", priority=1).add(int)
    one, many = named(g, "one below", int), named(g, "many below", int)
    for number in range(5):
        g.add(max, one if number == 0 else many, 0)
    text = g.compile(order="critical_path").dump()
    found = re.findall(r"(short|long|urgent|one below|many below)  priority ([0-9.]+)", text)
    priority = {name: float(number) for name, number in found}
    assert priority["urgent"] > 1000 > priority["long"] > priority["short"]
    assert priority["long"] > priority["many below"] > priority["one below"] > priority["short"]


@pytest.mark.parametrize(
    ("policy", "statuses"),
    [
        ("cancel_dependents", ("skipped", "done")),
        ("cancel_run", ("skipped", "cancelled")),
        ("continue", ("done", "done")),
    ],
)
def test_three_error_policies(policy: str, statuses: tuple[str, str]) -> None:
    g = taskloom.Graph(on_error=policy)
    bad = g.add(fail)
    later = g.add(int).after(bad)
    other = g.add(int)
    run = taskloom.run(g, mode="serial", check=False)
    assert (run.why(later).status, run.why(other).status) == statuses
    assert list(run.exceptions()) == [bad]


def test_main_thread_affinity(executor: taskloom.Executor) -> None:
    g = taskloom.Graph()
    here = g.options(place="caller").add(threading.get_ident)
    assert executor.run(g)[here] == threading.get_ident()


@pytest.mark.parametrize("mode", ["serial", "parallel"])
def test_synchronous_and_asynchronous_execution_in_parallel_and_in_sequence(
    executor: taskloom.Executor, mode: Any
) -> None:
    g = taskloom.Graph()
    total = g.add(sum, [g.add(int, str(n)) for n in range(10)])
    assert executor.run(g, mode=mode)[total] == 45
    run = executor.start(g, mode=mode)
    assert run.result()[total] == 45


def test_batch_dispatch(executor: taskloom.Executor) -> None:
    assert [future.result() for future in executor.submit_many(abs, [-1, -2])] == [1, 2]
    g = taskloom.Graph()
    squares = g.map(lambda n: n * n, range(50))
    total = g.add(sum, squares)
    assert executor.run(g)[total] == sum(n * n for n in range(50))


def test_nodes_of_a_plan_are_reused_by_its_runs(executor: taskloom.Executor) -> None:
    g = taskloom.Graph()
    g.add(len, [g.add(int) for _ in range(500)])
    plan = g.compile()
    for _ in range(20):
        executor.run(plan)
    gc.collect()
    blocks = sys.getallocatedblocks()
    for _ in range(200):
        executor.run(plan)
    gc.collect()
    assert sys.getallocatedblocks() - blocks < 500  # less than one for each node, of 200 runs


def test_worker_index_and_count(executor: taskloom.Executor) -> None:
    g = taskloom.Graph()
    where = g.add(lambda: (taskloom.worker_index(), taskloom.worker_count()))
    assert executor.start(g).result()[where] in [(0, 2), (1, 2)]


def test_a_profiler_is_called_back() -> None:
    g = taskloom.Graph()
    named(g, "one", int)
    seen: list[tuple[str, str]] = []
    taskloom.run(g, on_event=lambda event: seen.append((event.kind, event.node.name)))
    assert seen == [("started", "one"), ("finished", "one")]


def test_text_dump_of_the_baked_graph() -> None:
    g = taskloom.Graph()
    named(g, "second", len, named(g, "first", str, 42))
    text = g.compile().dump()
    assert text.index("first") < text.index("second")
    assert "<- first (read)" in text


def test_errors_come_out_as_one_group() -> None:
    g = taskloom.Graph()
    g.add(fail)
    g.add(fail)
    with pytest.raises(RunFailed, match="2 of 2 nodes failed"):
        taskloom.run(g)
