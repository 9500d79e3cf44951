"""What it costs to watch the machine: the processor time of two samples a second."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

from harness import Contender, Workload
from taskloom.scheduling.monitor import ResourceMonitor

PER_SECOND = 2
SAMPLES = 200

monitor_cost = Workload(
    "monitor-cost", "the resource monitor at two samples a second", unit="% of a core", aim=0.1
)


def share_of_a_core(sample: Callable[[], object]) -> float:
    began = time.process_time()
    for _ in range(SAMPLES):
        sample()
    return 100 * PER_SECOND * (time.process_time() - began) / SAMPLES


@monitor_cost.contender("taskloom.ResourceMonitor")
def ours() -> Contender:
    monitor = ResourceMonitor()
    yield lambda: share_of_a_core(monitor.sample)


@monitor_cost.contender("psutil, the same figures", note="no container limits, no pressure")
def psutil_figures() -> Contender:
    psutil: Any = import_module("psutil")
    process = psutil.Process()

    def sample() -> object:
        return (
            process.cpu_times(),
            process.memory_info(),
            psutil.cpu_times(),
            psutil.virtual_memory(),
        )

    yield lambda: share_of_a_core(sample)
