"""Awaiting a future from an event loop."""

from __future__ import annotations

import sys
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, TypeVar

from taskloom import _taskloom

if TYPE_CHECKING:
    from taskloom._taskloom import Future

__all__ = ["await_future"]

R = TypeVar("R")


def await_future(future: Future[R]) -> Generator[Any, Any, R]:
    """What `await future` runs: at once if it is done, else through whatever runs the caller.

    On an asyncio loop cancelling the awaiting task cancels the future, as asyncio users expect. In
    a coroutine of taskloom's, and under trio, it does not: there the future's own scope decides.
    """
    try:
        _taskloom.checkpoint_if_cancelled()
        if future.done():
            return future.result()
        if not _taskloom.in_coroutine():
            asyncio = sys.modules.get("asyncio")
            loop = asyncio._get_running_loop() if asyncio is not None else None
            if asyncio is not None and loop is not None:
                result: R = yield from asyncio.wrap_future(future, loop=loop).__await__()
                return result
        wait = _taskloom.Wait()
        end = wait.setter
        future.add_done_callback(end.set)
        yield from wait.__await__()
        if future.cancelled():  # with whoever awaits it, perhaps
            _taskloom.checkpoint_if_cancelled()
        return future.result()
    finally:
        del future  # an error's traceback refers to this frame, and the future to the error
