"""asyncio loops to run in: one of taskloom's own in the background, or the caller's.

The background loop is uvloop's if that is installed. It starts with the first use and ends with the
interpreter; a fork starts without one.

`place="loop"` means the caller's loop where the caller runs in one and does not block it, and the
background loop otherwise: a run that was started on a loop remembers that loop for its nodes.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
from collections.abc import Callable
from importlib import import_module
from inspect import isawaitable
from typing import Any, final

from taskloom import _taskloom
from taskloom._asynchrony import running_loop
from taskloom._taskloom import Future
from taskloom.current import _on_loop
from taskloom.errors import Cancelled

__all__ = ["LoopCall", "background_loop", "call_on", "chosen_loop", "of_run"]

# Attributes of the module, so that a fork can replace them.
_lock = threading.Lock()
_running: tuple[asyncio.AbstractEventLoop, threading.Thread] | None = None
_exiting = False

# The loop that the run was started on.
of_run: contextvars.ContextVar[asyncio.AbstractEventLoop | None] = contextvars.ContextVar(
    "taskloom_loop", default=None
)


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        uvloop: Any = import_module("uvloop")
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def background_loop() -> asyncio.AbstractEventLoop:
    """The background loop, started if it was not."""
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
            contextvars.Context().run(thread.start)  # it keeps nobody's context variables
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


def chosen_loop(*, for_node: bool) -> asyncio.AbstractEventLoop:
    """Where `place="loop"` is: for a node of a run, or for what is submitted here."""
    # A node may be called on the very thread whose loop its run blocks.
    loop = None if for_node else running_loop()
    loop = loop or of_run.get()
    return background_loop() if loop is None else loop


# Seconds between two looks at whether a loop was closed under those who wait for it.
_LOOK_EVERY = 0.25

# Who is placed on a loop, or on the way there.
_placed: set[LoopCall] = set()
_looks = False


def _place(call: LoopCall) -> None:
    global _looks
    with _lock:
        _placed.add(call)
        begin, _looks = not _looks, True
    if begin:
        _taskloom._call_later(_LOOK_EVERY, _look)


def _unplace(call: LoopCall) -> None:
    with _lock:
        _placed.discard(call)


def _look() -> None:
    """Lets go who waits for a loop that was closed: an event loop tells nobody that it will be."""
    global _looks  # noqa: PLW0603
    with _lock:
        lost = [call for call in _placed if call.loop.is_closed()]
        _placed.difference_update(lost)
        _looks = again = bool(_placed)
    for call in lost:
        call.give_up()
    if again:
        _taskloom._call_later(_LOOK_EVERY, _look)


@final
class LoopCall:
    """Something that runs on a loop as an asyncio task while a coroutine elsewhere waits for it."""

    __slots__ = ("_call", "_context", "_end", "_left", "_stopped", "_task", "loop")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        call: Callable[[], Any],
        context: contextvars.Context | None = None,
    ) -> None:
        self.loop = loop
        self._task: asyncio.Task[Any] | None = None
        self._call = call
        self._context = context
        # Set by the loop's thread: not asked of a wait that another one is in.
        self._end: _taskloom.Setter | None = None
        self._stopped: _taskloom.Setter | None = None
        self._left = False

    async def result(self) -> Any:
        """Starts it and waits for its end, also when the caller is cancelled."""
        over = _taskloom.Wait()
        end = self._end = over.setter
        try:
            _place(self)
            self.loop.call_soon_threadsafe(self._start)
        except RuntimeError as error:
            _unplace(self)
            raise RuntimeError(_GONE.format(self.loop)) from error
        try:
            await over
        except BaseException:
            if not end.is_set:
                await self._cancelled()
            self._forget_error()
            raise
        finally:
            _unplace(self)
        if self._task is None or not self._task.done():
            raise RuntimeError(_GONE.format(self.loop))
        return self._task.result()

    def _start(self) -> None:
        self._task = self.loop.create_task(_run(self._call), context=self._context)
        self._task.add_done_callback(self._done)

    def _done(self, _task: object) -> None:
        for setter in (self._end, self._stopped):
            if setter is not None:
                setter.set()

    def give_up(self) -> None:
        """The loop was closed: nothing runs there any more."""
        self._left = True
        self._done(None)

    async def _cancelled(self) -> None:
        """Nothing outlives the caller: what it cancels is waited for."""
        stopped = _taskloom.Wait()
        self._stopped = stopped.setter

        def cancel() -> None:
            if self._task is None or self._task.done():
                self._done(None)
            else:
                self._task.cancel()

        try:
            self.loop.call_soon_threadsafe(cancel)
        except RuntimeError:
            return  # closed: nothing runs there
        if not self._left:
            await shielded(stopped)

    def _forget_error(self) -> None:
        """Keeps asyncio from reporting it as never retrieved: the caller has its own."""
        if self._task is not None and self._task.done() and not self._task.cancelled():
            self._task.exception()


_GONE = (
    "{!r} is closed: what has place='loop' runs on the event loop that submitted it or started its "
    "run, and that has to go on until it is done"
)


async def _run(call: Callable[[], Any]) -> Any:
    value = call()
    return await value if isawaitable(value) else value


async def shielded(wait: _taskloom.Wait) -> None:
    """Waits without feeling a cancellation."""
    around = _taskloom.current_token()
    token = _taskloom.Token(around, shielded=True)
    before = _taskloom.replace_token(token)
    variable = None
    if before is None:  # on a loop that taskloom does not run
        variable = _taskloom.token_variable.set(token)
    try:
        await wait
    finally:
        if before is not None:
            _taskloom.replace_token(before)
        elif variable is not None:
            _taskloom.token_variable.reset(variable)


async def call_on(
    loop: asyncio.AbstractEventLoop,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    future: Future[Any],
) -> Any:
    """Runs a function, of either colour, on a loop as the task that `future` stands for."""
    context = contextvars.copy_context()
    context.run(_on_loop.set, future)
    try:
        return await LoopCall(loop, lambda: function(*args, **kwargs), context).result()
    except asyncio.CancelledError as error:
        raise Cancelled("the asyncio task was cancelled") from error


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
    _placed.clear()


# Before threads can no longer be joined; `atexit` comes too late for that.
threading._register_atexit(_stop)  # type: ignore[attr-defined]
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
