"""The traceback of a child's error begins with the child."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable
from typing import Any

import pytest
import taskloom
from taskloom import Channel, Scope

Run = Callable[..., Any]


def function() -> None:
    raise ValueError


async def coroutine() -> None:
    raise ValueError


async def taking(end: object) -> None:
    raise ValueError


def staged(item: object) -> None:
    raise ValueError


async def starting(*, task_status: taskloom.TaskStatus[None]) -> None:
    task_status.started()
    raise ValueError


async def not_starting(*, task_status: taskloom.TaskStatus[None]) -> None:
    raise ValueError


def pipeline(scope: Scope) -> None:
    scope.pipeline([1], taskloom.stage(staged)).close()


WAYS: dict[str, Callable[[Scope], Any]] = {
    "coroutine": lambda scope: scope.spawn(coroutine),
    "partial": lambda scope: scope.spawn(functools.partial(coroutine)),
    "coroutine with options": lambda scope: scope.options(timeout=60).spawn(coroutine),
    "function": lambda scope: scope.spawn(function),
    "function with options": lambda scope: scope.options(timeout=60).spawn(function),
    "producer": lambda scope: scope.produce(Channel(1), taking),
    "start": lambda scope: scope.start(starting),
    "stage": pipeline,
}


@pytest.mark.parametrize("way", WAYS)
def test_a_childs_traceback_begins_with_the_child(anywhere: Run, way: str) -> None:
    async def main() -> None:
        async with Scope() as scope:
            spawned = WAYS[way](scope)
            if way == "start":
                await spawned

    with pytest.raises(ExceptionGroup) as raised:
        anywhere(main)
    errors = [error for error in raised.value.exceptions if type(error) is ValueError]
    frames = [frame.name for frame in traceback.extract_tb(errors[0].__traceback__)]
    assert len(frames) == 1
    assert frames[0] in {"function", "coroutine", "taking", "staged", "starting"}


def test_an_error_before_started_shows_the_call_and_the_child(anywhere: Run) -> None:
    async def main() -> list[str]:
        async with Scope() as scope:
            with pytest.raises(ValueError, match=r"^$") as raised:
                await scope.start(not_starting)
        return [frame.name for frame in traceback.extract_tb(raised.value.__traceback__)]

    assert anywhere(main) == ["main", "start", "start_child", "not_starting"]
