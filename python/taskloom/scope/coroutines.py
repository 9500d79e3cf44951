"""Starting a coroutine from plain code."""

from __future__ import annotations

import contextlib
import contextvars
import threading
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar, final, overload

from taskloom import _taskloom
from taskloom._generators import generators_closed_on
from taskloom.scope._hosts import refuse_to_block
from taskloom.scope.cancellation import CancelScope

__all__ = [
    "maybe_yield",
    "run_coroutine",
    "run_seeded",
    "sleep",
    "sleep_forever",
    "yield_now",
]

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

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ended = False
        self._setters: list[_taskloom.Setter] = []

    def __call__(self, value: Any, error: BaseException | None) -> None:
        with self._lock:
            self.value, self.error = value, error
            self._ended = True
        for setter in self._setters:
            setter.set()

    def wait(self) -> None:
        """Blocks until it has ended; may be interrupted, and called again."""
        wait = _taskloom.Wait()
        with self._lock:
            if self._ended:
                return
            self._setters.append(wait.setter)
        wait.wait()

    @property
    def ended(self) -> bool:
        """Whether it has."""
        return self._ended

    def get(self) -> Any:
        if self.error is None:
            return self.value
        try:
            raise self.error
        finally:
            self.error = None


def _start(
    home: _taskloom.Home,
    fn: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    ended: _Outcome,
    *,
    token: _taskloom.Token,
) -> _taskloom.TaskHandle:
    if _taskloom.in_coroutine():
        raise RuntimeError("this is a coroutine already: await the other one, or spawn it")
    refuse_to_block()
    if isinstance(fn, Coroutine):
        fn, args = _just, (fn,)
    elif not callable(fn):
        raise TypeError(
            f"run_coroutine(fn, *args): a coroutine, or a function that gives one, not {fn!r}"
        )
    context = contextvars.copy_context()
    return home.spawn(fn, args, kwargs or None, token, context, ended, None)


def run_on(executor: _taskloom.Pool, fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What `executor.run_coroutine` does."""
    outcome = _Outcome()
    token = _taskloom.Token(_taskloom.current_token())
    started = False
    try:
        _start(_taskloom.pool_home(executor), fn, args, kwargs, outcome, token=token)
        started = True
        # The coroutine feels a cancellation of the caller's scope; this wait for it must not.
        with CancelScope(shield=True):
            outcome.wait()
    except BaseException as error:
        # Ctrl-C: inside, it is a cancellation; when all have ended, it is raised here.
        token.cancel(f"interrupted by {type(error).__name__}")
        with CancelScope(shield=True):
            while started and not outcome.ended:
                with contextlib.suppress(KeyboardInterrupt):
                    outcome.wait()
        raise
    return outcome.get()


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

    It runs on the workers of the default executor, as what it spawns does; to use another, call
    `executor.run_coroutine`. Ctrl-C cancels it, waits for its cleanup, and is then raised.

    >>> import taskloom
    >>> async def answer(n):
    ...     await taskloom.sleep(0)
    ...     return n
    >>> taskloom.run_coroutine(answer, 42)
    42
    """
    from taskloom._default import default_executor

    return run_on(default_executor(), fn, args, kwargs)


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
    outcome = _Outcome()
    token = _taskloom.Token(_taskloom.current_token())
    _start(loop.home, fn, args, {}, outcome, token=token)
    with generators_closed_on(loop.home):
        loop.run()
    result: R = outcome.get()
    return result
