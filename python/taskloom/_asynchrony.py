"""What is asynchronous: functions whose call gives a coroutine, and the loop that runs here."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

__all__ = ["is_coroutine_function", "running_loop"]


# Of code objects: `inspect.CO_COROUTINE` and `CO_ITERABLE_COROUTINE`, which is slow to import.
_COROUTINE = 0x80 | 0x100


def is_coroutine_function(function: Callable[..., Any]) -> bool:
    """Whether calling it gives a coroutine: `async def`, a partial of one, an object with one."""
    while isinstance(function, partial):
        function = function.func
    code = getattr(function, "__code__", None)
    if code is not None:
        return bool(code.co_flags & _COROUTINE)
    if isinstance(function, type):
        return False
    code = getattr(getattr(function, "__call__", None), "__code__", None)  # noqa: B004
    return code is not None and bool(code.co_flags & _COROUTINE)


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The asyncio loop that runs on this thread, if there is one."""
    asyncio_ = sys.modules.get("asyncio")
    if asyncio_ is None:
        return None
    loop: asyncio.AbstractEventLoop | None = asyncio_._get_running_loop()
    return loop
