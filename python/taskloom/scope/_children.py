"""How a scope's children run: on a taskloom loop or pool, on an asyncio loop, or under trio.

A coroutine runs where the scope was entered: a scope of a pool's coroutine has its children on that
pool, one entered on an asyncio loop has them on that loop. A plain function runs on the executor.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from taskloom import _taskloom
from taskloom._asynchrony import running_loop
from taskloom.current import child_here
from taskloom.errors import Cancelled
from taskloom.scope._frames import between
from taskloom.scope._hosts import running_task, running_trio, runs_trio_of
from taskloom.scope._left import to_its_end
from taskloom.scope.cancellation import CancelScope

if TYPE_CHECKING:
    import asyncio

    from taskloom.scope._child import Child

__all__ = ["AsyncioHost", "Host", "cancellations_of", "host_here"]

Call = Callable[..., Any]


class Host(Protocol):
    """Where a scope's coroutines run."""

    def spawn(self, child: Child, fn: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Starts a coroutine function; the child is told how it ended."""

    async def enter(self) -> None:
        """Called when the scope is entered."""

    async def leave(self) -> None:
        """Called when all children have ended."""


class TaskloomHost:
    """Children are coroutines of the same loop or pool."""

    def __init__(self, home: _taskloom.Home) -> None:
        self.home = home

    def spawn(self, child: Child, fn: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        handle = self.home.spawn(
            fn, args, kwargs or None, child.token, child.context(), child.ended, child.future
        )
        child.take_handle(handle)

    async def enter(self) -> None:
        pass

    async def leave(self) -> None:
        pass


class AsyncioHost:
    """Children are tasks of the asyncio loop that the scope was entered on."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.tasks: set[asyncio.Task[None]] = set()
        self.parent = sys.modules["asyncio"].current_task(loop)
        self.cancelled_before = 0 if self.parent is None else self.parent.cancelling()

    def spawn(self, child: Child, fn: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        child.handle = own = CancelScope()

        def start() -> None:
            called = self._run(child, own, fn, args, kwargs)
            task = self.loop.create_task(called, name=child.future.name)
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

        if running_loop() is self.loop:
            start()
        else:
            self.loop.call_soon_threadsafe(start)

    @between
    async def _run(
        self,
        child: Child,
        own: CancelScope,
        fn: Call,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        variable = _taskloom.token_variable.set(child.token)
        begun = child.begin(running_task)
        value: Any = None
        error: BaseException | None = None
        try:
            if begun is None:
                raise Cancelled("cancelled before it was started")
            with own:
                # The scope's own token decides; this one only carries the child's own cancelling.
                value = await to_its_end(own.token, fn, args, kwargs)
            if own.cancelled_caught:
                error = Cancelled("the task was cancelled")
        except Cancelled as cancelled:
            error = cancelled
        except sys.modules["asyncio"].CancelledError as cancelled:
            error = Cancelled("the asyncio task was cancelled")
            error.__cause__ = cancelled
        except BaseException as raised:
            error = raised
        _taskloom.token_variable.reset(variable)
        if begun is not None:
            child_here.reset(begun)
        try:
            child.ended(None if error is not None else value, error)
        finally:
            del child, error  # the future has the error, whose traceback refers to this frame

    async def enter(self) -> None:
        pass

    async def leave(self) -> None:
        pass

    def cancel_again(self) -> None:
        """Errors come out where a cancellation of asyncio's would: that comes at the next await."""
        parent = self.parent
        if parent is not None and parent.cancelling() > self.cancelled_before:
            parent.uncancel()
            parent.cancel()


class TrioHost:
    """Children are tasks of a trio nursery that lives as long as the scope."""

    def __init__(self) -> None:
        import trio

        self.manager = trio.open_nursery()
        self.token = trio.lowlevel.current_trio_token()
        self.nursery: trio.Nursery | None = None
        self.left = False

    def spawn(self, child: Child, fn: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        assert self.nursery is not None
        nursery = self.nursery
        child.handle = own = CancelScope()

        def start() -> None:
            called = partial(self._run, child, own, fn, args, kwargs)
            nursery.start_soon(called, name=child.future.name)

        if runs_trio_of(self.token):
            start()
        else:
            self.token.run_sync_soon(start)

    @between
    async def _run(
        self,
        child: Child,
        own: CancelScope,
        fn: Call,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        import trio

        _taskloom.token_variable.set(child.token)
        begun = child.begin(running_task)
        if begun is None:
            child.ended(None, Cancelled("cancelled before it was started"))
            return
        with own:  # which trio knows, too
            try:
                child.ended(await to_its_end(own.token, fn, args, kwargs), None)
            except trio.Cancelled:
                child.ended(None, Cancelled("the trio task was cancelled"))
                raise
            except BaseException as error:
                child.ended(None, error)
            finally:
                child_here.reset(begun)
                del child  # its future has the error, whose traceback refers to this frame

    async def enter(self) -> None:
        self.nursery = await self.manager.__aenter__()

    async def leave(self) -> None:
        import trio

        if self.left:
            return
        self.left = True
        # All have ended, and said how. A cancellation from around goes on.
        try:
            await self.manager.__aexit__(None, None, None)
        except BaseExceptionGroup as group:
            cancelled, rest = group.split(trio.Cancelled)
            if rest is not None or cancelled is None:
                raise
            raise _first(cancelled) from None


def cancellations_of(host: Host | None) -> tuple[type[BaseException], ...]:
    """What a cancellation raises there."""
    if isinstance(host, AsyncioHost):
        return (Cancelled, sys.modules["asyncio"].CancelledError)
    if isinstance(host, TrioHost):
        from trio import Cancelled as OfTrio

        return (Cancelled, OfTrio)
    return (Cancelled,)


def _first(group: BaseExceptionGroup[Any]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def host_here(executor: Executor | None) -> Host | None:
    """The host of the code that calls; None if no coroutine can run, there or on the executor."""
    home = _taskloom.current_home()
    if home is not None:
        return TaskloomHost(home)
    loop = running_loop()
    if loop is not None:
        return AsyncioHost(loop)
    if running_trio():
        return TrioHost()
    if executor is None:
        from taskloom._default import default_executor

        executor = default_executor()
    if isinstance(executor, _taskloom.Pool):
        return TaskloomHost(_taskloom.pool_home(executor))
    return None
