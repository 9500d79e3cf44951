"""How a cancelled scope reaches code that awaits other things than ours: on asyncio, under trio."""

from __future__ import annotations

import contextlib
import sys
import weakref
from types import TracebackType
from typing import TYPE_CHECKING, Any

from taskloom import _taskloom
from taskloom._asynchrony import running_loop
from taskloom.errors import Cancelled
from taskloom.scope._hosts import runs_trio_of

if TYPE_CHECKING:
    import asyncio

    import trio

__all__ = ["AsyncioDelivery", "TrioDelivery"]


class AsyncioDelivery:
    """Cancels the asyncio task that entered a scope for as long as that is cancelled.

    It does so while the task awaits things that are not ours; our awaits end by themselves.

    Only the innermost scope of a task delivers: one that is shielded inside it keeps it quiet.
    """

    __slots__ = ("active", "around", "before", "from_inside", "loop", "sent", "task", "token")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any], token: _taskloom.Token
    ) -> None:
        self.loop = loop
        self.token = token
        self.task = task
        self.active = True
        self.sent = 0
        self.from_inside = False  # a scope inside has sent what may come out of it
        self.before = task.cancelling()
        self.around = _innermost.get(task)
        _innermost[task] = self

    def start(self) -> None:
        """May be called from any thread."""
        if running_loop() is self.loop:
            self.loop.call_soon(self.deliver)
        elif not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.start)

    def deliver(self) -> None:
        if not self.active or self.task.done() or _innermost.get(self.task) is not self:
            return
        if not self.token.cancelled:  # taken back by a shield that was raised
            return
        # One that is about to go on has been served, and comes to its next await by itself. One
        # that waits for nothing has only given way, and may do so for ever.
        waiter = getattr(self.task, "_fut_waiter", None)
        if (waiter is None or not waiter.done()) and self.task.cancel():
            self.sent += 1
        self.loop.call_soon(self.deliver)

    def stop(self) -> None:
        """Ends delivery and takes back what was sent."""
        self.active = False
        if self.around is None:
            _innermost.pop(self.task, None)
        else:
            _innermost[self.task] = self.around
            self.around.start_if_cancelled()
        for _ in range(self.sent):
            self.task.uncancel()
        if self.around is not None and self._has_sent() and not self.others_cancelled():
            self.around.from_inside = True

    def _has_sent(self) -> bool:
        return self.sent > 0 or self.from_inside

    def others_cancelled(self) -> bool:
        """Whether somebody else has cancelled the task, and the scope would catch that.

        Where that is still to come, at the next await, what the scope catches is its own.
        """
        comes_yet = getattr(self.task, "_must_cancel", False)
        return self.task.cancelling() > self.before and not comes_yet

    def is_ours(self, error: BaseException) -> bool:
        """Whether a CancelledError comes from this scope or one inside it, or stands for such."""
        if self._has_sent():
            return True
        seen: BaseException | None = error
        while seen is not None and isinstance(seen, sys.modules["asyncio"].CancelledError):
            if isinstance(seen, Cancelled):
                return True
            seen = seen.__context__
        return False

    def start_if_cancelled(self) -> None:
        if self.token.cancelled:
            self.start()


_innermost: weakref.WeakKeyDictionary[asyncio.Task[Any], AsyncioDelivery] = (
    weakref.WeakKeyDictionary()
)


class TrioDelivery:
    """A scope of trio's own around the code, cancelled and shielded as ours is."""

    __slots__ = ("_scope", "_token")

    def __init__(self, *, shield: bool) -> None:
        trio_: Any = sys.modules["trio"]
        self._token = trio_.lowlevel.current_trio_token()
        self._scope: trio.CancelScope = trio_.CancelScope(shield=shield)
        self._scope.__enter__()

    def start(self) -> None:
        """May be called from any thread."""
        if runs_trio_of(self._token):
            self._scope.cancel()
            return
        # A run that is over, or is being taken down, cancels by itself.
        with contextlib.suppress(sys.modules["trio"].RunFinishedError, OSError):
            self._token.run_sync_soon(self._scope.cancel)

    def set_shield(self, shield: bool) -> None:
        self._scope.shield = shield

    def stop(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> BaseException | None:
        """What is left of the error without the cancellation that was delivered here."""
        cancelled = sys.modules["trio"].Cancelled
        if isinstance(error, BaseExceptionGroup):
            delivered = error.subgroup(cancelled) is not None
        else:
            delivered = isinstance(error, cancelled)
        if not delivered:
            self._scope.__exit__(None, None, None)
            return error
        try:
            caught = self._scope.__exit__(kind, error, traceback)
        except BaseExceptionGroup as rest:
            return rest.with_traceback(None)  # which would refer to this frame
        return None if caught else error
