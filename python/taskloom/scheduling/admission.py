"""Admission: a task starts when its needs fit.

What does not fit is held back without blocking what fits behind it, and without starving: a task
that others have passed `patience` times, while there was not enough for it, gets a claim. From then
on nothing may start that would take what the claim still lacks, and of everything else only what
the claim leaves over; so what runs ends, and the claim is met. While only a limit is in the way of
a task, it claims nothing. (Backfilling with a reservation for the first, as batch schedulers do;
D. Lifka, "The ANL/IBM SP scheduling system", 1995. Batch schedulers reserve by announced run times;
tasks announce none, so here the reservation is of amounts and not of times.)

Held tasks with equal needs wait in one line, so that a release looks at as many lines as there are
different needs and not at every task.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from heapq import heappop, heappush
from typing import Generic, TypeVar, final

from taskloom.scheduling.resources import Limit, Resources

__all__ = ["Admission"]

T = TypeVar("T")

# Sums of fractions may miss their total by rounding; a billionth of a processor is nothing.
_SLACK = 1e-9


class _Line(Generic[T]):
    """Held tasks with equal needs: the most urgent first, then in the order of their arrival."""

    __slots__ = ("entries", "needs", "passed")

    def __init__(self, needs: Resources) -> None:
        self.needs = needs
        self.entries: list[tuple[int, int, T]] = []
        # How often others were admitted while there was not enough for the first one.
        self.passed = 0


@final
class Admission(Generic[T]):
    """Decides which tasks may start, by what they need and what there is.

    `capacity` has the amount of each resource by name. `patience` is how often others may pass a
    held task before it gets a claim. `on_admitted` is called with the tasks that a release
    elsewhere, of a `Limit` shared with others, has let in; without it they wait for the next call.
    Safe to use from any thread.

    >>> admission = Admission({"cpu": 2.0})
    >>> big, small = Resources(cpu=2), Resources(cpu=1)
    >>> admission.offer("first", small), admission.offer("big", big), admission.offer("late", small)
    (True, False, True)
    >>> admission.release(small), admission.release(small)
    ([], ['big'])
    """

    __slots__ = (
        "__weakref__",
        "_arrivals",
        "_capacity",
        "_in_use",
        "_lines",
        "_lock",
        "_nominal",
        "_on_admitted",
        "_patience",
        "_running",
        "_watched",
    )

    def __init__(
        self,
        capacity: Mapping[str, float],
        *,
        patience: int = 16,
        on_admitted: Callable[[list[T]], None] | None = None,
    ) -> None:
        self._nominal = dict(capacity)
        self._capacity = dict(capacity)
        self._in_use = dict.fromkeys(capacity, 0.0)
        self._running = 0
        self._patience = patience
        self._on_admitted = on_admitted
        self._arrivals = 0
        self._lines: dict[Resources, _Line[T]] = {}
        self._watched: set[Limit] = set()
        self._lock = threading.Lock()

    @property
    def held(self) -> int:
        """How many tasks are held back."""
        with self._lock:
            return sum(len(line.entries) for line in self._lines.values())

    @property
    def in_use(self) -> dict[str, float]:
        """The amount of each resource that running tasks were admitted with."""
        with self._lock:
            return dict(self._in_use)

    def check(self, needs: Resources) -> None:
        """Refuses needs that could never be met: ValueError with the name of what is lacking.

        >>> Admission({"cpu": 2.0}).check(Resources(cpu=3))
        Traceback (most recent call last):
        ValueError: the task needs cpu=3, but there is only 2.0 of it
        """
        for name, amount in needs:
            if name not in self._nominal:
                known = ", ".join(sorted(self._nominal)) or "none"
                raise ValueError(f"no resource is named {name!r}; there are: {known}")
            if amount > self._nominal[name] + _SLACK:
                there = self._nominal[name]
                raise ValueError(f"the task needs {name}={amount}, but there is only {there} of it")

    def offer(self, item: T, needs: Resources, *, rank: int = 0) -> bool:
        """Admits a task now (True) or holds it until a release returns it (False).

        Of the held ones those of lower `rank` go first. Raises as `check` does.
        """
        self.check(needs)
        with self._lock:
            for limit in needs.limits:
                if limit not in self._watched:
                    self._watched.add(limit)
                    limit.watch(self)
            line = self._lines.get(needs)
            if line is None and self._take(needs, self._claims()):
                return True
            if line is None:
                line = self._lines[needs] = _Line(needs)
            self._arrivals += 1
            heappush(line.entries, (rank, self._arrivals, item))
            return False

    def release(self, needs: Resources) -> list[T]:
        """Gives back what a task was admitted with; returns the tasks that may start instead."""
        with self._lock:
            self._running -= 1
            for name, amount in needs:
                # An idle resource is exactly free, whatever was added and subtracted before.
                left = self._in_use[name] - amount
                self._in_use[name] = 0.0 if self._running == 0 else left
        for limit in needs.limits:
            limit.release(by=self)
        return self.poll()

    def poll(self) -> list[T]:
        """The held tasks that may start now, for instance because a rate allows it by now."""
        with self._lock:
            return self._admit()

    def ready_in(self) -> float | None:
        """Seconds until a rate lets a held task start, when to `poll`; None if no rate is awaited.

        >>> Admission({}).ready_in() is None
        True
        """
        with self._lock:
            waits = [
                wait
                for line in self._lines.values()
                for limit in line.needs.limits
                if (wait := limit.ready_in()) > 0
            ]
        return min(waits, default=None)

    def withdraw(self, item: T, needs: Resources) -> bool:
        """Forgets a held task, which was cancelled; says whether it was still held.

        Looks at each held task with these needs.
        """
        with self._lock:
            line = self._lines.get(needs)
            if line is None:
                return False
            kept = [entry for entry in line.entries if entry[2] is not item]
            if len(kept) == len(line.entries):
                return False
            # A sorted list is a heap.
            line.entries = sorted(kept, key=lambda entry: entry[:2])
            if not kept:
                del self._lines[needs]
            return True

    def drain(self) -> list[T]:
        """Gives up every held task, the most urgent first, for an executor that shuts down."""
        with self._lock:
            entries = [entry for line in self._lines.values() for entry in line.entries]
            self._lines.clear()
        return [item for _, _, item in sorted(entries, key=lambda entry: entry[:2])]

    def limit_released(self) -> None:
        """Looks again, after a limit shared with others has been released."""
        if self._on_admitted is not None and (admitted := self.poll()):
            self._on_admitted(admitted)

    def _admit(self) -> list[T]:
        """Admits from the lines until no first one fits; needs the lock."""
        admitted: list[T] = []
        while True:
            claims = self._claims()
            for line in claims + [line for line in self._in_order() if line not in claims]:
                _, arrival, item = line.entries[0]
                if not self._take(line.needs, claims, arrival):
                    continue
                heappop(line.entries)
                line.passed = 0
                if not line.entries:
                    del self._lines[line.needs]
                admitted.append(item)
                break
            else:
                return admitted

    def _claims(self) -> list[_Line[T]]:
        return [
            line
            for line in self._in_order()
            if line.passed >= self._patience
            and all(limit.room() >= 1 for limit in line.needs.limits)
        ]

    def _in_order(self) -> list[_Line[T]]:
        return sorted(self._lines.values(), key=lambda line: line.entries[0][:2])

    def _take(
        self, needs: Resources, claims: Iterable[_Line[T]], arrival: int | None = None
    ) -> bool:
        """Takes what a task needs if it fits and no claim forbids it; needs the lock.

        `arrival` is the task's own number, None if it has only just arrived.
        """
        if not self._fits(needs):
            return False
        for claim in claims:
            if claim.needs == needs:
                break
            if self._harms(needs, claim.needs):
                return False
        taken: list[Limit] = []
        for limit in needs.limits:
            if not limit.acquire_nowait():
                for other in taken:
                    other.undo()
                return False
            taken.append(limit)
        for line in self._lines.values():
            earlier = arrival is None or line.entries[0][1] < arrival
            if earlier and line.needs != needs and not self._fits(line.needs):
                line.passed += 1
        self._running += 1
        for name, amount in needs:
            self._in_use[name] += amount
        return True

    def _fits(self, needs: Resources) -> bool:
        return all(self._free(name) >= amount for name, amount in needs)

    def _free(self, name: str) -> float:
        return self._capacity[name] - self._in_use[name] + _SLACK

    def _harms(self, needs: Resources, claim: Resources) -> bool:
        """Whether starting a task would put off the one with the claim."""
        wanted = claim.amounts
        for name, amount in needs:
            if name in wanted and self._free(name) - amount < wanted[name]:
                return True
        return any(limit in claim.limits and limit.room() < 2 for limit in needs.limits)
