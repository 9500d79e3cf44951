"""How long checkpoints are kept."""

from __future__ import annotations

import time
from collections.abc import Sequence

_STRATEGIES = ("keep_latest", "delete")


class Retention:
    """Which checkpoints of a namespace are kept when a new one is stored.

    The newest is always kept, whatever its age. Checkpoints of a subgraph's single call go with
    the checkpoint of the graph around it that made the call.

    Args:
        keep_last: how many, the newest first; `None` for any number.
        max_age: for how long, in seconds, by the checkpoint's own time stamp; `None` for ever.

    Raises:
        TypeError: `keep_last` or `max_age` is no number.
        ValueError: `keep_last` is below one, or `max_age` is not above zero.
    """

    __slots__ = ("keep_last", "max_age", "sweep_interval")

    def __init__(self, *, keep_last: int | None = None, max_age: float | None = None) -> None:
        if keep_last is not None and not isinstance(keep_last, int):
            raise TypeError(f"keep_last={keep_last!r}: give a whole number, or None to keep all")
        if max_age is not None and not isinstance(max_age, int | float):
            raise TypeError(f"max_age={max_age!r}: give seconds, or None for ever")
        if keep_last is not None and keep_last < 1:
            raise ValueError(
                f"keep_last={keep_last}: at least the newest checkpoint must be kept, so give 1 or "
                "more, or None to keep all"
            )
        if max_age is not None and not max_age > 0:
            raise ValueError(f"max_age={max_age}: give seconds above zero, or None for ever")
        self.keep_last = keep_last
        self.max_age = max_age
        # Values that no checkpoint refers to any more are swept once in so many puts, which
        # makes the reading of all kept checkpoints that it takes a constant cost for each put.
        self.sweep_interval = max(64, keep_last or 0)

    def __bool__(self) -> bool:
        return self.keep_last is not None or self.max_age is not None

    def cutoff(self) -> str | None:
        """Return the time stamp before which a checkpoint is too old, if there is one."""
        if self.max_age is None:
            return None
        moment = time.gmtime(max(0.0, time.time() - self.max_age))
        return time.strftime("%Y-%m-%dT%H:%M:%S", moment)

    def excess(self, stamps: Sequence[str], count: int) -> int:
        """Return how many of the oldest checkpoints are to be dropped.

        Args:
            stamps: the time stamps of the oldest ones, oldest first: at least of as many as are
                beyond `keep_last`. What is too old among the rest is dropped another time.
            count: how many checkpoints there are.
        """
        drop = 0 if self.keep_last is None else max(0, count - self.keep_last)
        cutoff = self.cutoff()
        if cutoff is not None:
            while drop < min(len(stamps), count - 1) and stamps[drop] < cutoff:
                drop += 1
        return drop


def check_strategy(strategy: str) -> None:
    """Raise `ValueError` unless this is a way to prune."""
    if strategy not in _STRATEGIES:
        raise ValueError(f"strategy={strategy!r}: it is one of {', '.join(map(repr, _STRATEGIES))}")


def is_call_namespace(namespace: str) -> bool:
    """Say whether a namespace belongs to one call of a subgraph, not to its lasting state.

    Namespaces read `node:task id|node:task id`; a subgraph with a state of its own has no ids.
    """
    return ":" in namespace
