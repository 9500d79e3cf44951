"""Children with an end of a channel each, that is closed when they are over."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from taskloom._asynchrony import is_coroutine_function
from taskloom._taskloom import Channel, Future, Receiver, Sender
from taskloom.scope._frames import between

if TYPE_CHECKING:
    from taskloom.scope.scope import Scope

__all__ = ["spawn_at_ends"]

Call = Callable[..., Any]
End = Sender[Any] | Receiver[Any]


def spawn_at_ends(
    scope: Scope,
    channel: Channel[Any],
    open_end: Callable[[Channel[Any]], End],
    fn: Call,
    n: int,
) -> list[Future[Any]]:
    """Spawns `n` times `fn(end)`; all ends are open before the first child begins."""
    if not isinstance(channel, Channel):
        raise TypeError(f"{_method(open_end)}(channel, fn, n): a Channel, not {channel!r}")
    if n < 1:
        method = _method(open_end)
        raise ValueError(f"{method}(channel, fn, n={n!r}): at least 1, or the others wait for ever")
    if not callable(fn):
        raise TypeError(f"{_method(open_end)}(channel, fn, n): fn must be callable, not {fn!r}")
    ends = [open_end(channel) for _ in range(n)]
    return [_spawn(scope, fn, end) for end in ends]


def _method(open_end: object) -> str:
    return "produce" if open_end is Channel.sender else "consume"


def _spawn(scope: Scope, fn: Call, end: End) -> Future[Any]:
    try:
        if is_coroutine_function(fn):
            return scope._spawn(_with_end_async, (fn, end), {}, named=fn)
        return scope._spawn(_with_end, (fn, end), {}, named=fn)
    except BaseException:
        end.close()
        raise


@between
async def _with_end_async(fn: Call, end: End) -> Any:
    with end:
        return await fn(end)


@between
def _with_end(fn: Call, end: End) -> Any:
    with end:
        return fn(end)
