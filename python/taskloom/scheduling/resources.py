"""What a task needs while it runs, and limits that tasks share."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, final

from taskloom.scheduling.units import parse_bytes

if TYPE_CHECKING:
    from taskloom.scheduling.admission import Admission

__all__ = ["Limit", "Resources"]


@final
class Limit:
    """A named limit that all tasks share which name it in their `Resources`.

    `slots` tasks may be under it at once, and `rate` of them may start per second; one or both. A
    rate lets up to `burst` tasks (by default 1) start at once when nothing has started for a while.
    The object is the limit: pass the same one wherever it shall count, also to other executors.
    `clock` gives seconds, for tests. Safe to use from any thread.

    >>> gpu = Limit("gpu", 1)
    >>> api = Limit("api", rate=5.0, burst=2)
    >>> Resources(gpu, api)
    Resources(Limit('gpu', 1), Limit('api', rate=5.0, burst=2))
    """

    __slots__ = (
        "__weakref__",
        "_clock",
        "_filled",
        "_in_use",
        "_lock",
        "_tokens",
        "_waiting",
        "burst",
        "name",
        "rate",
        "slots",
    )

    def __init__(
        self,
        name: str,
        slots: int | None = None,
        *,
        rate: float | None = None,
        burst: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if slots is None and rate is None:
            raise ValueError(f"Limit({name!r}) limits nothing: give slots, rate, or both")
        if slots is not None and slots < 1:
            raise ValueError(f"Limit({name!r}): slots must be at least 1, not {slots!r}")
        if rate is not None and not 0 < rate < float("inf"):
            raise ValueError(f"Limit({name!r}): rate must be above 0 a second, not {rate!r}")
        if burst < 1:
            raise ValueError(f"Limit({name!r}): burst must be at least 1, not {burst!r}")
        self.name = name
        self.slots = slots
        self.rate = rate
        self.burst = burst
        self._clock = clock
        self._lock = threading.Lock()
        self._in_use = 0
        # A token bucket: full at first, refilled at `rate`, one token a start.
        self._tokens = float(burst)
        self._filled = clock()
        self._waiting: weakref.WeakSet[Admission[Any]] = weakref.WeakSet()

    @property
    def in_use(self) -> int:
        """How many tasks are under the limit now."""
        return self._in_use

    def acquire_nowait(self) -> bool:
        """Puts one more task under the limit, if it may start now; says whether it may.

        >>> limit = Limit("one at a time", 1)
        >>> limit.acquire_nowait(), limit.acquire_nowait()
        (True, False)
        """
        with self._lock:
            if self.slots is not None and self._in_use >= self.slots:
                return False
            if self.rate is not None:
                self._refill()
                if self._tokens < 1.0:
                    return False
                self._tokens -= 1.0
            self._in_use += 1
            return True

    def release(self, *, by: Admission[Any] | None = None) -> None:
        """Takes a task from under the limit; whoever held tasks back for it looks again, but `by`.

        >>> limit = Limit("one at a time", 1)
        >>> limit.acquire_nowait(), limit.release(), limit.in_use
        (True, None, 0)
        """
        with self._lock:
            if self._in_use == 0:
                raise ValueError(f"Limit({self.name!r}): released more often than acquired")
            self._in_use -= 1
            waiting = list(self._waiting)
        for admission in waiting:
            if admission is not by:
                admission.limit_released()

    def undo(self) -> None:
        """Takes back an `acquire_nowait` whose task did not start: its token returns as well."""
        with self._lock:
            self._in_use -= 1
            if self.rate is not None:
                self._tokens = min(float(self.burst), self._tokens + 1.0)

    def room(self) -> float:
        """How many more tasks may start under the limit now; at most as many as a rate lets start.

        >>> Limit("gpu", 2).room()
        2.0
        """
        with self._lock:
            room = float("inf") if self.slots is None else float(self.slots - self._in_use)
            if self.rate is not None:
                self._refill()
                room = min(room, float(int(self._tokens)))
            return room

    def ready_in(self) -> float:
        """Seconds until the rate lets the next task start; 0 if it may now, or there is no rate.

        >>> Limit("slots only", 3).ready_in()
        0.0
        """
        if self.rate is None:
            return 0.0
        with self._lock:
            self._refill()
            return max(0.0, (1.0 - self._tokens) / self.rate)

    def watch(self, admission: Admission[Any]) -> None:
        """Tells an admission about every release from now on, for as long as it lives."""
        with self._lock:
            self._waiting.add(admission)

    def _refill(self) -> None:
        now = self._clock()
        if self.rate is not None:
            # Rounding must not leave a bucket just short of the token that was promised for now.
            filled = self._tokens + (now - self._filled) * self.rate + 1e-9
            self._tokens = min(float(self.burst), filled)
        self._filled = now

    def __repr__(self) -> str:
        parts = [repr(self.name)]
        if self.slots is not None:
            parts.append(repr(self.slots))
        if self.rate is not None:
            parts.append(f"rate={self.rate!r}")
            if self.burst != 1:
                parts.append(f"burst={self.burst!r}")
        return f"Limit({', '.join(parts)})"


@final
class Resources:
    """What a task needs while it runs.

    `cpu` is in processors, fractions allowed. `memory` is in bytes or text such as "2 GiB". `io` is
    a share of what the machine's input and output can bear. Any other keyword names a resource that
    the executor was given by its `resources` option. Positional arguments are the limits to run
    under. Raises ValueError for a negative amount. Immutable and hashable.

    >>> Resources(cpu=0.5, memory="1 KiB", licences=2)
    Resources(cpu=0.5, memory=1024, licences=2)
    """

    __slots__ = ("_amounts", "_hash", "_limits")

    _amounts: tuple[tuple[str, float], ...]
    _limits: tuple[Limit, ...]
    _hash: int

    def __init__(
        self,
        *limits: Limit,
        cpu: float = 0,
        memory: int | str = 0,
        io: float = 0,
        **custom: float,
    ) -> None:
        for limit in limits:
            if not isinstance(limit, Limit):
                raise TypeError(
                    f"Resources takes Limit objects, not {limit!r}; amounts are keywords: cpu=0.5"
                )
        amounts = {"cpu": cpu, "memory": parse_bytes(memory), "io": io, **custom}
        for name, amount in amounts.items():
            number = isinstance(amount, (int, float)) and not isinstance(amount, bool)
            if not number or not 0 <= amount < float("inf"):
                raise ValueError(f"Resources({name}=...) must be a number from 0 up: {amount!r}")
        object.__setattr__(
            self, "_amounts", tuple((name, amount) for name, amount in amounts.items() if amount)
        )
        object.__setattr__(self, "_limits", tuple(dict.fromkeys(limits)))
        object.__setattr__(self, "_hash", hash((self._amounts, self._limits)))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"Resources is immutable: {name} cannot be set")

    @property
    def amounts(self) -> Mapping[str, float]:
        """The amounts that are not 0, by name; memory in bytes."""
        return dict(self._amounts)

    @property
    def limits(self) -> tuple[Limit, ...]:
        """The limits to run under."""
        return self._limits

    def __iter__(self) -> Iterator[tuple[str, float]]:
        """The amounts that are not 0, as pairs of name and amount."""
        return iter(self._amounts)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Resources):
            return NotImplemented
        return (self._amounts, self._limits) == (other._amounts, other._limits)

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        parts = [repr(limit) for limit in self._limits]
        parts += [f"{name}={amount!r}" for name, amount in self._amounts]
        return f"Resources({', '.join(parts)})"
