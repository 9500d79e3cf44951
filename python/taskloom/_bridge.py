"""Awaiting a future from an event loop."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from taskloom._taskloom import Future

__all__ = ["await_future"]

R = TypeVar("R")


def await_future(future: Future[R]) -> Generator[Any, Any, R]:
    """What `await future` runs: at once if it is done, else through the running asyncio loop.

    Cancelling the awaiting task cancels the future.
    """
    if future.done():
        return future.result()
    import asyncio

    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError(
            "this future can be awaited where an asyncio event loop runs; elsewhere, "
            "call its result()"
        ) from None
    return (yield from asyncio.wrap_future(future, loop=loop).__await__())
