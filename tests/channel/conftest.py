"""Runs each program of the channel tests in several orders, on virtual time."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from taskloom.scope.coroutines import run_seeded

Run = Callable[..., Any]


@pytest.fixture(params=[None, 1, 2, 3], ids=["in order", "seed 1", "seed 2", "seed 3"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine function on virtual time, in order and in three orders of chance."""

    def run(fn: Callable[..., Coroutine[Any, Any, Any]], *args: Any) -> Any:
        return run_seeded(fn, *args, seed=request.param)

    return run
