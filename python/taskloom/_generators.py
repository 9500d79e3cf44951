"""Async generators that are dropped before their end: closed by a coroutine where they ran.

Their cleanup may await, which whoever drops them cannot wait for; so the interpreter asks the event
loop to do it (PEP 525). Here the pool does, or the loop of one thread.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager

from taskloom import _taskloom
from taskloom._typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    Generator = AsyncGenerator[Any, Any]

__all__ = ["generators_closed_on", "let_generators_close"]


_TOO_LATE = (
    "{!r} was dropped when nothing could await its cleanup any more: use contextlib.aclosing"
)


def let_generators_close(home: Callable[[], _taskloom.Home | None]) -> None:
    """Has generators that this thread iterates closed on `home()`; None if that runs no more."""
    sys.set_asyncgen_hooks(firstiter=None, finalizer=lambda generator: _close_on(home(), generator))


@contextmanager
def generators_closed_on(home: _taskloom.Home, *, lasting: bool = False) -> Iterator[None]:
    """The same for as long as the block lasts; with `lasting`, the home runs on after it."""
    before = sys.get_asyncgen_hooks()
    running: _taskloom.Home | None = home
    let_generators_close(lambda: running)
    try:
        yield
    finally:
        running = home if lasting else None
        sys.set_asyncgen_hooks(*before)


def _close_on(home: _taskloom.Home | None, generator: Generator) -> None:
    if home is not None:
        home.spawn(_close, (generator,), None, _taskloom.Token(None), None, _ended, None)
        return
    # As without an event loop: it is told to end, and must do so without awaiting.
    closing = generator.aclose()
    try:
        closing.__await__().__next__()
    except StopIteration:
        return
    except Exception as error:
        raise RuntimeError(_TOO_LATE.format(generator)) from error
    raise RuntimeError(_TOO_LATE.format(generator))


async def _close(generator: Generator) -> None:
    await generator.aclose()


def _ended(_value: object, error: BaseException | None) -> None:
    if error is not None:
        logging.getLogger("taskloom").error(
            "closing an async generator failed", exc_info=(type(error), error, error.__traceback__)
        )
