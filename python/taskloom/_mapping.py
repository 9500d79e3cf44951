"""Mapping: calls handed to any `submit`, in chunks or some way ahead, results in order."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator

from taskloom._taskloom import Future
from taskloom._typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any, TypeVar

    R = TypeVar("R")

__all__ = ["map_ordered"]


def map_ordered(
    submit: Callable[..., Future[Any]],
    fn: Callable[..., R],
    iterables: tuple[Iterable[Any], ...],
    *,
    timeout: float | None,
    chunksize: int,
    buffersize: int | None,
) -> Iterator[R]:
    """The iterator that `Executor.map` returns, over whatever `submit` gives futures."""
    if chunksize < 1:
        raise ValueError(f"chunksize must be at least 1, not {chunksize!r}")
    if buffersize is not None and not isinstance(buffersize, int):
        raise TypeError("buffersize must be an integer or None")
    if buffersize is not None and buffersize < 1:
        raise ValueError("buffersize must be None or > 0")
    end_time = None if timeout is None else time.monotonic() + timeout
    calls: Iterator[Any] = zip(*iterables, strict=False)
    if chunksize > 1:
        chunks = _chunks(calls, chunksize)
        ahead = (submit(_call_chunk, fn, chunk) for chunk in chunks)
        results: Iterator[Any] = _in_order(ahead, buffersize, end_time)
        return itertools.chain.from_iterable(results)
    return _in_order((submit(fn, *args) for args in calls), buffersize, end_time)


def _chunks(calls: Iterator[Any], size: int) -> Iterator[list[Any]]:
    while chunk := list(itertools.islice(calls, size)):
        yield chunk


def _call_chunk(fn: Callable[..., R], chunk: list[tuple[Any, ...]]) -> list[R]:
    return [fn(*args) for args in chunk]


def _in_order(
    futures: Iterator[Future[R]], ahead: int | None, end_time: float | None
) -> Iterator[R]:
    """The results of futures in order; the first `ahead` are submitted before this returns."""
    window = deque(itertools.islice(futures, ahead))

    def results() -> Iterator[R]:
        try:
            while window:
                # No name here may hold the result, or it would live until the next turn.
                yield _take(window, futures, end_time)
        finally:
            for future in window:
                future.cancel()

    return results()


def _take(window: deque[Future[R]], futures: Iterator[Future[R]], end_time: float | None) -> R:
    """The next result, with one more future submitted in place of the one taken."""
    future = window.popleft()
    try:
        result = future.result(None if end_time is None else end_time - time.monotonic())
    finally:
        future.cancel()
        # An error's traceback refers to this frame, and the future to the error.
        del future
    window.extend(itertools.islice(futures, 1))
    return result
