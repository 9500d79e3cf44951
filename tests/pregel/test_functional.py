"""Workflows as functions: entrypoint, task, previous."""

import asyncio
import threading
from dataclasses import dataclass
from typing import Any

import pytest
from taskloom.pregel import Command, entrypoint, interrupt, task
from taskloom.pregel.checkpoint.memory import InMemorySaver
from taskloom.pregel.checkpoint.sqlite import SqliteSaver

CONFIG: Any = {"configurable": {"thread_id": "1"}}


def test_tasks_run_side_by_side() -> None:
    meeting = threading.Barrier(2, timeout=30)

    @task
    def meet(x: int) -> int:
        meeting.wait()
        return x

    @entrypoint()
    def work(xs: list[int]) -> list[int]:
        return [future.result() for future in [meet(x) for x in xs]]

    assert work.invoke([1, 2]) == [1, 2]


def test_a_resumed_workflow_does_not_run_finished_tasks_again() -> None:
    runs = []

    @task
    def draft(topic: str) -> str:
        runs.append(topic)
        return f"about {topic}"

    @entrypoint(checkpointer=InMemorySaver())
    def write(topic: str) -> str:
        text = draft(topic).result()
        return f"{text}: {interrupt(text)}"

    assert write.invoke("cats", CONFIG)["__interrupt__"][0].value == "about cats"
    assert write.invoke(Command(resume="fine"), CONFIG) == "about cats: fine"
    assert runs == ["cats"]


def test_previous_is_what_the_last_run_returned_or_saved() -> None:
    @entrypoint(checkpointer=InMemorySaver())
    def add(x: int, *, previous: int | None = None) -> entrypoint.final[str, int]:
        total = x + (previous or 0)
        return entrypoint.final(value=f"total {total}", save=total)

    assert [add.invoke(x, CONFIG) for x in (1, 2, 3)] == ["total 1", "total 3", "total 6"]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_max_concurrency_bounds_the_tasks_that_run_at_a_time(asynchronous: bool) -> None:
    running, most, lock = 0, 0, threading.Lock()

    def enter(by: int) -> None:
        nonlocal running, most
        with lock:
            running += by
            most = max(most, running)

    @task
    def work(x: int) -> int:
        enter(1)
        threading.Event().wait(0.005)
        enter(-1)
        return x

    @task
    async def awork(x: int) -> int:
        enter(1)
        await asyncio.sleep(0.005)
        enter(-1)
        return x

    @entrypoint()
    def flow(n: int) -> int:
        return sum(future.result() for future in [work(i) for i in range(n)])

    @entrypoint()
    async def aflow(n: int) -> int:
        return sum(await asyncio.gather(*(awork(i) for i in range(n))))

    config: Any = {"max_concurrency": 2}
    given = asyncio.run(aflow.ainvoke(8, config)) if asynchronous else flow.invoke(8, config)
    assert given == 28
    assert most <= 2


def test_a_failing_task_raises_where_its_result_is_asked_for() -> None:
    @task
    def fail() -> None:
        raise KeyError("lost")

    @entrypoint()
    def work(x: int) -> str:
        try:
            fail().result()
        except KeyError as error:
            return f"caught {error}"
        return "missed"

    assert work.invoke(1) == "caught 'lost'"


def test_tasks_are_shown_as_they_end() -> None:
    @task
    def double(x: int) -> int:
        return 2 * x

    @entrypoint()
    def work(x: int) -> int:
        return double(x).result() + 1

    assert list(work.stream(3)) == [{"double": 6}, {"work": 7}]


def test_async_workflow_awaits_its_tasks() -> None:
    @task
    async def double(x: int) -> int:
        await asyncio.sleep(0)
        return 2 * x

    @entrypoint()
    async def work(x: int) -> int:
        return sum(await asyncio.gather(double(x), double(x + 1)))

    assert asyncio.run(work.ainvoke(3)) == 14


def test_a_task_called_outside_of_a_workflow_says_so() -> None:
    @task
    def alone() -> None: ...

    with pytest.raises(RuntimeError, match="task 'alone' called outside"):
        alone()


def test_generators_are_no_entrypoints() -> None:
    with pytest.raises(NotImplementedError):

        @entrypoint()
        def work(x: int):
            yield x


@dataclass
class Order:
    name: str


def test_the_types_that_a_workflow_declares_may_be_stored() -> None:
    with SqliteSaver.from_conn_string(":memory:") as saver:

        @entrypoint(checkpointer=saver)
        def main(order: Order) -> str:
            return f"{order.name}, {interrupt('sure?')}"

        config = {"configurable": {"thread_id": "1"}}
        main.invoke(Order("tea"), config)
        assert main.invoke(Command(resume="yes"), config) == "tea, yes"
