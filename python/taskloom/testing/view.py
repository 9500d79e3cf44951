"""A seeded executor seen through options."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, final

from taskloom._taskloom import Plan
from taskloom.access import Context
from taskloom.errors import OptionError
from taskloom.graph import Graph
from taskloom.run import Mode, Run
from taskloom.task import Options
from taskloom.testing.clock import VirtualClock
from taskloom.testing.future import SeededFuture

if TYPE_CHECKING:
    from taskloom.testing.executor import SeededExecutor

__all__ = ["SeededView"]

P = ParamSpec("P")
R = TypeVar("R")

# What a view may ask for; the others would need processes, loops or graphs.
OBEYED = (
    "name",
    "priority",
    "deadline",
    "timeout",
    "retry",
    "after",
    "on_error",
    "resources",
    "isolate_context",
)


def obeyed(options: Options) -> Options:
    """The options, if a seeded executor can obey them all; else `OptionError`."""
    for name in options.as_dict():
        if name not in OBEYED:
            raise OptionError(
                f"a SeededExecutor cannot obey {name!r}; it knows {', '.join(OBEYED)}: use an "
                f"Executor to test the others"
            )
    return options


@final
class SeededView:
    """A `SeededExecutor` seen through options; made by `SeededExecutor.options`.

    >>> from taskloom.testing import SeededExecutor
    >>> executor = SeededExecutor(seed=1)
    >>> first = executor.submit(int)
    >>> executor.options(after=[first], name="second").submit(first.done).result()
    True
    """

    def __init__(self, executor: SeededExecutor, options: Options) -> None:
        self._executor = executor
        self._options = options

    def options(self, **options: Any) -> SeededView:
        """A view with these options, and those of this view that are not among them.

        >>> from taskloom.testing import SeededExecutor
        >>> SeededExecutor(seed=1).options(priority=1).options(name="x").submit(int).result()
        0
        """
        given = Options("options", **options)
        return SeededView(self._executor, obeyed(given).over(self._options))

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> SeededFuture[R]:
        """As `SeededExecutor.submit`, with the view's options.

        >>> from taskloom.testing import SeededExecutor
        >>> SeededExecutor(seed=1).options(priority=1).submit(pow, 2, 5).result()
        32
        """
        return self._executor._submit(self._options, fn, args, kwargs)

    def submit_many(self, fn: Callable[..., R], items: Iterable[Any]) -> list[SeededFuture[R]]:
        """As `SeededExecutor.submit_many`, with the view's options.

        >>> from taskloom.testing import SeededExecutor
        >>> view = SeededExecutor(seed=1).options(priority=1)
        >>> [future.result() for future in view.submit_many(abs, [-1, 2])]
        [1, 2]
        """
        return [self.submit(fn, item) for item in items]

    def map(
        self,
        fn: Callable[..., R],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[R]:
        """As `SeededExecutor.map`, with the view's options.

        >>> from taskloom.testing import SeededExecutor
        >>> list(SeededExecutor(seed=1).options(retry=2).map(abs, [-1, 2]))
        [1, 2]
        """
        clock = self._executor.clock
        calls = zip(*iterables, strict=False)
        futures = (self.submit(fn, *args) for args in calls)
        return in_order(futures, clock, timeout, chunksize, buffersize)

    def call(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """As `SeededExecutor.call`, with the view's options.

        >>> from taskloom.testing import SeededExecutor
        >>> SeededExecutor(seed=1).options(timeout=5).call(pow, 2, 10)
        1024
        """
        return self.submit(fn, *args, **kwargs).result()

    def run(
        self,
        target: Graph | Plan,
        *,
        mode: Mode = "parallel",
        check: bool = True,
        context: Context | None = None,
    ) -> Run:
        """As `SeededExecutor.run`, with the view's priority and timeout.

        >>> import taskloom
        >>> from taskloom.testing import SeededExecutor
        >>> SeededExecutor(seed=1).options(timeout=5).run(taskloom.Graph()).ok
        True
        """
        return self._executor._run(self._options, target, mode=mode, check=check, context=context)

    def start(
        self, target: Graph | Plan, *, mode: Mode = "parallel", context: Context | None = None
    ) -> Run:
        """As `SeededExecutor.start`, with the view's priority and timeout.

        >>> import taskloom
        >>> from taskloom.testing import SeededExecutor
        >>> SeededExecutor(seed=1).options(priority=2).start(taskloom.Graph()).result().ok
        True
        """
        return self._executor._start(self._options, target, mode=mode, context=context)


def in_order(
    futures: Iterator[SeededFuture[R]],
    clock: VirtualClock,
    timeout: float | None,
    chunksize: int,
    buffersize: int | None,
) -> Iterator[R]:
    """Makes so many futures ahead, all if None; yields their results in order."""
    if chunksize < 1 or (buffersize is not None and buffersize < 1):
        raise ValueError("chunksize and buffersize must be at least 1")
    end = None if timeout is None else clock.now() + timeout
    window = deque(itertools.islice(futures, buffersize))

    def results() -> Iterator[R]:
        try:
            while window:
                future = window.popleft()
                yield future.result(None if end is None else end - clock.now())
                window.extend(itertools.islice(futures, 1))
        finally:
            for future in window:
                future.cancel()

    return results()
