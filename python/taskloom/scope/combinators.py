"""Several awaitables at once: all of them, the first of them, as they come, or within a time.

Each runs what it is given in a scope of its own, so nothing goes on behind the caller's back: when
it returns or raises, everything that it was given has ended.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, final, overload

from taskloom._taskloom import Channel, Future, Receiver, Sender
from taskloom.errors import EndOfStream
from taskloom.scope.cancellation import fail_after
from taskloom.scope.scope import Scope

__all__ = ["as_completed", "first_completed", "gather", "timeout"]

T = TypeVar("T")
T1 = TypeVar("T1")
T2 = TypeVar("T2")
T3 = TypeVar("T3")


async def _result(awaitable: Awaitable[T]) -> T:
    return await awaitable


@overload
async def gather(first: Awaitable[T1], second: Awaitable[T2], /) -> tuple[T1, T2]: ...
@overload
async def gather(
    first: Awaitable[T1], second: Awaitable[T2], third: Awaitable[T3], /
) -> tuple[T1, T2, T3]: ...
@overload
async def gather(*awaitables: Awaitable[T]) -> tuple[T, ...]: ...
async def gather(*awaitables: Awaitable[Any]) -> tuple[Any, ...]:
    """Runs all side by side and returns their results in order.

    The first error cancels the rest; it comes out as an ExceptionGroup, as from a `Scope`.

    >>> import taskloom
    >>> async def double(n):
    ...     return 2 * n
    >>> async def main():
    ...     return await taskloom.gather(double(1), double(2))
    >>> taskloom.run_coroutine(main)
    (2, 4)
    """
    futures: list[Future[Any]] = []
    async with Scope() as scope:
        futures += [scope.spawn(_result, awaitable) for awaitable in awaitables]
    return tuple(future.result() for future in futures)


async def first_completed(*awaitables: Awaitable[T]) -> T:
    """Runs all side by side, returns the result of the first to end, and cancels the others.

    If the first to end raises, that is raised. ValueError without awaitables.

    >>> import taskloom
    >>> async def main():
    ...     async def slow():
    ...         await taskloom.sleep(60)
    ...     async def quick():
    ...         return "quick"
    ...     return await taskloom.first_completed(slow(), quick())
    >>> taskloom.run_coroutine(main)
    'quick'
    """
    if not awaitables:
        raise ValueError("first_completed() needs at least one awaitable")
    results: list[T] = []
    errors: list[BaseException] = []

    async def run(scope: Scope, awaitable: Awaitable[T]) -> None:
        try:
            value = await awaitable
        except Exception as error:
            if not (results or errors):
                errors.append(error)
        else:
            if not (results or errors):
                results.append(value)
        scope.cancel("another one completed first")

    async with Scope() as scope:
        for awaitable in awaitables:
            scope.spawn(run, scope, awaitable)
    if errors:
        raise errors.pop()
    return results[0]


@final
class as_completed(Generic[T]):
    """Runs all side by side and gives their results as they come.

    `async with as_completed(awaitables) as results: async for result in results: ...`. Leaving the
    block early cancels what has not ended. An error cancels the rest and comes out of the block as
    an ExceptionGroup. At most `limit` run at once, if it is given.

    >>> import taskloom
    >>> async def wait(seconds):
    ...     await taskloom.sleep(seconds)
    ...     return seconds
    >>> async def main():
    ...     async with taskloom.as_completed([wait(0.02), wait(0.001)]) as results:
    ...         return [seconds async for seconds in results]
    >>> taskloom.run_coroutine(main)
    [0.001, 0.02]
    """

    def __init__(self, awaitables: Iterable[Awaitable[T]], *, limit: int | None = None) -> None:
        if limit is not None and limit < 1:
            raise ValueError(f"as_completed(limit={limit!r}): at least 1")
        self._awaitables = list(awaitables)
        self._limit = limit
        self._scope = Scope()
        self._receiver: Receiver[T] | None = None

    async def _run(self, awaitables: list[Awaitable[T]], sender: Sender[T]) -> None:
        with sender:
            while awaitables:
                await sender.send(await awaitables.pop())

    async def __aenter__(self) -> Self:
        await self._scope.__aenter__()
        sender, self._receiver = Channel[T](len(self._awaitables)).split()
        todo = self._awaitables[::-1]
        workers = len(todo) if self._limit is None else min(self._limit, len(todo))
        with sender:
            for _ in range(workers):
                self._scope.spawn(self._run, todo, sender.clone())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if self._receiver is not None:
            self._scope.cancel("the results are not wanted any more")
            self._receiver.close()
        return await self._scope.__aexit__(kind, error, traceback)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        if self._receiver is None:
            raise RuntimeError("enter as_completed() with `async with` first")
        try:
            return await self._receiver.receive()
        except EndOfStream:
            raise StopAsyncIteration from None


async def timeout(seconds: float | None, awaitable: Awaitable[T]) -> T:
    """The awaitable's result, or TimeoutError after `seconds` (None: no limit), when it has ended.

    >>> import taskloom
    >>> async def main():
    ...     return await taskloom.timeout(0.01, taskloom.sleep_forever())
    >>> taskloom.run_coroutine(main)
    Traceback (most recent call last):
    TimeoutError: took longer than 0.01 s
    """
    with fail_after(seconds):
        return await awaitable
    raise AssertionError("fail_after raises when it catches")
