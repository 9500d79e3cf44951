"""Deterministic tests of concurrent programmes: an order drawn from a seed, and virtual time.

    clock       time that stands still until nothing else can move
    _conductor  lets one task at a time go on, and chooses which
    executor    the executor over it
    explore     one programme under many seeds

For coroutines and scopes, `taskloom.scope.coroutines.run_seeded` is the same idea on a loop.
"""

from taskloom.testing._conductor import Deadlock
from taskloom.testing.clock import VirtualClock
from taskloom.testing.executor import SeededExecutor, SeededFuture, SeededView
from taskloom.testing.explore import Explored, explore

__all__ = [
    "Deadlock",
    "Explored",
    "SeededExecutor",
    "SeededFuture",
    "SeededView",
    "VirtualClock",
    "explore",
]
