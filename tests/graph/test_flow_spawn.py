"""Nodes that spawn graphs at run time, which are joined before what depends on the nodes runs."""

from __future__ import annotations

import contextvars
import gc
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
import taskloom
from taskloom import AbortRun, Context, Spawn
from taskloom.errors import GraphError, RunAborted, RunFailed
from taskloom.testing import SeededExecutor

MODES: list[Any] = ["serial", "parallel"]


@pytest.fixture(scope="module")
def executor() -> Iterator[taskloom.Executor]:
    with taskloom.Executor(2) as executor:
        yield executor


def fail(*_: object) -> None:
    raise ValueError("on purpose")


def fibonacci(n: int) -> Any:
    if n < 2:
        return n
    g = taskloom.Graph()
    return Spawn(g, g.add(sum, [g.add(fibonacci, n - 1), g.add(fibonacci, n - 2)]))


def squares(n: int) -> Spawn:
    g = taskloom.Graph()
    return Spawn(g, [g.add(pow, k, 2) for k in range(n)])


@pytest.mark.parametrize("mode", MODES)
def test_what_was_spawned_is_joined_before_dependants_run(
    executor: taskloom.Executor, mode: Any
) -> None:
    g = taskloom.Graph()
    spawned = g.add(squares, g.add(int, "4"))
    total = g.add(sum, spawned)
    order_only = g.add(int, "7").after(spawned)
    run = executor.run(g, mode=mode)
    assert (run[total], run[order_only]) == (14, 7)
    assert executor.start(g, mode=mode).result()[total] == 14


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("workers", [1, 3])
def test_spawned_graphs_spawn_in_turn_on_however_few_workers(mode: Any, workers: int) -> None:
    g = taskloom.Graph()
    node = g.add(fibonacci, 9)
    with taskloom.Executor(workers) as executor:
        assert executor.run(g, mode=mode)[node] == 34
        assert executor.start(g, mode=mode)[node] == 34
        assert executor.submit(lambda: executor.run(g, mode=mode)[node]).result(60) == 34


def deeper(n: int) -> Any:
    if n == 0:
        return "bottom"
    g = taskloom.Graph()
    return Spawn(g, g.add(deeper, n - 1))


def test_a_long_chain_of_graphs_in_graphs_takes_no_stack() -> None:
    g = taskloom.Graph()
    node = g.add(deeper, 400)
    with taskloom.Executor(1) as executor:
        assert executor.run(g)[node] == "bottom"


def test_a_serial_run_that_nests_too_deep_fails_rather_than_crash() -> None:
    g = taskloom.Graph()
    node = g.add(deeper, 100_000)
    run = taskloom.run(g, mode="serial", check=False)
    error: BaseException = run.exceptions()[node]
    while isinstance(error, RunFailed):
        error = error.exceptions[0]
    assert isinstance(error, RecursionError)


def test_the_caller_needs_no_worker() -> None:
    started, release = threading.Event(), threading.Event()

    def hold() -> None:
        started.set()
        assert release.wait(60)

    g = taskloom.Graph()
    node = g.add(fibonacci, 7)
    with taskloom.Executor(1) as executor:
        blocker = executor.submit(hold)
        assert started.wait(60)
        assert executor.run(g)[node] == 13
        release.set()
        blocker.result(60)


@pytest.mark.parametrize("mode", MODES)
def test_a_failure_inside_fails_the_node_as_a_group(executor: taskloom.Executor, mode: Any) -> None:
    def spawn() -> Spawn:
        g = taskloom.Graph()
        g.options(name="inner").add(fail)
        g.add(int, "x")
        return Spawn(g)

    g = taskloom.Graph()
    node = g.options(name="outer").add(spawn)
    child = g.add(str, node)
    run = executor.run(g, mode=mode, check=False)
    error = run.exceptions()[node]
    assert isinstance(error, RunFailed)
    assert [type(inner) for inner in error.exceptions] == [ValueError, ValueError]
    assert error.exceptions[0].__notes__ == ["in node 'inner'"]
    assert error.__notes__ == ["in node 'outer'"]
    assert error.run is not run
    assert run.why(child).status == "skipped"
    with pytest.raises(RunFailed) as caught:
        run.result()
    assert caught.value.subgroup(lambda inner: "on purpose" in str(inner)) is not None


@pytest.mark.parametrize("mode", MODES)
def test_an_abort_inside_aborts_the_whole_run(executor: taskloom.Executor, mode: Any) -> None:
    def abort() -> None:
        raise AbortRun("enough")

    def spawn() -> Spawn:
        g = taskloom.Graph()
        return Spawn(g, g.add(abort))

    g = taskloom.Graph()
    node = g.options(name="outer").add(spawn)
    last = g.add(int).after(g.add(int).after(node))
    with pytest.raises(RunAborted, match="node 'outer' aborted the run: enough") as caught:
        executor.run(g, mode=mode)
    assert caught.value.run is not None
    assert caught.value.run.why(last).status in ("skipped", "cancelled")


def test_stopping_the_run_stops_what_was_spawned() -> None:
    started, release = threading.Event(), threading.Event()
    ran: list[int] = []

    def hold() -> None:
        started.set()
        assert release.wait(60)

    def spawn() -> Spawn:
        g = taskloom.Graph()
        last = g.add(ran.append, 1).after(g.add(hold))
        return Spawn(g, last)

    g = taskloom.Graph()
    node = g.add(spawn)
    with taskloom.Executor(2) as executor:
        run = executor.start(g)
        assert started.wait(60)
        run.cancel()
        release.set()
        assert run.wait(60)
    assert (run.status, run.why(node).status, ran) == ("cancelled", "cancelled", [])


@pytest.mark.parametrize("mode", MODES)
def test_a_deferred_node_may_spawn(executor: taskloom.Executor, mode: Any) -> None:
    g = taskloom.Graph()
    node = g.options(timeout=60).add(squares, 3)
    assert executor.run(g, mode=mode)[node] == [0, 1, 4]


@pytest.mark.parametrize("mode", MODES)
def test_spawned_graphs_may_hold_deferred_nodes(executor: taskloom.Executor, mode: Any) -> None:
    def spawn() -> Spawn:
        g = taskloom.Graph()
        return Spawn(g, g.add(str, g.options(timeout=60).add(int, "7")))

    g = taskloom.Graph()
    node = g.add(spawn)
    assert executor.run(g, mode=mode)[node] == "7"


def test_a_node_in_a_window_keeps_its_place_until_its_graph_is_over() -> None:
    lock = threading.Lock()
    at_once = most = 0

    def enter() -> None:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)

    def leave(_: object) -> None:
        nonlocal at_once
        with lock:
            at_once -= 1

    def spawn(_: int) -> Spawn:
        enter()
        g = taskloom.Graph()
        return Spawn(g, g.add(leave, g.add(int)))

    g = taskloom.Graph()
    g.options(max_concurrency=1).map(spawn, range(20))
    with taskloom.Executor(3) as executor:
        executor.run(g)
    assert (most, at_once) == (1, 0)


def test_the_ends_are_the_value_where_none_is_named() -> None:
    def one() -> Spawn:
        g = taskloom.Graph()
        g.add(abs, g.add(int, "-3"))
        return Spawn(g)

    def two() -> Spawn:
        g = taskloom.Graph()
        g.add(int, "1")
        g.add(int, "2")
        return Spawn(g)

    g = taskloom.Graph()
    nodes = [g.add(one), g.add(two), g.add(lambda: Spawn(taskloom.Graph()))]
    run = taskloom.run(g)
    assert [run[node] for node in nodes] == [3, (1, 2), ()]


def test_values_may_be_named_and_nested() -> None:
    def spawn() -> Spawn:
        g = taskloom.Graph()
        first = g.options(name="first").add(int, "1")
        return Spawn(g, {"a": "first", "b": [g.add(abs, first), (first,)]})

    g = taskloom.Graph()
    node = g.add(spawn)
    assert taskloom.run(g)[node] == {"a": 1, "b": [1, (1,)]}


def test_one_plan_is_spawned_again_and_again() -> None:
    inner = taskloom.Graph()
    inner.add(pow, inner.resource("base"), 2)
    plan = inner.compile()
    g = taskloom.Graph()
    nodes = [g.add(lambda k=k: Spawn(plan, context=Context(base=k))) for k in range(5)]
    run = taskloom.run(g)
    assert [run[node] for node in nodes] == [0, 1, 4, 9, 16]


def test_spawned_nodes_find_the_context_variables_of_the_run() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="?")

    def spawn() -> Spawn:
        g = taskloom.Graph()
        return Spawn(g, g.add(variable.get))

    g = taskloom.Graph()
    node = g.add(spawn)
    variable.set("mine")
    assert taskloom.run(g)[node] == "mine"


def test_a_seeded_run_spawns_in_order() -> None:
    g = taskloom.Graph()
    node = g.add(fibonacci, 6)
    with SeededExecutor(seed=3) as executor:
        assert executor.run(g)[node] == 8


def test_an_iteration_of_a_loop_may_be_a_graph() -> None:
    def halve(state: int) -> Spawn:
        g = taskloom.Graph()
        return Spawn(g, g.add(int.__floordiv__, state, 2))

    for mode in MODES:
        g = taskloom.Graph()
        node = g.loop(halve, 1 << 200, until=lambda state: state <= 1, max_iterations=500)
        assert taskloom.run(g, mode=mode)[node] == 1


def test_nothing_is_left_of_what_was_spawned() -> None:
    class Value:
        pass

    seen: list[weakref.ref[Value]] = []

    def make() -> Value:
        value = Value()
        seen.append(weakref.ref(value))
        return value

    def spawn() -> Spawn:
        g = taskloom.Graph()
        return Spawn(g, g.add(bool, g.add(make)))

    g = taskloom.Graph()
    g.add(spawn)
    plan = g.compile()
    for _ in range(3):
        run = taskloom.run(plan)
    del run
    gc.collect()
    assert [reference() for reference in seen] == [None] * 3


def test_what_cannot_be_spawned_is_refused() -> None:
    g, other = taskloom.Graph(), taskloom.Graph()
    with pytest.raises(TypeError, match="takes a graph or a plan"):
        Spawn(3)  # type: ignore[arg-type]
    with pytest.raises(GraphError, match="of another graph"):
        Spawn(g, other.add(int))
    with pytest.raises(TypeError, match="values of nodes"):
        Spawn(g, 3)
