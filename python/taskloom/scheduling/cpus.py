"""How many processors this process may use: the one count that everything is sized by."""

from __future__ import annotations

import os
from collections.abc import Collection

__all__ = ["cpu_count", "present_cpus", "process_share", "usable_cpus"]

# What a worker process was given of the processors; None in a process that shares with nobody.
_share: int | None = None


def usable_cpus() -> tuple[int, ...]:
    """The processors that the calling thread may run on, in ascending order.

    >>> len(usable_cpus()) >= 1
    True
    """
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def present_cpus(root: str | os.PathLike[str] = "/sys") -> tuple[int, ...]:
    """The processors that this machine has, in ascending order, usable for this process or not.

    `root` is where the kernel's tables are; without them, as many as the system counts.

    >>> set(usable_cpus()) <= set(present_cpus())
    True
    """
    from taskloom.scheduling.topology import parse_cpu_list

    try:
        with open(os.path.join(root, "devices", "system", "cpu", "present")) as file:
            found = parse_cpu_list(file.read())
    except (OSError, ValueError):
        found = ()
    return found or tuple(sorted({*usable_cpus(), *range(os.cpu_count() or 1)}))


def cpu_count(among: Collection[int] | None = None) -> int:
    """How many processors' worth of time there is: those usable, or the container's quota if less.

    Parameters
    ----------
    among
        Processor numbers to count in place of those that the calling thread may run on.

    Returns at least 1. A quota is rounded down, so that no more threads are busy than it feeds.

    >>> 1 <= cpu_count() <= len(usable_cpus())
    True
    """
    from taskloom.scheduling.container import ControlGroup

    count = len(usable_cpus() if among is None else among)
    quota = ControlGroup().cpu_quota()
    return max(1, count if quota is None else min(count, int(quota)))


def take_share(count: int) -> None:
    """This process is one of several that share the processors, and has so many for itself."""
    global _share  # noqa: PLW0603
    _share = count


def process_share() -> int | None:
    """How many processors this process has for itself; None if it shares with no others.

    >>> process_share() is None
    True
    """
    return _share
