"""Deterministic tests of concurrent programmes: an order drawn from a seed, and virtual time.

    clock       time that stands still until nothing else can move
    _queue      what waits to be begun, in the engine's own order
    _conductor  lets one task at a time go on, and chooses which
    future      the future of a task
    _task       one task from submit to end
    _stepping   runs of plans, each node a task
    _coroutines coroutines, each step a move
    executor    the executor over all these
    view        the executor seen through options
    explore     one programme under many seeds

For coroutines and scopes alone, `taskloom.scope.coroutines.run_seeded` is the same idea on a loop.
"""

from taskloom.testing._conductor import Deadlock
from taskloom.testing.clock import VirtualClock
from taskloom.testing.executor import SeededExecutor
from taskloom.testing.explore import Explored, explore
from taskloom.testing.future import SeededFuture
from taskloom.testing.view import SeededView

__all__ = [
    "Deadlock",
    "Explored",
    "SeededExecutor",
    "SeededFuture",
    "SeededView",
    "VirtualClock",
    "explore",
]
