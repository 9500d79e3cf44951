"""Locks of the whole process, and forks."""

from __future__ import annotations

import os
import threading

__all__ = ["lock_across_forks"]


def lock_across_forks() -> threading.Lock:
    """A lock for a module to keep: a fork waits for it, so that nobody has it in the child.

    >>> with lock_across_forks():
    ...     pass
    """
    lock = threading.Lock()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release
        )
    return lock
