"""`async def` nodes that write, forward, take or copy what they are given."""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
import taskloom
from taskloom import Executor, Graph


@pytest.fixture
def executor() -> Iterator[Executor]:
    with Executor(2) as executor:
        yield executor


class Box(list[Any]):
    """A list that can be referred to weakly."""


def test_a_writing_coroutine_has_the_value_for_itself_until_it_ends(executor: Executor) -> None:
    async def fill(box: Box) -> None:
        for n in range(5):
            await taskloom.sleep(0.001)
            box.append(n)

    g = Graph()
    box = g.add(Box)
    g.add(fill, taskloom.write(box))
    seen = g.add(list, box)
    assert executor.run(g)[seen] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("place", ["thread", "loop"])
def test_a_forwarding_coroutine_stands_for_its_argument(executor: Executor, place: str) -> None:
    async def fill(box: Box) -> None:
        await taskloom.sleep(0)
        box.append(1)

    g = Graph()
    filled = g.options(place=place).add(fill, taskloom.forward(g.add(Box)))
    size = g.add(len, filled)
    run = executor.run(g)
    assert run[size] == 1


def test_a_forwarding_node_with_needs_stands_for_its_argument(executor: Executor) -> None:
    g = Graph()
    view = g.options(resources=taskloom.Resources(cpu=0.5))
    filled = view.add(Box.append, taskloom.forward(g.add(Box)), 1)
    assert executor.run(g)[filled] == [1]


def settle() -> None:
    """Where threads count references each for itself, has them add up what they have counted."""
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        gc.collect()


WAYS: list[dict[str, Any]] = [
    {},
    {"place": "loop"},
    {"timeout": 60},
    {"resources": taskloom.Resources(cpu=0.5)},
]


@pytest.mark.parametrize("mode", ["parallel", "serial"])
@pytest.mark.parametrize("options", WAYS)
def test_a_coroutine_that_takes_a_value_is_its_last_owner(
    executor: Executor, mode: Any, options: dict[str, Any]
) -> None:
    async def drops(box: Box, *, other: Box) -> bool:
        references = weakref.ref(box), weakref.ref(other)
        del box, other
        settle()
        return all(reference() is None for reference in references)

    g = Graph()
    box, other = taskloom.take(g.add(Box)), taskloom.take(g.add(Box))
    node = g.options(**options).add(drops, box, other=other)
    assert executor.run(g, mode=mode)[node] is True


@pytest.mark.parametrize("mode", ["parallel", "serial"])
def test_a_node_with_needs_that_takes_a_value_is_its_last_owner(
    executor: Executor, mode: Any
) -> None:
    def drops(box: Box) -> bool:
        reference = weakref.ref(box)
        del box
        settle()
        return reference() is None

    g = Graph()
    view = g.options(resources=taskloom.Resources(cpu=0.5))
    node = view.add(drops, taskloom.take(g.add(Box)))
    assert executor.run(g, mode=mode)[node] is True


@pytest.mark.parametrize("options", WAYS)
def test_a_coroutine_that_takes_a_value_has_it_again_if_its_retry_is_safe(
    executor: Executor, options: dict[str, Any]
) -> None:
    seen: list[int] = []

    async def third_time(box: Box) -> None:
        seen.append(len(box))
        if len(seen) < 3:
            raise OSError

    g = Graph()
    view = g.options(retry=3, retry_safe=True, **options)
    view.add(third_time, taskloom.take(g.add(Box, "ab")))
    executor.run(g)
    assert seen == [2, 2, 2]


@pytest.mark.parametrize("options", WAYS)
def test_a_coroutine_that_took_a_value_cannot_ask_for_another_attempt(
    executor: Executor, options: dict[str, Any]
) -> None:
    async def asks(box: Box) -> None:
        raise taskloom.RetryTask

    g = Graph()
    node = g.options(**options).add(asks, taskloom.take(g.add(Box)))
    run = executor.run(g, check=False)
    assert "has taken its argument" in str(run.exceptions()[node])


def test_a_copying_coroutine_leaves_the_value_alone(executor: Executor) -> None:
    async def fill(box: Box) -> int:
        box.append(1)
        return len(box)

    g = Graph()
    box = g.add(Box)
    filled = g.add(fill, taskloom.copy(box))
    size = g.options(after=[filled]).add(len, box)
    run = executor.run(g)
    assert run[filled] == 1
    assert run[size] == 0
