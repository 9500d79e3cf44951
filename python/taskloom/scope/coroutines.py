"""Starting a coroutine from plain code."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar, final, overload

from taskloom import _taskloom
from taskloom.scope._hosts import refuse_to_block

__all__ = ["maybe_yield", "run_coroutine", "run_seeded", "sleep", "sleep_forever", "yield_now"]

P = ParamSpec("P")
R = TypeVar("R")

sleep = _taskloom.sleep
yield_now = _taskloom.yield_now
maybe_yield = _taskloom.maybe_yield


async def sleep_forever() -> None:
    """Suspends the calling coroutine until its scope is cancelled.

    >>> import taskloom
    >>> async def main():
    ...     with taskloom.move_on_after(0.01):
    ...         await taskloom.sleep_forever()
    >>> taskloom.run_coroutine(main)
    """
    while True:
        await sleep(1e9)


@final
class _Outcome:
    """How a coroutine ended."""

    value: Any = None
    error: BaseException | None = None

    def __call__(self, value: Any, error: BaseException | None) -> None:
        self.value, self.error = value, error

    def get(self) -> Any:
        if self.error is None:
            return self.value
        try:
            raise self.error
        finally:
            self.error = None


def _run(
    loop: _taskloom.LocalLoop, fn: Callable[..., Any], args: Any, kwargs: dict[str, Any]
) -> Any:
    refuse_to_block()
    if _taskloom.in_coroutine():
        raise RuntimeError("this is a coroutine already: await the other one, or spawn it")
    outcome = _Outcome()
    token = _taskloom.Token(_taskloom.current_token())
    context = contextvars.copy_context()
    handle = loop.home.spawn(fn, args, kwargs or None, token, context, outcome, None)
    while True:
        try:
            loop.run()
            return outcome.get()
        except KeyboardInterrupt:
            if not loop.live():
                raise
            # Inside, it is a cancellation; when all have ended, it is raised here.
            handle.cancel("interrupted by Ctrl-C")
            loop.run()
            raise


async def _just(coroutine: Coroutine[Any, Any, R]) -> R:
    return await coroutine


@overload
def run_coroutine(fn: Coroutine[Any, Any, R], /) -> R: ...
@overload
def run_coroutine(
    fn: Callable[P, Coroutine[Any, Any, R]], /, *args: P.args, **kwargs: P.kwargs
) -> R: ...
def run_coroutine(fn: Any, /, *args: Any, **kwargs: Any) -> Any:
    """Runs a coroutine, given as such or as `fn(*args, **kwargs)`, and returns its result.

    Coroutines run on the calling thread; plain functions that they spawn run on the executor.
    Ctrl-C cancels the coroutine, waits for its cleanup, and is then raised.

    >>> import taskloom
    >>> async def answer(n):
    ...     await taskloom.sleep(0)
    ...     return n
    >>> taskloom.run_coroutine(answer, 42)
    42
    """
    if isinstance(fn, Coroutine):
        fn, args = _just, (fn,)
    return _run(_taskloom.LocalLoop(), fn, args, kwargs)


def run_seeded(
    fn: Callable[..., Coroutine[Any, Any, R]], /, *args: Any, seed: int | None = None
) -> R:
    """Runs a coroutine in an order that `seed` decides, on virtual time: for tests.

    The same seed gives the same interleaving; plain functions run as steps of the same thread; a
    sleep takes no time. None is first come, first served. RuntimeError if all wait for ever.

    >>> import taskloom.scope.coroutines as coroutines
    >>> async def hour():
    ...     start = taskloom.current_time()
    ...     await taskloom.sleep(3600)
    ...     return round(taskloom.current_time() - start)
    >>> coroutines.run_seeded(hour, seed=1)
    3600
    """
    loop = _taskloom.LocalLoop(seed=seed, virtual_time=True)
    result: R = _run(loop, fn, args, {})
    return result
