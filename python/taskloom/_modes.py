"""Whether a plan is run serially or in parallel, where that is left to what its runs have taken.

The first run is parallel and the second serial; from then on the mode of the shorter runs is used.
What decides is the time that whole runs took, and not a model of it: it holds whatever the nodes
release the interpreter lock for, and whatever the machine is busy with. Of each mode a moving mean
is kept; the other mode takes over only if it is a tenth faster, and is tried again after a number
of runs that grows with how much slower it was, so that trying costs about a thirtieth at most.
"""

from __future__ import annotations

import threading
from typing import Literal, final
from weakref import WeakKeyDictionary

from taskloom._taskloom import Plan

__all__ = ["Choice", "choice_of", "choice_so_far"]

Fixed = Literal["parallel", "serial"]

#: A mean moves this far towards each new time.
WEIGHT = 0.25
#: The other mode is tried again after this many runs, times how many times slower it was.
EVERY = 32
#: The other mode takes over below this share of the present one's time.
FASTER = 0.9


@final
class Choice:
    """What is known of the two modes of one plan, and which is used.

    >>> from taskloom._modes import Choice
    >>> choice = Choice()
    >>> for mode, seconds in (("parallel", 2.0), ("serial", 1.0)):
    ...     assert choice.pick() == mode
    ...     choice.note(mode, seconds)
    >>> choice.pick()
    'serial'
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._means: dict[Fixed, float] = {}
        self._used: Fixed = "parallel"
        self._until_trial = EVERY

    def pick(self) -> Fixed:
        """The mode for the next run."""
        with self._lock:
            other = self._other
            if not self._means:
                return self._used
            if other not in self._means:
                return other
            self._until_trial -= 1
            if self._until_trial > 0:
                return self._used
            self._until_trial = self._interval()
            return other

    def note(self, mode: Fixed, seconds: float) -> None:
        """Takes note of how long a run took that went well."""
        with self._lock:
            mean = self._means.get(mode, seconds)
            self._means[mode] = mean + WEIGHT * (seconds - mean)
            other = self._other
            if len(self._means) == 2 and self._means[other] < FASTER * self._means[self._used]:
                self._used = other
                self._until_trial = self._interval()

    @property
    def used(self) -> Fixed:
        """The mode that is used, apart from trials."""
        with self._lock:
            return self._used

    @property
    def _other(self) -> Fixed:
        return "serial" if self._used == "parallel" else "parallel"

    def _interval(self) -> int:
        slower = self._means[self._other] / max(self._means[self._used], 1e-9)
        return int(EVERY * min(max(slower, 1.0), 1000.0))

    def __str__(self) -> str:
        with self._lock:
            known = [f"{mode} {mean * 1e6:.3g} µs" for mode, mean in sorted(self._means.items())]
            return f"mode auto uses {self._used} ({', '.join(known) or 'nothing measured'})"


_choices: WeakKeyDictionary[Plan, Choice] = WeakKeyDictionary()
_choices_lock = threading.Lock()


def choice_of(plan: Plan) -> Choice:
    """The choice of a plan, made when it is first asked for.

    >>> import taskloom
    >>> from taskloom._modes import choice_of
    >>> plan = taskloom.Graph().compile()
    >>> choice_of(plan) is choice_of(plan)
    True
    """
    with _choices_lock:
        found = _choices.get(plan)
        if found is None:
            found = _choices[plan] = Choice()
        return found


def choice_so_far(plan: Plan) -> Choice | None:
    """The choice of a plan, if it was ever asked for.

    >>> import taskloom
    >>> from taskloom._modes import choice_so_far
    >>> choice_so_far(taskloom.Graph().compile()) is None
    True
    """
    with _choices_lock:
        return _choices.get(plan)
