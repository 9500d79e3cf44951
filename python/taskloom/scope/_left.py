"""Scopes that were entered by hand and left by nobody: who entered them leaves them as it ends.

Nothing outlives its scope, also if `__aenter__` was called and `__aexit__` never: a child that
comes to its end inside of scopes that it has entered cancels them and leaves them, the innermost
first, which waits for what was spawned in them. Then it fails, so that the mistake is seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from taskloom import _taskloom
from taskloom.current import scope_here
from taskloom.scope._frames import between
from taskloom.scope.cancellation import was_refused

if TYPE_CHECKING:
    from taskloom.scope.scope import Scope

__all__ = ["leave_all", "to_its_end", "to_its_end_blocking"]

_MISTAKE = (
    "the task ended inside of a scope that it had entered and not left: enter scopes by `with` or "
    "`async with`"
)


@between
async def to_its_end(
    base: _taskloom.Token, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Any:
    """Awaits the call, and leaves the scopes that it has entered since `base` was and not left."""
    try:
        value = await fn(*args, **kwargs)
    except BaseException as error:
        if _is_outside(base):
            raise
        ended: BaseException | None = error
    else:
        if _is_outside(base):
            return value
        ended = None
    try:
        return await leave_all(base, ended)
    finally:
        del ended  # its traceback refers to this frame


@between
def to_its_end_blocking(base: _taskloom.Token, call: Callable[[], Any]) -> Any:
    """As `to_its_end`, for a plain function on a thread."""
    try:
        value = call()
    except BaseException as error:
        if _is_outside(base):
            raise
        ended: BaseException | None = error
    else:
        if _is_outside(base):
            return value
        ended = None
    try:
        _leave_all_blocking(base, ended)
    finally:
        del ended  # its traceback refers to this frame


def _is_outside(base: _taskloom.Token) -> bool:
    return next(_entered(base), None) is None


def _entered(base: _taskloom.Token) -> Iterator[Scope]:
    """The scopes that were entered here since `base` was, the innermost first."""
    scope = scope_here.get()
    while scope is not None and scope.token.is_within(base):
        around = scope._outer.old_value
        if scope._is_open:
            yield scope
        scope = around if around is not scope._outer.MISSING else None


def _come_to(token: _taskloom.Token) -> None:
    """Makes a token the innermost one, whatever cancel scopes there are further in."""
    if _taskloom.replace_token(token) is None:
        _taskloom.token_variable.set(token)


async def leave_all(base: _taskloom.Token, error: BaseException | None, value: Any = None) -> Any:
    """Leaves the scopes that the calling task is inside of; raises its error, or that it is one.

    Returns its value if it was told of the mistake before: it has left scopes in the wrong order.
    """
    try:
        known = was_refused.get()
        for scope in _entered(base):
            known = False
            _come_to(scope.token)
            scope.cancel(_MISTAKE)
            try:
                await scope.__aexit__(*_as_raised(error))
            except BaseException as raised:
                error = raised
        _come_to(base)
        if known and error is None:
            return value
        raise _noted(error)
    finally:
        del error  # its traceback refers to this frame


def _leave_all_blocking(base: _taskloom.Token, error: BaseException | None) -> NoReturn:
    """As `leave_all`, for a plain function on a thread."""
    try:
        for scope in _entered(base):
            _come_to(scope.token)
            scope.cancel(_MISTAKE)
            try:
                scope.__exit__(*_as_raised(error))
            except BaseException as raised:
                error = raised
        _come_to(base)
        raise _noted(error)
    finally:
        del error  # its traceback refers to this frame


def _as_raised(
    error: BaseException | None,
) -> tuple[type[BaseException] | None, BaseException | None, None]:
    return (None if error is None else type(error)), error, None


def _noted(error: BaseException | None) -> BaseException:
    if error is None:
        return RuntimeError(_MISTAKE)
    if isinstance(error, Exception):
        error.add_note(_MISTAKE)
    return error
