"""One child of a scope, and how plain functions run inside it."""

from __future__ import annotations

import contextvars
import weakref
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from taskloom import _taskloom
from taskloom._taskloom import Future
from taskloom.current import child_here
from taskloom.errors import Cancelled
from taskloom.flow import RetryTask
from taskloom.scope._frames import between, from_the_call
from taskloom.scope._left import to_its_end_blocking
from taskloom.scope.cancellation import CancelScope

if TYPE_CHECKING:
    from taskloom.scope.scope import Scope

__all__ = ["Child", "in_scope", "run_function"]

Call = Callable[..., Any]


class Child:
    """One spawned call, as its scope keeps it; `named` is what its future takes its name from."""

    __slots__ = ("__weakref__", "abandoned", "future", "handle", "over", "scope")

    def __init__(self, scope: Scope, named: Call | str) -> None:
        self.scope = scope
        self.future: Future[Any] = _taskloom._promise(named)
        self.handle: _taskloom.TaskHandle | CancelScope | None = None
        self.over = False
        self.abandoned = False
        # Whoever runs the call has the child, which has its future: that must not have the child.
        _taskloom._set_canceller(self.future, partial(_cancel, weakref.ref(self)))

    @property
    def token(self) -> _taskloom.Token:
        """What cancels it."""
        return self.scope.token

    def context(self) -> contextvars.Context:
        return contextvars.copy_context()

    def begin(self, who: Callable[[], object]) -> contextvars.Token[Any] | None:
        """The call begins; what `who()` gives here tells whether it is this one that goes on.

        None if it was cancelled before. Otherwise what sets `child_here` back in the end.
        """
        if not _taskloom._begin(self.future):
            return None
        me = who()
        return child_here.set((self.future, lambda: who() is me))

    def take_handle(self, handle: _taskloom.TaskHandle | CancelScope) -> None:
        """What cancels the call; let go of when that is over, since it leads back to here."""
        self.handle = handle
        if self.over:
            self.handle = None

    def adopt(self, future: Future[Any]) -> None:
        """The call is an executor's task: that one's future is the child's."""
        self.future = future
        registration = self.scope.token.on_cancel(future.cancel)
        if registration is None:
            future.cancel()

        def done(_future: object) -> None:
            if registration is not None:
                registration.forget()
            error = None if future.cancelled() else future.exception()
            if error is not None and not isinstance(error, Cancelled):
                self.scope._child_failed(from_the_call(error))
            if not self.abandoned:
                self.scope._child_over()

        future.add_done_callback(done)

    def ended(self, value: Any, error: BaseException | None) -> None:
        """The call is over; called once, on whatever thread it ran."""
        self.over = True
        self.handle = None
        if error is not None:
            error = from_the_call(error)
        if error is None:
            _taskloom._settle(self.future, "done", value)
        elif isinstance(error, Cancelled):
            _taskloom._settle(self.future, "cancelled", None)
        else:
            _taskloom._settle(self.future, "failed", error)
            self.scope._child_failed(error)
        if not self.abandoned:
            self.scope._child_over()


def _cancel(child: weakref.ref[Child]) -> bool:
    """What the `cancel()` of a child's future does, and says: whether it is cancelled now."""
    here = child()
    if here is None:
        return False
    waited = _taskloom._cancel_here(here.future)
    handle = here.handle
    if handle is not None:
        handle.cancel()
    return waited


@between
def in_scope(child: Child, fn: Call, /, *args: Any, **kwargs: Any) -> Any:
    """A plain function that the executor runs with options, inside its scope.

    Its future may end before it does, at a timeout; so the thread counts as a child of its own.
    """
    scope = child.scope
    token = scope.token
    token.check()
    counted = not child.abandoned
    if counted:
        try:
            scope._begin()
        except RuntimeError as left:
            raise Cancelled("its scope was left before it began") from left
    del child  # its future will have the error, whose traceback refers to this frame
    variable = _taskloom.token_variable.set(token)
    try:
        return fn(*args, **kwargs)
    finally:
        _taskloom.token_variable.reset(variable)
        if counted:
            scope._child_over()


@between
def _call_while_asked(call: Callable[[], Any], own: _taskloom.Token) -> Any:
    while True:
        try:
            return to_its_end_blocking(own, call)
        except RetryTask as asked:
            delay = asked.delay or 0.0
        _taskloom.sleep_blocking(delay)  # raises if the scope is cancelled


@between
def run_function(
    child: Child,
    own: CancelScope,
    token: _taskloom.Token,
    call: Callable[[], Any],
) -> None:
    """A plain function on a thread, inside its scope."""
    variable = _taskloom.token_variable.set(token)
    begun = child.begin(_taskloom._current_future)
    value: Any = None
    error: BaseException | None = None
    try:
        with own:
            if own.token.cancelled or begun is None:
                raise Cancelled("cancelled before it was started")
            value = _call_while_asked(call, own.token)
        if own.cancelled_caught:
            value, error = None, Cancelled("the task was cancelled")
    except BaseException as caught:
        value, error = None, caught
    finally:
        _taskloom.token_variable.reset(variable)
        if begun is not None:
            child_here.reset(begun)
    try:
        child.ended(value, error)
    finally:
        # The error's traceback refers to this frame, and the child's future to the error.
        del child, error, value


# Traces call such tasks by what they call.
_taskloom._know_wrapper(in_scope, 1)
_taskloom._know_wrapper(run_function, 3)
