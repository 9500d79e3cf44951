"""asyncio code from taskloom's coroutines: one event loop on a thread in the background.

`await aio(coroutine)` runs the coroutine there as an asyncio task and resumes the caller with its
result. The loop is uvloop's if that is installed. It starts with the first use and ends with the
interpreter; a fork starts without one.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from importlib import import_module
from typing import Any, TypeVar

from taskloom import _taskloom
from taskloom.scope._hosts import running_loop
from taskloom.scope.cancellation import CancelScope

__all__ = ["aio", "aio_loop"]

R = TypeVar("R")

_lock = threading.Lock()
_running: tuple[asyncio.AbstractEventLoop, threading.Thread] | None = None
_exiting = False


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        uvloop: Any = import_module("uvloop")
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def aio_loop() -> asyncio.AbstractEventLoop:
    """The background loop, started if it was not; for clients that want to be made on their loop.

    >>> from taskloom.scope.aio import aio_loop
    >>> aio_loop().is_running()
    True
    """
    global _running  # noqa: PLW0603
    with _lock:
        if _running is None:
            if _exiting:
                raise RuntimeError("the interpreter is shutting down")
            loop = _new_loop()
            ready = threading.Event()

            def main() -> None:
                asyncio.set_event_loop(loop)
                loop.call_soon(ready.set)
                try:
                    loop.run_forever()
                finally:
                    _close(loop)

            thread = threading.Thread(target=main, name="taskloom-aio", daemon=True)
            thread.start()
            ready.wait()
            _running = (loop, thread)
        return _running[0]


def _close(loop: asyncio.AbstractEventLoop) -> None:
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


class _Call:
    """One coroutine on the background loop."""

    __slots__ = ("coroutine", "loop", "setter", "task")

    def __init__(self, coroutine: Coroutine[Any, Any, Any], setter: _taskloom.Setter) -> None:
        self.coroutine = coroutine
        self.setter = setter
        self.loop = aio_loop()
        self.task: asyncio.Task[Any] | None = None

    def start(self) -> None:
        self.task = self.loop.create_task(self.coroutine)
        self.task.add_done_callback(self.done)

    def done(self, task: asyncio.Task[Any]) -> None:
        self.setter.set()

    def cancel(self) -> None:
        if self.task is not None:
            self.task.cancel()


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
    wait = _taskloom.Wait()
    try:
        call = _Call(coroutine, wait.setter)
        call.loop.call_soon_threadsafe(call.start)
    except BaseException:
        coroutine.close()
        raise
    try:
        await wait
    except BaseException:
        if not wait.setter.is_set:
            await _cancel(call)
        raise
    assert call.task is not None
    result: R = call.task.result()
    return result


async def _cancel(call: _Call) -> None:
    """Nothing outlives the caller: also what it cancels is waited for."""
    ended = _taskloom.Wait()
    end: Callable[..., object] = ended.setter.set

    def cancel() -> None:
        call.cancel()
        if call.task is None or call.task.done():
            end()
        else:
            call.task.add_done_callback(lambda _task: end())

    call.loop.call_soon_threadsafe(cancel)
    with CancelScope(shield=True):
        await ended
    if call.task is not None and not call.task.cancelled():
        # Retrieved, so that asyncio does not report it as forgotten: the caller has its own error.
        call.task.exception()


def _stop() -> None:
    global _running, _exiting  # noqa: PLW0603
    with _lock:
        _exiting = True
        running, _running = _running, None
    if running is not None:
        loop, thread = running
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def _forget() -> None:
    global _running, _lock
    _running, _lock = None, threading.Lock()


# Before threads can no longer be joined; `atexit` comes too late for that.
threading._register_atexit(_stop)  # type: ignore[attr-defined]
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
