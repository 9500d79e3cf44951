"""A deadline that has passed before a task begins, on every way that a task can take."""

from __future__ import annotations

from typing import Any, Literal

import pytest
import taskloom
from taskloom import Executor, Resources
from taskloom.errors import DeadlineMissed

Policy = Literal["first", "skip", "report"]
POLICIES: tuple[Policy, ...] = ("first", "skip", "report")
# Past by the time that anybody looks.
AT_ONCE = 1e-9


def check(future: taskloom.Future[int], policy: Policy) -> None:
    if policy == "skip":
        assert isinstance(future.exception(), DeadlineMissed)
    else:
        assert future.result() == 0


@pytest.mark.parametrize("policy", POLICIES)
def test_in_the_queue(policy: Policy) -> None:
    with Executor(1, overdue=policy) as executor:
        check(executor.options(deadline=AT_ONCE).submit(int), policy)
        assert executor.stats().overdue == 1


@pytest.mark.parametrize("policy", POLICIES)
def test_run_by_the_worker_that_waits_for_it(policy: Policy) -> None:
    with Executor(1, overdue=policy) as executor:

        def outer() -> None:
            check(executor.options(deadline=AT_ONCE).submit(int), policy)

        executor.submit(outer).result()
        assert executor.stats().overdue == 1


@pytest.mark.parametrize("policy", POLICIES)
def test_run_by_the_thread_that_waits_for_it(policy: Policy) -> None:
    with Executor(1, overdue=policy, inline=True) as executor:
        check(executor.options(deadline=AT_ONCE).submit(int), policy)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(
    "options", [{"after": True}, {"resources": Resources(cpu=0.1)}, {"retry": 3}]
)
def test_held_for_something_else(policy: Policy, options: dict[str, Any]) -> None:
    before: taskloom.Future[None] = taskloom.Future()
    with Executor(1, overdue=policy) as executor:
        if "after" in options:
            options = {"after": [before]}
        future = executor.options(deadline=AT_ONCE, **options).submit(int)
        before.set_result(None)
        check(future, policy)


@pytest.mark.parametrize("policy", POLICIES)
def test_in_a_worker_process(policy: Policy) -> None:
    with Executor(1, overdue=policy) as executor:
        check(executor.options(deadline=AT_ONCE, place="process").submit(int), policy)


@pytest.mark.parametrize("policy", POLICIES)
def test_of_a_node(policy: Policy) -> None:
    graph = taskloom.Graph()
    node = graph.options(deadline=AT_ONCE).add(int)
    with Executor(1, overdue=policy) as executor:
        run = executor.run(graph, check=False)
        if policy == "skip":
            with pytest.raises(DeadlineMissed):
                run[node]
        else:
            assert run[node] == 0


def test_late_tasks_go_first_or_in_their_turn() -> None:
    orders = {}
    for policy in ("first", "report"):
        gate: taskloom.Future[None] = taskloom.Future()
        done: list[str] = []
        with Executor(1, overdue=policy, spare_workers=0, aging=0) as executor:
            executor.options(priority=4).submit(gate.result)
            futures = [
                executor.options(priority=4).submit(done.append, "urgent"),
                executor.options(priority=-3, deadline=AT_ONCE).submit(done.append, "late"),
            ]
            gate.set_result(None)
            for future in futures:
                future.result()
        orders[policy] = done
    assert orders == {"first": ["late", "urgent"], "report": ["urgent", "late"]}
