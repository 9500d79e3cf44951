"""Cancel scopes: a region of code that can be cancelled as one, with an optional deadline.

Cancellation is level-triggered, as trio's: once a scope is cancelled, every await of taskloom's in
it raises `Cancelled`, again and again, until the scope is left; `checkpoint()` does so in plain
functions. A shielded scope does not feel the scopes around it. The scope that was cancelled catches
the exception; one that only lies inside another that was cancelled lets it pass.

Code on an asyncio loop awaits other things than ours. There a cancelled scope also cancels the
asyncio task, again and again while it waits, and takes that back (`uncancel`) when it is left.
"""

from __future__ import annotations

import atexit
import math
import sys
from contextvars import ContextVar
from contextvars import Token as VariableToken
from types import TracebackType
from typing import TYPE_CHECKING, Self, final

from taskloom import _taskloom
from taskloom._asynchrony import running_loop
from taskloom.errors import Cancelled
from taskloom.scope._delivery import AsyncioDelivery, TrioDelivery
from taskloom.scope._hosts import running_trio

if TYPE_CHECKING:
    import asyncio

__all__ = [
    "CancelScope",
    "cancelled",
    "checkpoint",
    "current_effective_deadline",
    "current_time",
    "fail_after",
    "move_on_after",
    "shield",
]


# After the executors have been joined, which `threading` does before: until then their coroutines
# may need to be woken. Before the interpreter goes, since the timer's thread calls into it.
atexit.register(_taskloom.stop_timer)


#: Whether leaving a scope was refused here: whoever tried knows of the mistake.
was_refused: ContextVar[bool] = ContextVar("taskloom_was_refused", default=False)


def current_time() -> float:
    """Seconds on the clock that deadlines are measured by; virtual in tests that ask for it.

    >>> import taskloom
    >>> taskloom.current_time() <= taskloom.current_time()
    True
    """
    return _taskloom.clock()


def current_effective_deadline() -> float:
    """When the code that calls will be cancelled: the earliest deadline of the scopes around it.

    On `current_time()`'s clock; infinity if there is none, minus infinity if it is cancelled now. A
    shielded scope keeps those around it out. For what has limits of its own, such as a driver.

    >>> import taskloom
    >>> with taskloom.move_on_after(5), taskloom.move_on_after(60):
    ...     4 < taskloom.current_effective_deadline() - taskloom.current_time() <= 5
    True
    """
    token = _taskloom.current_token()
    return math.inf if token is None else token.earliest_deadline()


def cancelled() -> bool:
    """Whether the innermost scope here is cancelled.

    >>> import taskloom
    >>> with taskloom.CancelScope() as scope:
    ...     before = taskloom.cancelled()
    ...     scope.cancel()
    ...     before, taskloom.cancelled()
    (False, True)
    """
    token = _taskloom.current_token()
    return token is not None and token.cancelled


def checkpoint() -> None:
    """Raises `Cancelled` if the innermost scope here is cancelled: for plain functions in a loop.

    >>> import taskloom
    >>> with taskloom.CancelScope() as scope:
    ...     scope.cancel()
    ...     taskloom.checkpoint()
    ...     print("not reached")
    >>> scope.cancelled_caught
    True
    """
    _taskloom.checkpoint_if_cancelled()


def _seconds(name: str, value: float) -> float:
    if not isinstance(value, (int, float)):
        if not hasattr(value, "__float__"):  # numpy's numbers and fractions have it
            raise TypeError(f"{name}={value!r}: a number of seconds")
        value = float(value)
    if math.isnan(value):
        raise ValueError(f"{name}={value!r}: a number of seconds, not NaN")
    return value


@final
class CancelScope:
    """A region that can be cancelled: `with CancelScope() as scope: ...`, then `scope.cancel()`.

    `deadline` is a time on `current_time()`'s clock at which it is cancelled by itself; a scope
    inside another one ends at the earlier of the two. `shield=True` keeps what happens around it
    away: for cleanup that awaits. `cancel` may be called from any thread. Use it once.

    >>> import taskloom
    >>> async def main():
    ...     with taskloom.CancelScope(deadline=taskloom.current_time() + 0.01) as scope:
    ...         await taskloom.sleep(60)
    ...     return scope.cancelled_caught
    >>> taskloom.run_coroutine(main)
    True
    """

    __slots__ = (
        "_caught",
        "_deadline",
        "_delivery",
        "_entered",
        "_previous",
        "_registration",
        "_shield",
        "_timer",
        "_token",
        "_trio",
        "_unentered_reason",
    )

    def __init__(self, *, deadline: float = math.inf, shield: bool = False) -> None:
        self._deadline = _seconds("deadline", deadline)
        self._shield = shield
        self._entered = False
        self._caught = False
        self._token: _taskloom.Token | None = None
        self._previous: _taskloom.Token | VariableToken[_taskloom.Token] | None = None
        self._timer: _taskloom.TokenDeadline | None = None
        self._delivery: AsyncioDelivery | None = None
        self._trio: TrioDelivery | None = None
        self._registration: _taskloom.TokenCallback | None = None
        self._unentered_reason: tuple[str | None] | None = None

    @property
    def token(self) -> _taskloom.Token:
        """The scope's cancel token, once it was entered."""
        if self._token is None:
            raise RuntimeError("this scope has not been entered")
        return self._token

    @property
    def cancel_called(self) -> bool:
        """Whether this scope itself was cancelled, or its deadline has passed."""
        if self._unentered_reason is not None if self._token is None else self._token.asked:
            return True
        left = self._token is not None and not self._entered
        return not left and self._deadline <= _taskloom.clock()

    @property
    def cancelled_caught(self) -> bool:
        """Whether the scope was left by its own cancellation."""
        return self._caught

    @property
    def deadline(self) -> float:
        """When it is cancelled by itself, on `current_time()`'s clock; may be changed."""
        return self._deadline

    @deadline.setter
    def deadline(self, value: float) -> None:
        self._deadline = _seconds("deadline", value)
        if self._token is not None and self._entered:
            self._set_timer()

    @property
    def shield(self) -> bool:
        """Whether what happens around it is kept away; may be changed."""
        return self._shield

    @shield.setter
    def shield(self, value: bool) -> None:
        if not isinstance(value, bool):
            raise TypeError(f"shield={value!r}: True or False")
        self._shield = value
        if self._token is not None:
            self._token.shielded = value
            if self._delivery is not None:
                # The one from before may have been called; the shield took that back.
                if self._registration is not None:
                    self._registration.forget()
                self._registration = self._token.on_cancel(self._delivery.start)
                if self._registration is None:
                    self._delivery.start()
        if self._trio is not None:
            self._trio.set_shield(value)

    def cancel(self, reason: str | None = None) -> None:
        """Cancels everything in the scope; from any thread. `reason` is what `Cancelled` says."""
        if not (reason is None or isinstance(reason, str)):
            raise TypeError(f"cancel(reason={reason!r}): a str, or None")
        if self._token is None:
            self._unentered_reason = (reason,)
        if self._token is not None:  # entered meanwhile, on another thread, perhaps
            self._token.cancel(reason)

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.forget()
            self._timer = None
        if self._deadline == -math.inf or self._deadline <= _taskloom.clock():
            self.token.cancel("deadline")
        elif self._deadline != math.inf:
            self._timer = self.token.cancel_at(self._deadline)

    def __enter__(self) -> Self:
        if self._token is not None:
            raise RuntimeError("a CancelScope can be entered once: make a new one")
        parent = _taskloom.current_token()
        token = self._token = _taskloom.Token(parent, shielded=self._shield)
        self._entered = True
        if _taskloom.in_coroutine():
            self._previous = _taskloom.replace_token(token)
        else:
            self._previous = _taskloom.token_variable.set(token)
            loop = running_loop()
            if loop is not None:
                self._enter_asyncio(loop, token)
            elif running_trio():
                self._trio = TrioDelivery(shield=self._shield)
                self._registration = token.on_cancel(self._trio.start)
                if self._registration is None:
                    self._trio.start()
        if self._unentered_reason is not None:
            token.cancel(self._unentered_reason[0])
        if self._deadline != math.inf:
            self._set_timer()
        return self

    def _enter_asyncio(self, loop: asyncio.AbstractEventLoop, token: _taskloom.Token) -> None:
        task = sys.modules["asyncio"].current_task(loop)
        if task is None:
            return
        delivery = self._delivery = AsyncioDelivery(loop, task, token)
        self._registration = token.on_cancel(delivery.start)
        if self._registration is None:
            delivery.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        self._step_out()
        if self._timer is not None:
            self._timer.forget()
        if self._registration is not None:
            self._registration.forget()
        if self._delivery is not None:
            self._delivery.stop()
        if self._trio is not None:
            rest = self._trio.stop(kind, error, traceback)
            if rest is not error:
                self._caught = True
                try:
                    if rest is not None and not self._catch(rest):
                        raise rest
                finally:
                    del rest, error  # the traceback refers to this frame
                return True
        return error is not None and self._catch(error)

    def _step_out(self) -> None:
        """Makes the scope around it the innermost one again, if this one is that."""
        if not self._entered:
            raise RuntimeError("this CancelScope was not entered, or has been left")
        previous = self._previous
        if isinstance(previous, _taskloom.Token):
            innermost = _taskloom.leave_token(self.token, previous)
        else:
            innermost = _taskloom.token_variable.get(None) is self._token
            if innermost and previous is not None:
                _taskloom.token_variable.reset(previous)
        if not innermost:
            was_refused.set(True)
            raise RuntimeError(
                "this CancelScope is not the innermost one here: leave scopes in the reverse order "
                "of entering them, in the task that entered them"
            )
        self._entered = False

    def _catch(self, error: BaseException) -> bool:
        """Whether the error is this scope's own cancellation; raises what is left of a group."""
        if not self.token.asked:
            return False  # if it is cancelled, then from around
        if not self._shield:
            around = _taskloom.current_token()
            if around is not None and around.cancelled:
                return False
        delivery = self._delivery
        if delivery is not None and delivery.others_cancelled():
            return False

        def is_ours(error: BaseException) -> bool:
            if isinstance(error, Cancelled):
                return True
            return (
                delivery is not None
                and isinstance(error, sys.modules["asyncio"].CancelledError)
                and delivery.is_ours(error)
            )

        if is_ours(error):
            self._caught = True
            return True
        if isinstance(error, BaseExceptionGroup):
            matched, rest = error.split(is_ours)
            if matched is None:
                return False
            self._caught = True
            if rest is None:
                return True
            rest.__cause__ = error.__cause__
            rest.__suppress_context__ = True
            try:
                raise rest
            finally:
                # What is left stands in the group's place: not the group is its context.
                rest.__context__ = error.__context__
                del rest, matched
        return False

    def __repr__(self) -> str:
        if self._token is None:
            state = "not entered"
        elif self._token.cancelled:
            state = "cancelled"
        else:
            state = "entered" if self._entered else "left"
        return f"<CancelScope: {state}>"


def move_on_after(seconds: float | None, *, shield: bool = False) -> CancelScope:
    """A scope that is cancelled after `seconds` (None: never): then the code after it goes on.

    >>> import taskloom
    >>> async def main():
    ...     with taskloom.move_on_after(0.01) as scope:
    ...         await taskloom.sleep(60)
    ...     return scope.cancelled_caught
    >>> taskloom.run_coroutine(main)
    True
    """
    if seconds is None:
        return CancelScope(shield=shield)
    deadline = _taskloom.clock() + _seconds("seconds", seconds)
    return CancelScope(deadline=deadline, shield=shield)


@final
class _FailAfter:
    """A scope that turns its own timeout into TimeoutError."""

    __slots__ = ("_scope", "_seconds")

    def __init__(self, seconds: float | None, shield: bool) -> None:
        self._seconds = seconds
        self._scope = move_on_after(seconds, shield=shield)

    def __enter__(self) -> CancelScope:
        return self._scope.__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        caught = self._scope.__exit__(kind, error, traceback)
        if self._scope.cancelled_caught and _taskloom.clock() >= self._scope.deadline:
            try:
                raise TimeoutError(f"took longer than {self._seconds} s") from error
            finally:
                del error  # whose traceback refers to this frame
        return caught


def fail_after(seconds: float | None, *, shield: bool = False) -> _FailAfter:
    """As `move_on_after`, but raises TimeoutError when time has run out.

    >>> import taskloom
    >>> async def main():
    ...     with taskloom.fail_after(0.01):
    ...         await taskloom.sleep(60)
    >>> taskloom.run_coroutine(main)
    Traceback (most recent call last):
    TimeoutError: took longer than 0.01 s
    """
    return _FailAfter(seconds, shield)


def shield() -> CancelScope:
    """A scope that cancellation from around does not reach: for cleanup that awaits.

    Give it a deadline (`taskloom.move_on_after(5, shield=True)`) if the cleanup may hang.

    >>> import taskloom
    >>> async def main(log):
    ...     with taskloom.CancelScope() as scope:
    ...         scope.cancel()
    ...         try:
    ...             await taskloom.sleep(60)
    ...         finally:
    ...             with taskloom.shield():
    ...                 await taskloom.sleep(0)
    ...                 log.append("cleaned up")
    ...     return log
    >>> taskloom.run_coroutine(main, [])
    ['cleaned up']
    """
    return CancelScope(shield=True)
