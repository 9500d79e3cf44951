"""What waits to be begun, in the engine's own order; among equals a seed decides.

The order is not told here: it is that of the engine's ready queue, which pools have too. Calls are
numbered as they become ready, and the queue orders the numbers. With several workers the calls of
one band and one deadline may overtake each other, so the draw of a seed may let two such calls
change their numbers. The turn of the one that waits longest (`aging`) is its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, final

from taskloom import _taskloom

if TYPE_CHECKING:
    from taskloom.scheduling.config import ExecutorConfig

__all__ = ["NEVER", "Call", "CallQueue", "nanoseconds"]

NEVER = float("inf")
#: The band of priority 0: the priorities from 4 to -3 are told apart.
DEFAULT_BAND = 4
LAST_BAND = 7


def nanoseconds(seconds: float) -> int:
    """A time of the clock as the engine counts it."""
    return round(seconds * 1e9)


class Call:
    """Something that can be begun: its name in messages, and how urgent it is.

    `deadline` is a moment of the clock. Of the calls of one `group`, a run's nodes, those of the
    highest `rank` are begun first.
    """

    __slots__ = ("band", "deadline", "group", "label", "rank")

    #: Whether it may be given up for another when the queue is full.
    droppable = True
    #: Of whom it is the call; None if nobody can ask for it.
    future: Any = None

    def __init__(self, label: str, priority: int, *, deadline: float = NEVER) -> None:
        self.label = label
        self.band = max(0, min(LAST_BAND, DEFAULT_BAND - priority))
        self.deadline = deadline
        self.group: object | None = None
        self.rank = 0.0

    def is_ready(self) -> bool:
        """Whether it may be begun now."""
        return True

    def run(self) -> None:
        """Does all of it."""
        raise NotImplementedError

    def cancel(self) -> None:
        """Gives it up before it was begun."""
        raise NotImplementedError


@final
class CallQueue:
    """The calls that were not begun."""

    def __init__(self, config: ExecutorConfig) -> None:
        self._config = config
        # Those that wait for something else, in the order of their coming.
        self._held: list[Call] = []
        self._numbers = 0
        self._clear()

    def _clear(self) -> None:
        self._core = _taskloom.ReadyQueue(
            deadline_lead=self._config.deadline_lead,
            aging=self._config.aging,
            overdue=self._config.overdue,
        )
        self._ready: dict[int, Call] = {}
        # The numbers that may be exchanged, by band and deadline.
        self._equals: dict[tuple[int, float], list[int]] = {}

    def __len__(self) -> int:
        return len(self._ready) + len(self._held)

    def waiting(self) -> int:
        """How many of them take room: those that were cancelled do not."""
        return sum(call.future is None or not call.future.cancelled() for call in self)

    def __iter__(self) -> Iterator[Call]:
        return iter([*self._ready.values(), *self._held])

    def add(self, call: Call) -> None:
        """Queues a call."""
        self._held.append(call)

    def ready(self) -> int:
        """How many may be begun now."""
        for call in [call for call in self._held if call.is_ready()]:
            self._held.remove(call)
            self._push(call)
        return len(self._ready)

    def _push(self, call: Call) -> None:
        self._numbers += 1
        self._ready[self._numbers] = call
        self._equals.setdefault((call.band, call.deadline), []).append(self._numbers)
        deadline = None if call.deadline == NEVER else nanoseconds(call.deadline)
        self._core.push(self._numbers, call.band, deadline)

    def _forget(self, number: int) -> Call:
        call = self._ready.pop(number)
        key = (call.band, call.deadline)
        same = self._equals[key]
        same.remove(number)
        if not same:
            del self._equals[key]
        return call

    def pop(self, now: float, draw: Callable[[int], int]) -> Call:
        """Takes the call that is to begin next; `draw` chooses one of so many equals."""
        popped = self._core.pop(nanoseconds(now))
        if popped is None:
            raise LookupError("no call is ready")
        number, aged = popped
        call = self._ready[number]
        same = self._equals[call.band, call.deadline]
        if not aged and len(same) > 1:
            foremost = self._foremost(same)
            other = foremost[draw(len(foremost)) if len(foremost) > 1 else 0]
            self._ready[number], self._ready[other] = self._ready[other], call
        return self._forget(number)

    def _foremost(self, numbers: list[int]) -> list[int]:
        """Without those that another one of their group goes before."""
        best: dict[object, float] = {}
        for number in numbers:
            call = self._ready[number]
            if call.group is not None:
                best[call.group] = max(call.rank, best.get(call.group, call.rank))
        if not best:
            return numbers
        calls = ((number, self._ready[number]) for number in numbers)
        return [number for number, call in calls if call.rank == best.get(call.group, call.rank)]

    def give_up(self, which: str, than: Call) -> Call | None:
        """Takes away the call that goes for a new one: "oldest" or "lowest"; None if none may."""
        kept = []
        victim = None
        while victim is None:
            core = self._core
            oldest = which == "oldest"
            number = core.remove_oldest() if oldest else core.remove_lowest(than.band)
            if number is None:
                break
            call = self._forget(number)
            if call.droppable:
                victim = call
            else:
                kept.append(call)
        for call in kept:
            self._push(call)
        return victim

    def take_all(self) -> list[Call]:
        """Takes away what was not begun."""
        calls = list(self)
        self._held.clear()
        self._clear()
        return calls
