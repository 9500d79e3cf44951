"""`async def` nodes: awaited on the pool or on an event loop, held to the rules of every node."""

from __future__ import annotations

import asyncio
import pickle
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextvars import ContextVar
from typing import Any

import pytest
import taskloom
from taskloom import Executor, Graph
from taskloom.errors import DeadlineMissed, OptionError, RunAborted
from taskloom.graph._pickling import LEFT_OUT

variable: ContextVar[str] = ContextVar("variable", default="unset")


@pytest.fixture
def executor() -> Iterator[Executor]:
    with Executor(2) as executor:
        yield executor


async def plus_one(n: int) -> int:
    await taskloom.sleep(0)
    return n + 1


async def forever(entered: threading.Event, left: threading.Event) -> None:
    try:
        entered.set()
        await taskloom.sleep_forever()
    finally:
        left.set()


class Box(list[Any]):
    """A list that can be referred to weakly."""


def chain_of_two() -> tuple[Graph, Any]:
    g = Graph()
    return g, g.add(str, g.add(plus_one, g.add(plus_one, 1)))


@pytest.mark.parametrize("mode", ["parallel", "serial"])
@pytest.mark.parametrize("workers", [1, 3])
def test_the_value_of_a_coroutine_node_is_what_it_returns(mode: Any, workers: int) -> None:
    g, text = chain_of_two()
    with Executor(workers) as executor:
        assert executor.run(g, mode=mode)[text] == "3"
        assert executor.start(g, mode=mode).result()[text] == "3"


def test_a_run_that_a_worker_waits_for_needs_no_second_worker() -> None:
    g, text = chain_of_two()
    with Executor(1) as executor:
        assert executor.call(lambda: executor.run(g)[text]) == "3"


def test_a_run_with_coroutine_nodes_can_be_awaited_on_the_pool_and_on_asyncio(
    executor: Executor,
) -> None:
    g, text = chain_of_two()

    async def main() -> str:
        run = await executor.start(g)
        value: str = run[text]
        return value

    assert asyncio.run(main()) == "3"


def test_many_coroutine_nodes_wait_side_by_side_on_one_worker() -> None:
    gate = taskloom.Event()
    arrived = taskloom.Semaphore(0)

    async def wait(n: int) -> int:
        arrived.release()
        await gate.wait()
        return n

    async def opens() -> None:
        for _ in range(100):
            await arrived.acquire()
        gate.set()

    g = Graph()
    nodes = [g.add(wait, n) for n in range(100)]
    g.add(opens)
    with Executor(1) as executor:
        run = executor.run(g)
        assert [run[node] for node in nodes] == list(range(100))


def test_a_coroutine_node_that_raises_has_failed_and_skips_what_depends_on_it(
    executor: Executor,
) -> None:
    async def fails() -> None:
        await taskloom.sleep(0)
        raise ValueError("no")

    g = Graph()
    failed = g.add(fails)
    after = g.add(print, failed)
    other = g.add(plus_one, 1)
    run = executor.run(g, check=False)
    assert run[other] == 2
    assert "because of" in str(run.why(after))
    with pytest.raises(ValueError, match="no"):
        run[failed]


def test_a_cancelled_run_cancels_its_coroutines_and_waits_for_their_cleanup(
    executor: Executor,
) -> None:
    entered, left = threading.Event(), threading.Event()
    g = Graph()
    g.add(forever, entered, left)
    run = executor.start(g)
    entered.wait()
    run.cancel()
    with pytest.raises(Exception, match="cancelled"):
        run.result()
    assert left.is_set()


def test_a_coroutine_node_ends_with_timeout_error_after_its_cleanup(executor: Executor) -> None:
    entered, left = threading.Event(), threading.Event()
    g = Graph()
    node = g.options(timeout=0.01, name="slow").add(forever, entered, left)
    run = executor.run(g, check=False)
    assert left.is_set()
    with pytest.raises(TimeoutError, match="'slow' ran longer than its timeout"):
        run[node]


def test_a_coroutine_node_whose_deadline_passes_is_told_so(executor: Executor) -> None:
    g = Graph()
    entered, left = threading.Event(), threading.Event()
    node = g.options(deadline=0.01).add(forever, entered, left)
    run = executor.run(g, check=False)
    with pytest.raises(DeadlineMissed):
        run[node]


def test_a_failed_coroutine_is_made_anew_for_its_retry(executor: Executor) -> None:
    attempts = []

    async def third_time() -> str | None:
        task = taskloom.current_task()
        assert task is not None
        attempts.append(task.attempt)
        if len(attempts) < 3:
            raise OSError
        return task.name

    g = Graph()
    node = g.options(retry=3, name="stubborn").add(third_time)
    assert executor.run(g)[node] == "stubborn"
    assert attempts == [1, 2, 3]


def test_a_coroutine_node_is_its_own_current_task(executor: Executor) -> None:
    async def asks() -> str | None:
        await taskloom.sleep(0)
        task = taskloom.current_task()
        return None if task is None else task.name.rpartition(".")[2]

    g = Graph()
    plain, placed = g.add(asks), g.options(place="loop").add(asks)
    run = executor.run(g)
    assert run[plain] == run[placed] == "asks"


def test_coroutine_nodes_find_the_context_variables_of_the_run(executor: Executor) -> None:
    async def asks() -> str:
        found = variable.get()
        variable.set("of the coroutine")
        await taskloom.sleep(0)
        return found

    g = Graph()
    first = g.add(asks)
    second = g.options(after=[first], place="loop").add(asks)
    token = variable.set("of the caller")
    try:
        run = executor.run(g)
    finally:
        variable.reset(token)
    assert run[first] == run[second] == "of the caller"


WAYS: list[dict[str, Any]] = [
    {},
    {"place": "loop"},
    {"timeout": 60},
    {"resources": taskloom.Resources(cpu=0.5)},
]


@pytest.mark.parametrize("options", WAYS)
def test_a_coroutine_that_asks_for_another_attempt_gets_it(
    executor: Executor, options: dict[str, Any]
) -> None:
    calls: list[int] = []

    async def asks(box: Box) -> int:
        calls.append(len(box))
        if len(calls) < 3:
            raise taskloom.RetryTask(0.0)
        return len(calls)

    g = Graph()
    node = g.options(**options).add(asks, g.add(Box, "ab"))
    assert executor.run(g)[node] == 3
    assert calls == [2, 2, 2]


@pytest.mark.parametrize("options", WAYS)
def test_a_coroutine_may_end_its_branch(executor: Executor, options: dict[str, Any]) -> None:
    async def ends() -> None:
        raise taskloom.AbortBranch("nothing")

    g = Graph()
    node = g.options(**options).add(ends)
    after = g.add(str, node)
    run = executor.run(g)
    assert (run[node], run.why(node).status, run.why(after).status) == (
        "nothing",
        "ended",
        "skipped",
    )


@pytest.mark.parametrize("options", WAYS)
def test_a_coroutine_may_abort_its_run(executor: Executor, options: dict[str, Any]) -> None:
    async def aborts() -> None:
        raise taskloom.AbortRun("enough")

    g = Graph()
    node = g.options(**options).add(aborts)
    run = executor.run(g, check=False)
    assert (run.status, run.why(node).status) == ("aborted", "aborted")
    with pytest.raises(RunAborted, match="enough"):
        run.result()


def test_a_graphs_retry_holds_for_its_coroutines_too(executor: Executor) -> None:
    attempts: list[int] = []

    async def second_time() -> None:
        attempts.append(1)
        if len(attempts) < 2:
            raise OSError

    g = Graph(retry=2)
    g.add(second_time)
    assert executor.run(g).ok
    assert len(attempts) == 2


def test_coroutine_nodes_with_needs_do_not_exceed_what_there_is(executor: Executor) -> None:
    now = most = 0

    async def busy() -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await taskloom.sleep(0.001)
        now -= 1

    g = Graph()
    for _ in range(5):
        g.options(resources=taskloom.Resources(io=0.6)).add(busy)
    executor.run(g)
    assert most == 1


def test_a_coroutine_in_a_process_is_refused() -> None:
    with pytest.raises(OptionError, match="async def"):
        Graph().options(place="process").add(plus_one, 1)


def test_submits_on_a_loop_wait_for_what_they_come_after(executor: Executor) -> None:
    release = threading.Event()
    order: list[str] = []

    def first() -> None:
        release.wait()
        order.append("first")

    async def second() -> None:
        order.append("second")

    before = executor.submit(first)
    after = executor.options(place="loop", after=[before]).submit(second)
    release.set()
    after.result()
    assert order == ["first", "second"]


def test_what_comes_after_a_failed_task_is_cancelled_on_a_loop_too(executor: Executor) -> None:
    failed = executor.submit(int, "x")
    after = executor.options(place="loop", after=[failed]).submit(asyncio.sleep, 0)
    with pytest.raises(CancelledError):
        after.result()


def test_a_run_started_in_a_scope_is_cancelled_in_its_coroutines(executor: Executor) -> None:
    entered, left = threading.Event(), threading.Event()
    g = Graph()
    g.add(forever, entered, left)
    with taskloom.CancelScope() as scope:
        run = executor.start(g)
        entered.wait()
        scope.cancel()
    run.wait()
    assert left.is_set()
    assert not run.ok


def test_cancelling_a_coroutine_in_its_first_step_reaches_it() -> None:
    entered, go_on = threading.Event(), threading.Event()

    async def first_step() -> None:
        entered.set()
        go_on.wait()
        await taskloom.sleep_forever()

    with Executor(1) as executor, taskloom.Scope(executor) as scope:
        future = scope.spawn(first_step)
        entered.wait()
        assert not future.cancel()
        go_on.set()
        with pytest.raises(CancelledError):
            future.result()


def test_cancelling_a_coroutine_that_only_gives_way_reaches_it() -> None:
    entered, go_on = threading.Event(), threading.Event()

    async def never_waits() -> None:
        entered.set()
        go_on.wait()
        for _ in range(2):
            await taskloom.sleep(0)

    async def shields_itself() -> str:
        with taskloom.CancelScope(shield=True):
            await never_waits()
        return "done"

    with Executor(1) as executor, taskloom.Scope(executor) as scope:
        for function in (never_waits, shields_itself):
            entered.clear()
            go_on.clear()
            future: Any = scope.spawn(function)
            entered.wait()
            assert not future.cancel()
            go_on.set()
            if function is never_waits:
                with pytest.raises(CancelledError):
                    future.result()
            else:
                assert future.result() == "done"


def test_a_closed_executor_finishes_the_coroutines_of_its_runs() -> None:
    g, text = chain_of_two()
    executor = Executor(1)
    run = executor.start(g)
    executor.shutdown(wait=False)
    assert run.result()[text] == "3"


def test_coroutine_nodes_of_subgraphs_and_unpickled_graphs_are_awaited(executor: Executor) -> None:
    inner = Graph()
    inner.options(name="fetched").add(plus_one, inner.resource("n"))
    g = Graph()
    added = g.subgraph(inner, n=1)
    assert executor.run(g)[added] == 2

    again: Graph = pickle.loads(pickle.dumps(chain_of_two()[0]))
    # As in another process, where the function is another object.
    assert not again._coroutines - {id(node.function) for node in again.nodes}
    assert "_coroutines" in LEFT_OUT
    assert executor.run(again)[again.nodes[-1]] == "3"


def begun_in_order(**options: dict[int, float]) -> list[int]:
    """The order in which coroutine nodes begin that are all queued when the only worker is free."""
    began, go_on = threading.Event(), threading.Event()
    begun: list[int] = []

    def hold() -> None:
        began.set()
        go_on.wait()

    async def note(number: int) -> None:
        begun.append(number)

    graph = Graph()
    for number in range(3):
        own = {name: values[number] for name, values in options.items() if number in values}
        graph.options(**own).add(note, number)
    graph.add(go_on.set)
    with Executor(1, deadline_lead=0) as executor:
        executor.submit(hold)
        began.wait()
        executor.run(graph.compile(order="registration"))
    return begun


def test_the_coroutine_with_the_earliest_deadline_begins_first() -> None:
    assert begun_in_order(deadline={0: 300, 1: 100, 2: 200}) == [1, 2, 0]


def test_a_coroutine_with_a_deadline_begins_before_one_without() -> None:
    assert begun_in_order(deadline={2: 300}) == [2, 0, 1]


def test_a_deadline_orders_coroutines_within_their_band() -> None:
    assert begun_in_order(deadline={0: 100}, priority={1: 1, 2: 1}) == [1, 2, 0]
