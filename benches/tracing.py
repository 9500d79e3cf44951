"""What tracing costs a node: the same runs of no-ops with and without it, side by side."""

from __future__ import annotations

import taskloom
from graph_run import NODES, chain, wide
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
