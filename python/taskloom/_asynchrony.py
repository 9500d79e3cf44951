"""What is asynchronous: functions whose call gives a coroutine, and the loop that runs here."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from taskloom import _taskloom
from taskloom._taskloom import Receiver, Sender

if TYPE_CHECKING:
    import asyncio

__all__ = ["is_coroutine_function", "running_loop"]


# Of code objects: `inspect.CO_COROUTINE` and `CO_ITERABLE_COROUTINE`, which is slow to import.
_COROUTINE = 0x80 | 0x100


# Of the native functions and methods, those whose results are to be awaited.
_AWAITED = ("sleep", "yield_now", "maybe_yield")
_AWAITED_OF_ENDS = ("send", "send_many", "receive", "receive_many", "aclose")


def _is_native_awaited(function: Any) -> bool:
    name = getattr(function, "__name__", None)
    if name in _AWAITED:
        found: object = getattr(_taskloom, name)
        return found is function
    if name not in _AWAITED_OF_ENDS:
        return False
    owner = getattr(function, "__objclass__", None) or type(getattr(function, "__self__", None))
    return owner is Sender or owner is Receiver


def is_coroutine_function(function: Callable[..., Any]) -> bool:
    """Whether its result is to be awaited: `async def`, a partial of one, an object with one, or a
    native function or method of that kind, such as `sleep` or `Sender.send`."""
    while isinstance(function, partial):
        function = function.func
    code = getattr(function, "__code__", None)
    if code is not None:
        return bool(code.co_flags & _COROUTINE)
    if isinstance(function, type):
        return False
    if _is_native_awaited(function):
        return True
    code = getattr(getattr(function, "__call__", None), "__code__", None)  # noqa: B004
    return code is not None and bool(code.co_flags & _COROUTINE)


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The asyncio loop that runs on this thread, if there is one."""
    asyncio_ = sys.modules.get("asyncio")
    if asyncio_ is None:
        return None
    loop: asyncio.AbstractEventLoop | None = asyncio_._get_running_loop()
    return loop
