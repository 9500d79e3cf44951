"""asyncio code from taskloom's coroutines: `aio` runs it on the background loop."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine
from typing import Any, TypeVar

from taskloom._asynchrony import running_loop
from taskloom.places._loop import LoopCall, background_loop

__all__ = ["aio", "aio_loop"]

R = TypeVar("R")


def aio_loop() -> asyncio.AbstractEventLoop:
    """The background loop, started if it was not; for clients that want to be made on their loop.

    >>> from taskloom.scope.aio import aio_loop
    >>> aio_loop().is_running()
    True
    """
    return background_loop()


async def aio(coroutine: Coroutine[Any, Any, R]) -> R:
    """Runs an asyncio coroutine on the background loop and returns its result.

    For code that needs a running asyncio loop (HTTP clients, database drivers, ...). Cancelling the
    caller cancels the coroutine and waits for its end. On an asyncio loop it is just awaited there.

    >>> import asyncio, taskloom
    >>> async def answer():
    ...     await asyncio.sleep(0)
    ...     return 42
    >>> async def main():
    ...     return await taskloom.aio(answer())
    >>> taskloom.run_coroutine(main)
    42
    """
    if running_loop() is not None:
        return await coroutine
    if not isinstance(coroutine, Coroutine):
        raise TypeError(f"aio(coroutine): what calling an `async def` gives, not {coroutine!r}")
    context = contextvars.copy_context()
    try:
        result: R = await LoopCall(background_loop(), lambda: coroutine, context).result()
    finally:
        coroutine.close()  # nothing to do if it was started
    return result
