"""Runs each program of the scope tests in several orders, on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import taskloom
from taskloom.scope.coroutines import run_seeded

Run = Callable[..., Any]


@pytest.fixture(params=[None, 1, 2, 3], ids=["in order", "seed 1", "seed 2", "seed 3"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine function on virtual time, in order and in three orders of chance."""

    def run(fn: Callable[..., Coroutine[Any, Any, Any]], *args: Any) -> Any:
        return run_seeded(fn, *args, seed=request.param)

    return run


def _on_asyncio(main: Callable[..., Coroutine[Any, Any, Any]], *args: Any) -> Any:
    return asyncio.run(main(*args))


def _under_trio(main: Callable[..., Coroutine[Any, Any, Any]], *args: Any) -> Any:
    return pytest.importorskip("trio").run(main, *args)


@pytest.fixture(
    params=[taskloom.run_coroutine, _on_asyncio, _under_trio, run_seeded],
    ids=["pool", "asyncio", "trio", "seeded"],
)
def anywhere(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine function on a pool, on asyncio, under trio, on virtual time."""
    run: Run = request.param
    return run
