"""What a worker asks of the system for itself: certain processors, real-time scheduling.

Both act on the calling thread. Neither is worth failing for: where the system does not have it or
does not permit it, one warning says so and what would help, and the thread runs as any other.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, final

from taskloom.scheduling.cpus import usable_cpus

__all__ = ["Realtime", "pin_thread"]


def pin_thread(cpus: Collection[int]) -> bool:
    """Lets the calling thread run on these processors only; says whether that was possible.

    Processors that the process may not use, by its container for instance, are left out. When none
    remain, or the system has no affinity, the thread stays where it is and a warning says why.

    >>> pin_thread(usable_cpus()) or not hasattr(os, "sched_setaffinity")
    True
    """
    if not hasattr(os, "sched_setaffinity"):
        _warn("this system has no processor affinity: cpu_affinity and numa have no effect")
        return False
    try:
        os.sched_setaffinity(0, cpus)
    except (OSError, ValueError) as error:
        _warn(
            f"cannot run on processors {sorted(cpus)} ({error}): "
            f"the process may use {list(usable_cpus())}"
        )
        return False
    return True


@final
@dataclass(frozen=True, slots=True)
class Realtime:
    """A real-time scheduling class of Linux with its priority, to be given to workers.

    `policy` is "fifo" (runs until it blocks) or "rr" (takes turns with others of its priority);
    `priority` is 1, the least urgent, to 99. A worker under either keeps ordinary threads off its
    processor, those of the same interpreter included: leave it for short tasks with hard latencies.

    >>> Realtime("fifo", 10)
    Realtime(policy='fifo', priority=10)
    """

    policy: Literal["fifo", "rr"] = "fifo"
    priority: int = 1

    def __post_init__(self) -> None:
        if self.policy not in ("fifo", "rr"):
            raise ValueError(f"a real-time policy is 'fifo' or 'rr', not {self.policy!r}")
        whole = isinstance(self.priority, int) and not isinstance(self.priority, bool)
        if not whole or not 1 <= self.priority <= 99:
            raise ValueError(f"a real-time priority is 1 to 99, not {self.priority!r}")

    @classmethod
    def parse(cls, value: object) -> Realtime:
        """A Realtime from the notations of configuration: "fifo", "rr:20", ["fifo", 10].

        >>> Realtime.parse("rr:20")
        Realtime(policy='rr', priority=20)
        """
        if isinstance(value, cls):
            return value
        parts = value.split(":") if isinstance(value, str) else value
        if isinstance(parts, (list, tuple)) and 1 <= len(parts) <= 2:
            policy, priority = parts[0], str(parts[1]) if len(parts) == 2 else "1"
            if policy in ("fifo", "rr") and priority.isdigit():
                return cls("fifo" if policy == "fifo" else "rr", int(priority))
        raise ValueError(f"{value!r} is no real-time class: expected e.g. 'fifo' or 'rr:20'")

    def apply(self) -> bool:
        """Puts the calling thread into this class; says whether the system permitted it."""
        if not hasattr(os, "sched_setscheduler"):
            _warn("this system has no real-time scheduling classes: realtime has no effect")
            return False
        policy = os.SCHED_FIFO if self.policy == "fifo" else os.SCHED_RR
        # The flag keeps what the task starts out of the class.
        policy |= getattr(os, "SCHED_RESET_ON_FORK", 0)
        try:
            os.sched_setscheduler(0, policy, os.sched_param(self.priority))
        except OSError as error:
            _warn(
                f"real-time scheduling was refused ({error}): it needs CAP_SYS_NICE or a limit of "
                f"at least {self.priority} on real-time priority (ulimit -r)"
            )
            return False
        return True


_warned: set[str] = set()


def _warn(message: str) -> None:
    """Warns once for each message, not once for each worker."""
    if message not in _warned:
        _warned.add(message)
        warnings.warn(message, RuntimeWarning, stacklevel=3)
