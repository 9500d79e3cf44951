"""So many at once: a semaphore, and a limiter that knows its borrowers.

As the other primitives, they work between coroutines and threads alike; see `primitives`.
"""

from __future__ import annotations

import math
from typing import final

from taskloom.errors import WouldBlock
from taskloom.scope._waiting import Fair, Held, WaitStats, owner

__all__ = ["CapacityLimiter", "Semaphore"]


@final
class Semaphore(Held):
    """So many at once; anybody may release.

    Parameters
    ----------
    initial
        How many may have it at first.
    max_value
        The most that releases may bring it to; None for no limit.

    >>> import taskloom
    >>> semaphore = taskloom.Semaphore(2)
    >>> with semaphore, semaphore:
    ...     semaphore.value
    0
    """

    __slots__ = ("_fair", "_max_value")

    def __init__(self, initial: int, *, max_value: int | None = None) -> None:
        for number in (initial, 0 if max_value is None else max_value):
            if not isinstance(number, int):
                raise TypeError(f"Semaphore({number!r}): an int")
        if initial < 0:
            raise ValueError(f"Semaphore({initial!r}): 0 or more")
        if max_value is not None and max_value < initial:
            raise ValueError(f"Semaphore(max_value={max_value!r}): at least the initial {initial}")
        self._fair = Fair(initial)
        self._max_value = max_value

    @property
    def value(self) -> int:
        """How many may still take it."""
        return self._fair._left

    @property
    def max_value(self) -> int | None:
        """The most that releases may bring it to."""
        return self._max_value

    async def acquire(self) -> None:
        """Waits for its turn and takes one."""
        await self._fair.take(self, owner())

    def acquire_blocking(self, timeout: float | None = None) -> None:
        """As `acquire`, blocking this thread; TimeoutError after `timeout` seconds."""
        self._fair.take_blocking(self, timeout)

    def acquire_nowait(self) -> None:
        """Takes one, or raises WouldBlock."""
        if not self._fair.take_now():
            raise WouldBlock("the semaphore has none left")

    def release(self) -> None:
        """Gives one back, to the next in line."""
        if self._max_value is not None and self._fair._left >= self._max_value:
            raise ValueError(f"released more often than acquired: the most is {self._max_value}")
        self._fair.give()

    def stats(self) -> WaitStats:
        """How many are left to take (as `held`, negative) and how many wait."""
        held = 0 if self._max_value is None else self._max_value - self._fair._left
        return WaitStats(held, self._fair.waiting())


def _tokens(total: float) -> int:
    """A total as a number that can be counted down from."""
    if total == math.inf:
        return 1 << 62  # more than there can be borrowers
    if not isinstance(total, int):
        raise TypeError(f"total_tokens={total!r}: an int, or math.inf")
    if total < 0:
        raise ValueError(f"total_tokens={total!r}: 0 or more")
    return total


@final
class CapacityLimiter(Held):
    """So many borrowers at once, each of which can borrow one token; the total may be changed.

    `total_tokens` is 0 or more, or `math.inf` for no limit.

    >>> import taskloom
    >>> limiter = taskloom.CapacityLimiter(3)
    >>> with limiter:
    ...     limiter.borrowed_tokens, limiter.available_tokens
    (1, 2)
    """

    __slots__ = ("_borrowers", "_fair", "_lining_up", "_total")

    def __init__(self, total_tokens: float) -> None:
        self._total = total_tokens
        self._fair = Fair(_tokens(total_tokens))
        self._borrowers: set[object] = set()
        self._lining_up: set[object] = set()

    @property
    def total_tokens(self) -> float:
        """How many borrowers at once; may be changed, and then takes effect as tokens come back."""
        return self._total

    @total_tokens.setter
    def total_tokens(self, value: float) -> None:
        more, self._total = _tokens(value) - _tokens(self._total), value
        self._fair.give(more)

    @property
    def borrowed_tokens(self) -> int:
        """How many are lent now, also to who waited and has not gone on yet."""
        return _tokens(self._total) - self._fair._left

    @property
    def available_tokens(self) -> float:
        """How many can be lent; below zero while a lowered total takes effect."""
        return math.inf if self._total == math.inf else self._fair._left

    def _held_by(self) -> list[object]:
        return list(self._borrowers)

    def _borrower(self, borrower: object) -> object:
        borrower = owner() if borrower is None else borrower
        if borrower in self._borrowers:
            raise RuntimeError("this borrower holds one of the limiter's tokens already")
        if borrower in self._lining_up:
            raise RuntimeError("this borrower waits for one of the limiter's tokens already")
        return borrower

    async def acquire(self, *, on_behalf_of: object = None) -> None:
        """Waits for a token and borrows it, for the calling task or for `on_behalf_of`."""
        borrower = self._borrower(on_behalf_of)
        self._lining_up.add(borrower)
        try:
            await self._fair.take(self, owner())
            self._borrowers.add(borrower)
        finally:
            self._lining_up.discard(borrower)

    def acquire_blocking(
        self, timeout: float | None = None, *, on_behalf_of: object = None
    ) -> None:
        """As `acquire`, blocking this thread; TimeoutError after `timeout` seconds."""
        borrower = self._borrower(on_behalf_of)
        self._lining_up.add(borrower)
        try:
            self._fair.take_blocking(self, timeout)
            self._borrowers.add(borrower)
        finally:
            self._lining_up.discard(borrower)

    def acquire_nowait(self, *, on_behalf_of: object = None) -> None:
        """Borrows a token, or raises WouldBlock."""
        borrower = self._borrower(on_behalf_of)
        if not self._fair.take_now():
            raise WouldBlock("all of the limiter's tokens are lent")
        self._borrowers.add(borrower)

    def release(self, *, on_behalf_of: object = None) -> None:
        """Gives the borrower's token back, to the next in line."""
        borrower = owner() if on_behalf_of is None else on_behalf_of
        if borrower not in self._borrowers:
            raise RuntimeError("this borrower holds none of the limiter's tokens")
        self._borrowers.discard(borrower)
        self._fair.give()

    def stats(self) -> WaitStats:
        """How many tokens are lent, and how many wait for one."""
        return WaitStats(self.borrowed_tokens, self._fair.waiting())
