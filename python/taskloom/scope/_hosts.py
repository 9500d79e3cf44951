"""Where foreign code waits: asyncio and trio, when one of taskloom's awaitables is awaited there.

The native side calls this module for the rare case: an operation that has to wait while it is
awaited on an event loop that taskloom does not run, or a coroutine of ours that awaits a future of
such a loop. Nothing here imports asyncio or trio; they are used only where the program has done so.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from taskloom import _taskloom
from taskloom._asynchrony import running_loop
from taskloom.errors import Cancelled

if TYPE_CHECKING:
    import asyncio

    import trio

__all__ = [
    "bridge",
    "cancelled_here",
    "give_up",
    "give_way",
    "park",
    "refuse_to_block",
    "running_task",
    "running_trio",
    "runs_trio_of",
]

_NOTHING_RUNS = (
    "nothing runs this coroutine that can wait: start it with taskloom.run_coroutine, from a "
    "Scope, or on an asyncio or trio loop"
)

# What is yielded and sent belongs to the event loop.
type_of_wait = Generator[Any, Any, Any]


def running_trio() -> bool:
    """Whether this code runs inside trio."""
    return _trio_task() is not None


def _trio_task() -> object | None:
    trio_ = sys.modules.get("trio")
    if trio_ is None:
        return None
    try:
        task: object = trio_.lowlevel.current_task()
    except (AttributeError, RuntimeError):  # trio is still being imported, or does not run here
        return None
    return task


def runs_trio_of(token: object) -> bool:
    """Whether this thread is inside the trio run that the token is of."""
    try:
        return sys.modules["trio"].lowlevel.current_trio_token() is token
    except RuntimeError:
        return False


def running_task() -> object | None:
    """The asyncio or trio task that calls, if there is one."""
    loop = running_loop()
    if loop is not None:
        task: object = sys.modules["asyncio"].current_task(loop)
        return task
    return _trio_task()


def park() -> tuple[type_of_wait, Callable[[], object]]:
    """One wait of the event loop that runs here: its iterator, and what ends it from any thread."""
    loop = running_loop()
    if loop is not None:
        return _park_asyncio(loop)
    if running_trio():
        return _park_trio()
    raise RuntimeError(_NOTHING_RUNS)


def give_way() -> type_of_wait:
    """Lets everything else have its turn once on the event loop that runs here."""
    if running_loop() is not None:
        return _one_turn()
    if running_trio():
        import trio

        return _or_ours(trio.lowlevel.checkpoint().__await__())
    raise RuntimeError(_NOTHING_RUNS)


def _one_turn() -> type_of_wait:
    yield  # what asyncio takes for a step that is over


def _park_asyncio(
    loop: asyncio.AbstractEventLoop,
) -> tuple[type_of_wait, Callable[[], object]]:
    future: asyncio.Future[None] = loop.create_future()

    def end() -> None:
        if not future.done():
            future.set_result(None)

    def wake() -> None:
        if running_loop() is loop:
            end()
        elif not loop.is_closed():
            loop.call_soon_threadsafe(end)

    return future.__await__(), wake


def _or_ours(wait: type_of_wait) -> type_of_wait:
    """A wait of trio's that just ends when a scope of ours was cancelled: we say so ourselves."""
    import trio

    try:
        yield from wait
    except trio.Cancelled:
        token = _taskloom.current_token()
        if token is None or not token.cancelled:
            raise


def _park_trio() -> tuple[type_of_wait, Callable[[], object]]:
    import trio

    task = trio.lowlevel.current_task()
    token = trio.lowlevel.current_trio_token()
    waiting = woken = False

    # On trio's thread alone, so nothing needs a lock. A wake may come before the wait begins, or
    # after it is over because the operation was done in between: then it must not reschedule.
    def end() -> None:
        nonlocal waiting, woken
        woken = True
        if waiting:
            waiting = False
            trio.lowlevel.reschedule(task)

    def wake() -> None:
        if runs_trio_of(token):
            end()
            return
        # A run that is over, or is being taken down, needs no waking.
        with contextlib.suppress(trio.RunFinishedError, OSError):
            token.run_sync_soon(end)

    def abort(_raise_cancel: object) -> trio.lowlevel.Abort:
        nonlocal waiting
        waiting = False
        return trio.lowlevel.Abort.SUCCEEDED

    def wait() -> type_of_wait:
        nonlocal waiting
        if not woken:
            waiting = True
            yield from _or_ours(trio.lowlevel.wait_task_rescheduled(abort).__await__())

    return wait(), wake


@functools.cache
def _cancelled_on_asyncio() -> type[Cancelled]:
    """Our class and asyncio's in one, under the name of ours."""
    both = (Cancelled, sys.modules["asyncio"].CancelledError)
    return type(Cancelled.__name__, both, {"__module__": Cancelled.__module__})


def cancelled_here(reason: str) -> Cancelled:
    """What a cancelled wait raises here: where asyncio runs, it is a CancelledError, too.

    So asyncio's tasks and groups, and code that cleans up at a CancelledError, take it for what it
    is. Trio's own class cannot be derived from.
    """
    return (Cancelled if running_loop() is None else _cancelled_on_asyncio())(reason)


def bridge(value: Any, wake: Callable[..., object]) -> None:
    """A coroutine of ours awaits `value`, an asyncio future: have `wake` called when it is done."""
    if getattr(value, "_asyncio_future_blocking", None) is None:
        raise TypeError(
            f"a coroutine on a taskloom pool awaited something that yielded {value!r}; it can "
            "await taskloom's own awaitables and futures, and asyncio futures; for code that "
            "needs an event loop of its own, await taskloom.aio(coroutine)"
        )
    value._asyncio_future_blocking = False
    loop = value.get_loop()
    if running_loop() is loop:
        value.add_done_callback(wake)
    else:
        loop.call_soon_threadsafe(value.add_done_callback, wake)


def give_up(value: Any) -> None:
    """The coroutine that awaited `value` was cancelled."""
    loop = value.get_loop()
    if running_loop() is loop:
        value.cancel()
    elif not loop.is_closed():
        loop.call_soon_threadsafe(value.cancel)


def refuse_to_block() -> None:
    """RuntimeError if blocking this thread would block an event loop."""
    if running_loop() is not None or running_trio():
        raise RuntimeError(
            "this would block the event loop that runs on this thread: use the method to await"
        )
