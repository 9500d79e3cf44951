"""Runs that need the thread that started them, when an executor is closed or the interpreter exits.

Nodes with `place="caller"` wait until that thread waits for their run. Where it no longer will, the
end would wait for ever: so the thread that closes runs its own, and those of threads that are gone
are cancelled, with a warning.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterable

from taskloom._typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskloom.run import Run

__all__ = ["LOOK_EVERY", "attend"]

#: Seconds between two looks at whether the thread that a run waits for is still there.
LOOK_EVERY = 0.1


def attend(runs: list[Run], workers: Iterable[threading.Thread], end: float | None = None) -> bool:
    """Runs what waits for this thread, until a time of the monotonic clock, and cancels what waits
    for a thread that will not come. Whether runs are left that wait for other threads.

    >>> from taskloom._owed import attend
    >>> attend([], [])
    False
    """
    for run in runs.copy():
        if run._needs_caller:
            run.wait(None if end is None else max(0.0, end - time.monotonic()))
        elif not run.done() and not _may_come(run._caller, workers):
            import logging

            logging.getLogger("taskloom").warning(
                "a run of %d nodes is cancelled: the thread that started it is gone without "
                "waiting for it, and its nodes with place='caller' run there alone. Wait for "
                "what start() returns, or leave the place out",
                len(run),
            )
            run.cancel()
            run.wait()
    return bool(runs)


def _may_come(caller: int, workers: Iterable[threading.Thread]) -> bool:
    """Whether a thread is there that could still wait for its run."""
    if any(worker.ident == caller for worker in workers):
        return _is_in_task(caller)
    return any(thread.ident == caller for thread in threading.enumerate())


def _is_in_task(worker: int) -> bool:
    frame = sys._current_frames().get(worker)
    return frame is not None and frame.f_code.co_qualname != "Workers._main"
