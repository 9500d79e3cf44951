"""What a shutdown says it leaves behind.

Apart from the other records, and written out by hand: every program ends with a shutdown, and
should not import for it what makes those (`dataclasses`, `inspect`, `typing`).
"""

from __future__ import annotations

from collections.abc import Mapping

from taskloom._typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from typing import Any

    # What a pool has counted: of itself, and of each of its workers.
    Reading = tuple[dict[str, int], list[tuple[dict[str, int], float]], Any, Any]
    # Tasks that are not, or not yet, a pool's: how many came, are held back, are elsewhere, and
    # how those ended that have.
    Outside = tuple[int, int, int, Mapping[str, int]]

__all__ = ["ShutdownReport"]


@final
class ShutdownReport:
    """What became of everything that was submitted, as of the return of a shutdown.

    A frozen record: equal to another with the same numbers.

    >>> ShutdownReport(finished=3, cancelled=2).submitted
    5
    """

    __slots__ = ("abandoned", "cancelled", "dropped", "finished")

    finished: int
    """Tasks that ran to an end: returned, raised, or left after their time was up."""
    cancelled: int
    """Tasks that were cancelled before or while they ran."""
    dropped: int
    """Queued tasks given up before to make room for others."""
    abandoned: int
    """Tasks that were not over when the shutdown returned: still running, or still queued."""

    def __init__(
        self, *, finished: int = 0, cancelled: int = 0, dropped: int = 0, abandoned: int = 0
    ) -> None:
        keep = object.__setattr__
        keep(self, "finished", finished)
        keep(self, "cancelled", cancelled)
        keep(self, "dropped", dropped)
        keep(self, "abandoned", abandoned)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a report is frozen: {name!r} cannot be set")

    @property
    def submitted(self) -> int:
        """All of them."""
        return self.finished + self.cancelled + self.dropped + self.abandoned

    def _numbers(self) -> tuple[int, int, int, int]:
        return self.finished, self.cancelled, self.dropped, self.abandoned

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ShutdownReport):
            return NotImplemented
        return self._numbers() == other._numbers()

    def __hash__(self) -> int:
        return hash(self._numbers())

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, self._numbers()

    def __repr__(self) -> str:
        return (
            f"ShutdownReport(finished={self.finished}, cancelled={self.cancelled}, "
            f"dropped={self.dropped}, abandoned={self.abandoned})"
        )


def _again(finished: int, cancelled: int, dropped: int, abandoned: int) -> ShutdownReport:
    return ShutdownReport(
        finished=finished, cancelled=cancelled, dropped=dropped, abandoned=abandoned
    )


def report(reading: Reading, outside: Outside) -> ShutdownReport:
    """The report made of what a native pool has counted, and the desk beside it."""
    arrivals, workers = reading[:2]
    accepted, _held, _elsewhere, ends = outside
    ended = dict.fromkeys(("done", "failed", "cancelled", "timed_out"), 0)
    for counts in (arrivals, ends, *(counts for counts, _busy in workers)):
        for end in ended:
            ended[end] += counts.get(end, 0)
    finished, dropped = sum(ended.values()), arrivals["dropped"]
    return ShutdownReport(
        finished=finished - ended["cancelled"],
        cancelled=ended["cancelled"],
        dropped=dropped,
        abandoned=arrivals["submitted"] + accepted - finished - dropped,
    )
