"""What tracing costs: the same runs and submits of no-ops with and without it, side by side."""

from __future__ import annotations

import taskloom
from graph_run import NODES, chain, noop, wide
from harness import Contender, Workload

serial = Workload(
    "trace-serial", "a chain of 100,000 no-ops, serial mode, traced and not", unit="ns/node"
)
parallel = Workload(
    "trace-parallel", "100,000 no-ops side by side, 2 workers, traced and not", unit="ns/node"
)


@serial.contender("untraced", per=NODES)
def serial_untraced() -> Contender:
    plan = chain(NODES).compile()
    with taskloom.Executor(2) as executor:
        yield lambda: executor.run(plan, mode="serial")


@serial.contender("traced", per=NODES)
def serial_traced() -> Contender:
    plan = chain(NODES).compile()
    with taskloom.Executor(2) as executor:
        yield lambda: executor.run(plan, mode="serial", trace=True)


@parallel.contender("untraced", per=NODES)
def parallel_untraced() -> Contender:
    plan = wide(NODES).compile()
    with taskloom.Executor(2) as executor:
        yield lambda: executor.run(plan)


@parallel.contender("traced", per=NODES)
def parallel_traced() -> Contender:
    plan = wide(NODES).compile()
    with taskloom.Executor(2) as executor:
        yield lambda: executor.run(plan, trace=True)


submits = Workload(
    "trace-submit", "100,000 submits of a no-op and their results, traced and not", unit="ns/task"
)


def submit_all(executor: taskloom.Executor) -> None:
    futures = [executor.submit(noop) for _ in range(NODES)]
    for future in futures:
        future.result()


@submits.contender("untraced", per=NODES)
def submits_untraced() -> Contender:
    with taskloom.Executor(1, max_queue_depth=None) as executor:
        yield lambda: submit_all(executor)


@submits.contender("traced", per=NODES)
def submits_traced() -> Contender:
    with (
        taskloom.Executor(1, max_queue_depth=None) as executor,
        executor.tracing(capacity=NODES),
    ):
        yield lambda: submit_all(executor)
