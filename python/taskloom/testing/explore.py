"""One programme under many seeds."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, final

from taskloom.testing.executor import SeededExecutor

__all__ = ["Explored", "explore"]


@final
class Explored(NamedTuple):
    """What `explore` has tried: how many seeds, and how many interleavings they came to.

    >>> from taskloom.testing import explore
    >>> explore(lambda executor: executor.call(int), seeds=range(3))
    Explored(seeds=3, interleavings=1)
    """

    seeds: int
    interleavings: int


def explore(
    fn: Callable[[SeededExecutor], object], *, seeds: Iterable[int] = range(1000), **settings: Any
) -> Explored:
    """Calls `fn` with a `SeededExecutor` for each seed; stops at the first that fails.

    The failing seed is printed and noted on the error, which is raised again;
    `explore(fn, seeds=[seed])` repeats that very interleaving. `settings` are those of the
    executors, such as `max_queue_depth`.

    >>> from taskloom.testing import explore
    >>> def programme(executor):
    ...     total = []
    ...     futures = executor.submit_many(total.append, range(3))
    ...     executor.run_until_idle()
    ...     assert sorted(total) == [0, 1, 2]
    >>> explore(programme, seeds=range(100))
    Explored(seeds=100, interleavings=6)
    """
    tried = 0
    interleavings = set()
    for seed in seeds:
        executor = SeededExecutor(seed, **settings)
        try:
            with executor:
                fn(executor)
        except BaseException as error:
            text = f"seed {seed} fails; to repeat it: explore({_name(fn)}, seeds=[{seed}])"
            error.add_note(text)
            print(f"taskloom.testing: {text}", file=sys.stderr)
            raise
        tried += 1
        interleavings.add(executor.choices)
    return Explored(tried, len(interleavings))


def _name(fn: Callable[..., object]) -> str:
    return getattr(fn, "__qualname__", repr(fn))
