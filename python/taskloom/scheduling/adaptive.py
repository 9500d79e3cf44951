"""How many workers should be active: a law over measurements, without a clock or a thread in it.

The law climbs the hill of throughput, as the thread pool of .NET does (J. Hellerstein, V. Morrison,
E. Eilebrecht, "Applying control theory in the real world: experience with building a controller for
the .NET thread pool", 2010), in steps that the processors' headroom suggests: workers that wait
need more of them, workers that compute do not (B. Goetz, "Java Concurrency in Practice", 8.2). When
memory presses, it decreases multiplicatively and later increases by one, which is AIMD (D. Chiu,
R. Jain, "Analysis of the increase and decrease algorithms for congestion avoidance", 1989).

Four states: `climb` tries more while that pays, `descend` fewer while that costs nothing, `settle`
halves the interval in between, `hold` keeps the count until the load changes its nature: its
throughput, or the processor time that a task takes. Of equally fast counts the lowest wins. Each
interval ends in one `Decision` that says why.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import Literal, final

__all__ = ["AdaptiveConcurrency", "Decision", "Load"]

State = Literal["climb", "descend", "settle", "hold"]

# A count is better when its throughput is this much higher, and as good when it is less than this
# much lower: below it is noise.
_BETTER = 1.04
_AS_GOOD = 0.97
# The load has changed its nature when throughput or processor time per task moves by this share, in
# two intervals running.
_CHANGED = 0.25
# The share of the time stalled for memory that counts as pressure, and after how many looks at the
# memory without it the first try of another worker is made.
_STALLED = 0.2
_CALM = 10
# The multiplicative decrease, and the longest step up.
_DECREASE = 0.5
_STEP = 4.0
# With room for this many times as much, the processors are not what holds the work up.
_IDLE = 2.0
# How many ended tasks are enough to judge by; the most intervals that are waited for them, and for
# a change to take effect.
_ENOUGH = 30
_LONGEST = 5


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What was measured over one interval with a fixed count of active workers.

    >>> Load(interval=0.1, completed=50, backlog=10, cpu=1.5, cpus=2.0).throughput
    500.0
    """

    time: float = 0.0
    """When the interval ended, in seconds of whatever clock measures it."""
    interval: float
    """Seconds."""
    completed: int
    """Tasks that ended."""
    backlog: int
    """Tasks that were queued at the end."""
    cpu: float
    """Processors that the process kept busy."""
    cpus: float
    """Processors that it may use."""
    memory_share: float | None = None
    """Memory in use as a share of the limit; None if nobody looked in this interval."""
    memory_pressure: float | None = None
    """Share of the time in which something waited for memory; None if nobody looked."""

    @property
    def throughput(self) -> float:
        """Tasks per second."""
        return self.completed / self.interval


@final
@dataclass(frozen=True, slots=True)
class Decision:
    """What the law decided at the end of an interval: how many workers from now on, and why.

    >>> law = AdaptiveConcurrency(1, 8, start=2)
    >>> law.update(Load(interval=1, completed=0, backlog=0, cpu=0, cpus=2)).reason
    'nothing queued: the count does not matter'
    """

    workers: int
    """Active workers from now on."""
    before: int
    """Active workers until now."""
    load: Load
    """What was measured with those."""
    state: State
    """What the law is about."""
    reason: str
    """Why, in words."""

    @property
    def time(self) -> float:
        """When it was decided, by the clock of the load."""
        return self.load.time


@final
class AdaptiveConcurrency:
    """Chooses the number of active workers, from `minimum` to `maximum`, beginning with `start`.

    `cpu_target` is the share of the processors that should be kept busy; above it more workers are
    not tried. `memory_limit` is the share of the memory from which on workers are taken away. After
    a change the law waits until about every worker has ended a task, `warm_up` intervals at least;
    then it measures until some thirty tasks have ended, five intervals at most. `decisions` keeps
    the last `history` of them.

    >>> law = AdaptiveConcurrency(1, 32, start=2)
    >>> busy = Load(interval=0.1, completed=100, backlog=50, cpu=0.1, cpus=2.0)
    >>> law.update(busy).workers
    8
    """

    __slots__ = (
        "_best",
        "_by_share",
        "_calm",
        "_ceiling",
        "_changed",
        "_cost",
        "_cpu_target",
        "_good",
        "_high",
        "_low",
        "_maximum",
        "_memory_limit",
        "_minimum",
        "_patience",
        "_pooled",
        "_room",
        "_skip",
        "_state",
        "_warm_up",
        "decisions",
        "workers",
    )

    def __init__(
        self,
        minimum: int,
        maximum: int,
        *,
        start: int | None = None,
        cpu_target: float = 0.95,
        memory_limit: float = 0.9,
        warm_up: int = 0,
        history: int = 1000,
    ) -> None:
        if not 1 <= minimum <= maximum:
            raise ValueError(
                f"the number of workers must be 1 <= minimum <= maximum: {minimum}, {maximum}"
            )
        self._minimum = minimum
        self._maximum = maximum
        self._cpu_target = cpu_target
        self._memory_limit = memory_limit
        self._warm_up = warm_up
        self.workers = min(max(start if start is not None else minimum, minimum), maximum)
        self.decisions: deque[Decision] = deque(maxlen=history)
        # Memory allows no more than this for now.
        self._ceiling = maximum
        self._room = maximum
        # Whether the ceiling came of what is in use, rather than of stalls.
        self._by_share = False
        self._calm = 0
        self._patience = _CALM
        self._skip = 0
        # Measured with the present count and not yet judged.
        self._pooled: list[Load] = []
        self._restart()

    def _restart(self) -> None:
        """Forgets what is known about the load."""
        self._state: State = "climb"
        # The best count so far and its throughput; counts known to be too low and too high.
        self._good: tuple[int, float] | None = None
        self._low: tuple[int, float] | None = None
        self._high: tuple[int, float] | None = None
        self._best = 0.0
        self._cost = 0.0
        self._changed = 0

    def update(self, load: Load) -> Decision:
        """Takes the measurement of an interval; decides on the workers of the next one."""
        before = self.workers
        reason = self._judge(load)
        decision = Decision(self.workers, before, load, self._state, reason)
        if self.workers != before:
            self._pooled.clear()
            # Tasks that began before go on for about as many intervals as one takes.
            lasting = before // load.completed if load.completed else _LONGEST
            self._skip = max(self._warm_up, min(_LONGEST, lasting))
        self.decisions.append(decision)
        return decision

    def _judge(self, load: Load) -> str:
        if (pressed := self._memory_presses(load)) is not None:
            return pressed
        if self._skip > 0:
            self._skip -= 1
            return "waiting for the change to take effect"
        if load.backlog == 0:
            self._pooled.clear()
            return "nothing queued: the count does not matter"
        self._pooled.append(load)
        ended = sum(part.completed for part in self._pooled)
        if ended < _ENOUGH and len(self._pooled) < _LONGEST:
            return f"measuring: {ended} tasks have ended"
        if ended == 0:
            self._pooled.clear()
            return "nothing ended in this time"
        load = _pool(self._pooled)
        self._pooled.clear()
        if self._state == "climb":
            return self._climb(load)
        if self._state == "descend":
            return self._descend(load)
        if self._state == "settle":
            return self._settle(load)
        return self._hold(load)

    def _memory_presses(self, load: Load) -> str | None:
        if load.memory_share is None and load.memory_pressure is None:
            return None
        share, pressure = load.memory_share or 0.0, load.memory_pressure or 0.0
        # As many as there is room for if they hold what is in use, in equal parts.
        self._room = int(self.workers * self._memory_limit / share) if share else self._maximum
        if share < self._memory_limit and pressure < _STALLED:
            self._calm += 1
            if self._by_share and self._room >= 2 * self._ceiling:
                # The tasks of now hold far less.
                self._ceiling, self._patience, self._by_share = self._maximum, _CALM, False
                if self._state == "hold":
                    self._restart()
                return None
            if self._calm >= self._patience and self.workers == self._ceiling < self._maximum:
                return self._raise_ceiling(load)
            return None
        if self.workers == self._minimum or load.backlog == load.completed == 0:
            return None
        if self._skip > 0:
            # Those that are one too many hold what they have until their tasks end.
            return None
        # The try of one more worker brought this about: wait longer before the next.
        vain = self._calm < 3 and self._good is not None and self._good[0] == self.workers - 1
        if vain:
            self._patience = min(self._patience * 2, 16 * _CALM)
        self._calm = 0
        # As many as memory would have room for if each worker held the same, but at least one less.
        room = self._memory_limit / share if share >= self._memory_limit else 0.75
        kept = int(self.workers * max(_DECREASE, room))
        self.workers = max(self._minimum, min(kept, self.workers - 1))
        self._ceiling = self.workers
        self._by_share = share >= self._memory_limit
        why = f"memory presses: {share:.0%} in use, {pressure:.0%} of the time stalled"
        if vain:
            return self._begin_hold(load, why)
        if self._state == "hold" or self._good is None or self._good[0] >= self.workers:
            self._restart()
        self._state = "climb"
        return why

    def _raise_ceiling(self, load: Load) -> str | None:
        """Additive increase: after a calm spell one more worker is tried."""
        self._calm = 0
        self._ceiling += 1
        if self._state != "hold" or load.backlog == 0:
            return None
        self._state = "climb"
        self._low, self._good, self._high = None, (self.workers, load.throughput), None
        self.workers += 1
        return "memory has been calm; trying one more"

    def _limit(self) -> int:
        return min(self._maximum, self._ceiling)

    def _climb(self, load: Load) -> str:
        """`workers` is the count on trial, `_good` the one that it must beat."""
        rate, good = load.throughput, self._good
        if good is not None and rate < good[1] * _BETTER:
            self._high = (self.workers, rate)
            if self._low is None:
                return self._begin_descent(load, f"{self.workers} workers were not faster")
            return self._begin_settling(load, f"{self.workers} workers were not faster")
        self._low, self._good = good, (self.workers, rate)
        self._best = rate
        if self.workers >= self._limit():
            if self._low is not None and self._elastic():
                return self._begin_hold(load, "every worker pays")
            if self._low is not None:
                return self._begin_settling(load, "no more workers allowed")
            return self._begin_descent(load, "no more workers allowed")
        headroom = self._headroom(load)
        if headroom <= 1.0 and self.workers >= load.cpus:
            return self._begin_descent(load, "the processors are busy")
        if self._room <= self.workers:
            return self._begin_descent(load, "memory has no room for more")
        step = min(_STEP, max(headroom, 1.5))
        wanted = max(self.workers + 1, round(self.workers * step))
        self.workers = min(self._limit(), wanted, self._room)
        return f"trying more: the processors have room for {headroom:.1f} times as much"

    def _elastic(self) -> bool:
        """Whether the last step up brought nearly as much throughput as workers."""
        if self._low is None or self._good is None or self._low[1] <= 0:
            return False
        more_workers = self._good[0] / self._low[0] - 1
        more_work = self._good[1] / self._low[1] - 1
        return more_workers > 0 and more_work / more_workers > 0.7

    def _begin_descent(self, load: Load, why: str) -> str:
        good = self._good
        if good is None or good[0] <= self._minimum:
            return self._begin_hold(load, why)
        self._state = "descend"
        cpus = max(1, round(load.cpus))
        if self._headroom(load) > _IDLE and good[0] > cpus:
            # Workers that wait: a few less, for most of them are likely to be of use.
            down = good[0] - max(1, good[0] // 4)
        else:
            down = cpus if good[0] > cpus else good[0] // 2
        self.workers = max(self._minimum, min(down, good[0] - 1))
        return f"{why}; trying fewer"

    def _headroom(self, load: Load) -> float:
        """How many times as much the processors could do."""
        return self._cpu_target * load.cpus / max(load.cpu, 1e-3)

    def _descend(self, load: Load) -> str:
        """Fewer workers are on trial; they need only be as good."""
        rate = load.throughput
        if rate < self._best * _AS_GOOD:
            self._low = (self.workers, rate)
            return self._begin_settling(load, f"{self.workers} workers were slower")
        self._high = self._good
        self._good = (self.workers, rate)
        self._best = max(self._best, rate)
        return self._begin_descent(load, "as fast with fewer")

    def _begin_settling(self, load: Load, why: str) -> str:
        self._state = "settle"
        return self._next_trial(load, why)

    def _next_trial(self, load: Load, why: str) -> str:
        """Puts on trial the middle of an interval that may hold something better, or holds."""
        low, good, high = self._low, self._good, self._high
        if good is None:
            return self._begin_hold(load, why)
        gap = max(1, good[0] // 8)
        # Above only if the count was still paying off where it is and too many were clearly worse.
        if high is not None and high[0] - good[0] > gap and (low is None or self._elastic()):
            self.workers = (good[0] + high[0]) // 2
            return f"{why}; trying between {good[0]} and {high[0]}"
        if low is not None and good[0] - low[0] > gap and not self._elastic():
            self.workers = (low[0] + good[0]) // 2
            return f"{why}; trying between {low[0]} and {good[0]}"
        return self._begin_hold(load, why)

    def _settle(self, load: Load) -> str:
        rate, good = load.throughput, self._good
        trial = (self.workers, rate)
        if good is None:
            return self._begin_hold(load, "nothing to compare with")
        if self.workers > good[0]:
            if rate < good[1] * _BETTER:
                self._high = trial
                return self._next_trial(load, f"{self.workers} workers were not faster")
            self._low, self._good, self._best = good, trial, rate
            return self._next_trial(load, f"{self.workers} workers were faster")
        if rate < self._best * _AS_GOOD:
            self._low = trial
            return self._next_trial(load, f"{self.workers} workers were slower")
        self._high, self._good = good, trial
        self._best = max(self._best, rate)
        return self._next_trial(load, f"{self.workers} workers were as fast")

    def _begin_hold(self, load: Load, why: str) -> str:
        self._state = "hold"
        if self._good is not None:
            self.workers = self._good[0]
        # Both are measured anew at the count that is held.
        self._best = self._cost = 0.0
        self._changed = 0
        return f"{why}; staying at {self.workers}"

    def _hold(self, load: Load) -> str:
        rate = load.throughput
        cost = load.cpu / rate
        if self._best == 0.0:
            self._best, self._cost = rate, cost
            return "measured"
        other = max(abs(rate / self._best - 1), abs(cost - self._cost) / max(self._cost, 1e-9))
        # Where processors are mostly idle, what a task takes of them says nothing by its changes.
        if load.cpu < 0.3 * load.cpus:
            other = abs(rate / self._best - 1)
        if other < _CHANGED:
            self._changed = 0
            self._best += (rate - self._best) * 0.2
            self._cost += (cost - self._cost) * 0.2
            return "nothing has changed"
        self._changed += 1
        if self._changed < 2:
            return "a change, perhaps"
        self._restart()
        if self._calm > 4:
            self._ceiling, self._patience = self._maximum, _CALM
        return f"the load has changed: {self._climb(load)}"


def _pool(parts: list[Load]) -> Load:
    """Measurements of adjacent intervals as one."""
    if len(parts) == 1:
        return parts[0]
    interval = sum(part.interval for part in parts)
    return replace(
        parts[-1],
        interval=interval,
        completed=sum(part.completed for part in parts),
        cpu=sum(part.cpu * part.interval for part in parts) / interval,
    )
