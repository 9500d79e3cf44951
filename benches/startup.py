"""What it costs to import taskloom, beyond the standard library's executor."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

from harness import Contender, Workload

imports = Workload(
    "import-time",
    "processor time to import it with its executor, over `import concurrent.futures`",
    unit="ms",
    aim=6,
    repeats=11,
)


def seconds_of(code: str) -> float:
    """Processor time of a fresh interpreter that runs the code: the least disturbed figure."""
    timed = f"{code}\nimport time; print(time.process_time())"
    # Compiled code is kept, as it is for users; the warm-up writes it.
    environment = {key: os.environ[key] for key in os.environ if key != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", timed]
    run = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return float(run.stdout)


def over_futures(code: str) -> Callable[[], float]:
    """The extra time of the code, each sample against a fresh run of the standard library alone."""
    return lambda: seconds_of(code) - seconds_of("import concurrent.futures.thread")


@imports.contender("taskloom")
def taskloom_itself() -> Contender:
    yield over_futures("import taskloom; taskloom.Executor")


@imports.contender("asyncio")
def asyncio_itself() -> Contender:
    yield over_futures("import asyncio")


@imports.contender("dask.threaded")
def dask_threaded() -> Contender:
    import dask.threaded  # noqa: F401

    yield over_futures("import dask.threaded")


@imports.contender("joblib")
def joblib_itself() -> Contender:
    import joblib  # noqa: F401

    yield over_futures("import joblib")
