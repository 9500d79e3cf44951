"""Where a coroutine lets others have a turn though it need not wait itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import trio
from taskloom import CancelScope, Scope
from taskloom.scope.coroutines import run_seeded

Run = Callable[..., Any]


def on_asyncio(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return asyncio.run(main())


@pytest.mark.parametrize("run", [run_seeded, on_asyncio, trio.run], ids=["ours", "asyncio", "trio"])
def test_leaving_a_scope_without_children_lets_others_have_a_turn(run: Run) -> None:
    async def main() -> bool:
        ran = False

        async def other() -> None:
            nonlocal ran
            ran = True

        async with Scope() as outer:
            outer.spawn(other)
            for _ in range(2):  # in trio's order, who came last may be first
                async with Scope():
                    pass
            return ran

    assert run(main)


def test_a_scope_without_children_is_left_in_a_cancelled_one_too(run: Run) -> None:
    async def main() -> tuple[bool, bool]:
        left = False
        with CancelScope() as around:
            around.cancel()
            async with Scope():
                pass
            left = True
        return left, around.cancelled_caught

    assert run(main) == (True, False)
