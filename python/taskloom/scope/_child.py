"""One child of a scope, and how plain functions run inside it."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from taskloom import _taskloom
from taskloom._taskloom import Future
from taskloom.errors import Cancelled
from taskloom.flow import RetryTask
from taskloom.scope.cancellation import CancelScope

if TYPE_CHECKING:
    from taskloom.scope.scope import Scope

__all__ = ["Child", "in_scope", "run_function"]

Call = Callable[..., Any]


class Child:
    """One spawned call, as its scope keeps it."""

    __slots__ = ("abandoned", "future", "handle", "over", "scope")

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.future: Future[Any] = Future()
        self.handle: _taskloom.TaskHandle | CancelScope | None = None
        self.over = False
        self.abandoned = False

    @property
    def token(self) -> _taskloom.Token:
        """What cancels it."""
        return self.scope.token

    def context(self) -> contextvars.Context:
        return contextvars.copy_context()

    def cancel_if_asked(self, future: object) -> None:
        """The future was settled: by its user's `cancel()`, if the call is not over."""
        handle = self.handle
        if not self.over and handle is not None:
            handle.cancel()

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
                self.scope._child_failed(error)
            if not self.abandoned:
                self.scope._child_over()

        future.add_done_callback(done)

    def ended(self, value: Any, error: BaseException | None) -> None:
        """The call is over; called once, on whatever thread it ran."""
        self.over = True
        self.handle = None
        future = self.future
        cancelled = future.cancelled()
        if error is None:
            if not cancelled:
                future.set_result(value)
        elif isinstance(error, Cancelled):
            if not cancelled and future.cancel():
                future.set_running_or_notify_cancel()
        else:
            if not cancelled:
                future.set_exception(error)
            self.scope._child_failed(error)
        if not self.abandoned:
            self.scope._child_over()


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


def _call_while_asked(call: Callable[[], Any]) -> Any:
    while True:
        try:
            return call()
        except RetryTask as asked:
            delay = asked.delay or 0.0
        _taskloom.sleep_blocking(delay)  # raises if the scope is cancelled


def run_function(
    child: Child,
    own: CancelScope,
    token: _taskloom.Token,
    call: Callable[[], Any],
) -> None:
    """A plain function on a thread, inside its scope."""
    variable = _taskloom.token_variable.set(token)
    value: Any = None
    error: BaseException | None = None
    try:
        with own:
            if own.token.cancelled:
                raise Cancelled("cancelled before it was started")
            value = _call_while_asked(call)
        if own.cancelled_caught:
            value, error = None, Cancelled("the task was cancelled")
    except BaseException as caught:
        value, error = None, caught
    finally:
        _taskloom.token_variable.reset(variable)
    try:
        child.ended(value, error)
    finally:
        # The error's traceback refers to this frame, and the child's future to the error.
        del child, error, value


# Traces call such tasks by what they call.
_taskloom._know_wrapper(in_scope, 1)
_taskloom._know_wrapper(run_function, 3)
