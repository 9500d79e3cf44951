"""Producers, consumers and pipelines of stages, joined by channels inside a scope.

Every channel has a bound, so a slow stage holds up the ones before it and memory stays flat. A
channel's ends are counted before those who use them start, so no stage sees an early end.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable
from typing import TYPE_CHECKING, Any, final

from taskloom import _taskloom
from taskloom._asynchrony import is_coroutine_function
from taskloom._taskloom import Channel, Receiver, Sender
from taskloom.scope._frames import between

if TYPE_CHECKING:
    from taskloom.scope.scope import Scope

__all__ = ["Stage", "stage"]


@final
class Stage:
    """A stage of a pipeline, as `stage()` makes it.

    >>> import taskloom
    >>> taskloom.stage(str.upper, 2)
    Stage(upper, workers=2, ordered=False)
    """

    __slots__ = ("capacity", "fn", "ordered", "workers")

    def __init__(
        self, fn: Callable[[Any], Any], workers: int, ordered: bool, capacity: int
    ) -> None:
        self.fn = fn
        self.workers = workers
        self.ordered = ordered
        self.capacity = capacity

    def __repr__(self) -> str:
        name = getattr(self.fn, "__name__", repr(self.fn))
        return f"Stage({name}, workers={self.workers}, ordered={self.ordered})"


def stage(
    fn: Callable[[Any], Any],
    workers: int = 1,
    *,
    ordered: bool = False,
    capacity: int | None = None,
) -> Stage:
    """A stage that turns each item into `fn(item)`, for `Scope.pipeline`.

    Parameters
    ----------
    fn
        A plain function, called on the executor, or a coroutine function.
    workers
        How many items at once.
    ordered
        Results leave in the order in which items came, whatever each took.
    capacity
        How many results may wait for the next stage; by default as many as `workers`.

    >>> import taskloom
    >>> with taskloom.Scope() as scope:
    ...     with scope.pipeline("abc", taskloom.stage(str.upper, 2, ordered=True)) as results:
    ...         "".join(results)
    'ABC'
    """
    if not callable(fn):
        raise TypeError(f"stage(fn): a function, not {fn!r}")
    if workers < 1:
        raise ValueError(f"stage(workers={workers!r}): at least 1")
    return Stage(fn, workers, ordered, workers if capacity is None else capacity)


def start_pipeline(scope: Scope, source: Any, stages: tuple[Stage, ...]) -> Receiver[Any]:
    """Spawns what feeds and works the stages; returns where the last one's results come out."""
    for part in stages:
        if not isinstance(part, Stage):
            raise TypeError(f"pipeline(source, *stages): stage(fn, workers), not {part!r}")
    if not isinstance(source, (Receiver, AsyncIterable, Iterable)):
        raise TypeError(f"pipeline(source): an iterable, or a Receiver, not {source!r}")
    if isinstance(source, Receiver):
        receiver: Receiver[Any] = source
    else:
        sender, receiver = Channel[Any](stages[0].capacity if stages else 1).split()
        if isinstance(source, AsyncIterable):
            scope.spawn(_feed_async, source, sender)
        elif scope._has_threads():
            scope.spawn(_feed_blocking, source, sender)
        else:
            scope.spawn(_feed, source, sender)
    for part in stages:
        receiver = _start_stage(scope, part, receiver)
    return receiver


async def _feed_async(source: AsyncIterable[Any], sender: Sender[Any]) -> None:
    with sender:
        async for item in source:
            await sender.send(item)


async def _feed(source: Iterable[Any], sender: Sender[Any]) -> None:
    with sender:
        for item in source:
            await sender.send(item)


def _feed_blocking(source: Iterable[Any], sender: Sender[Any]) -> None:
    with sender:
        for item in source:
            sender.send_blocking(item)


def _way(scope: Scope, part: Stage, ways: tuple[Any, Any, Any]) -> Any:
    """What works a stage: for a coroutine function, for a plain one on a thread, or without any."""
    if is_coroutine_function(part.fn):
        return ways[0]
    return ways[1] if scope._has_threads() else ways[2]


def _start_stage(scope: Scope, part: Stage, receiver: Receiver[Any]) -> Receiver[Any]:
    sender, results = Channel[Any](part.capacity).split()
    if part.ordered and part.workers > 1:
        _start_ordered(scope, part, receiver, sender)
        return results
    work = _way(scope, part, (_work_async, _work_blocking, _work))
    with sender, receiver:
        for _ in range(part.workers):
            args = (part.fn, receiver.clone(), sender.clone())
            scope._spawn(work, args, {}, named=part.fn)
    return results


@between
async def _work_async(fn: Any, receiver: Receiver[Any], sender: Sender[Any]) -> None:
    with receiver, sender:
        async for item in receiver:
            await sender.send(await fn(item))


@between
async def _work(fn: Any, receiver: Receiver[Any], sender: Sender[Any]) -> None:
    with receiver, sender:
        async for item in receiver:
            await sender.send(fn(item))


@between
def _work_blocking(fn: Any, receiver: Receiver[Any], sender: Sender[Any]) -> None:
    with receiver, sender:
        for item in receiver:
            sender.send_blocking(fn(item))


class _Slot:
    """A place in line, taken by an item and filled with its result."""

    __slots__ = ("item", "setter", "wait")

    def __init__(self, item: Any) -> None:
        self.item = item
        self.wait = _taskloom.Wait()
        self.setter = self.wait.setter


def _start_ordered(scope: Scope, part: Stage, receiver: Receiver[Any], sender: Sender[Any]) -> None:
    # A slot is in both channels: the workers fill it, the emitter waits for it in order. The line
    # bounds how far a quick worker may run ahead of a slow one.
    to_line, line = Channel[_Slot](part.workers).split()
    to_work, work = Channel[_Slot](part.workers).split()
    fill = _way(scope, part, (_fill_async, _fill_blocking, _fill))
    with work:
        for _ in range(part.workers):
            scope._spawn(fill, (part.fn, work.clone()), {}, named=part.fn)
    if scope._has_threads() and not scope._has_coroutines():
        scope.spawn(_line_up_blocking, receiver, to_line, to_work)
        scope.spawn(_emit_blocking, line, sender)
    else:
        scope.spawn(_line_up, receiver, to_line, to_work)
        scope.spawn(_emit, line, sender)


@between
async def _fill_async(fn: Any, work: Receiver[_Slot]) -> None:
    with work:
        async for slot in work:
            slot.setter.set(await fn(slot.item))


@between
async def _fill(fn: Any, work: Receiver[_Slot]) -> None:
    with work:
        async for slot in work:
            slot.setter.set(fn(slot.item))


@between
def _fill_blocking(fn: Any, work: Receiver[_Slot]) -> None:
    with work:
        for slot in work:
            slot.setter.set(fn(slot.item))


async def _line_up(receiver: Receiver[Any], to_line: Sender[_Slot], to_work: Sender[_Slot]) -> None:
    with receiver, to_line, to_work:
        async for item in receiver:
            slot = _Slot(item)
            await to_line.send(slot)
            await to_work.send(slot)


def _line_up_blocking(
    receiver: Receiver[Any], to_line: Sender[_Slot], to_work: Sender[_Slot]
) -> None:
    with receiver, to_line, to_work:
        for item in receiver:
            slot = _Slot(item)
            to_line.send_blocking(slot)
            to_work.send_blocking(slot)


async def _emit(line: Receiver[_Slot], sender: Sender[Any]) -> None:
    with line, sender:
        async for slot in line:
            await sender.send(await slot.wait)


def _emit_blocking(line: Receiver[_Slot], sender: Sender[Any]) -> None:
    with line, sender:
        for slot in line:
            sender.send_blocking(slot.wait.wait())
