"""Checkpoint ids and time stamps, cheap enough to make one for every step.

An id is a version 6 UUID (RFC 9562): the time comes first, most significant digits first, so that
the order of ids as text is the order in which they were made. Two ids of one process never tie;
those of different processes differ by 48 random bits.
"""

from __future__ import annotations

import os
import random
import threading
import time

# The 100-nanosecond intervals between the Gregorian calendar's first day and the Unix epoch.
_EPOCH = 0x01B21DD213814000

_lock = threading.Lock()
_last = 0
_prefix = (0, "")
_node = f"{random.SystemRandom().getrandbits(48):012x}"
_present = (0, "1970-01-01T00:00:00")


def _renew_node() -> None:
    global _node  # noqa: PLW0603 - one node for each process
    _node = f"{random.SystemRandom().getrandbits(48):012x}"


os.register_at_fork(after_in_child=_renew_node)


def checkpoint_id(step: int = 0) -> str:
    """Return a new checkpoint id, greater than every one this process made before.

    Args:
        step: number of the superstep; its lowest 14 bits go into the id, for people to read.

    Example:
        >>> first, second = checkpoint_id(-1), checkpoint_id(0)
        >>> first < second
        True
    """
    global _last, _prefix  # noqa: PLW0603 - the clock of the process
    with _lock:
        now = time.time_ns() // 100 + _EPOCH
        if now <= _last:
            now = _last + 1
        _last = now
        slow = now >> 12  # what changes every 0.4 ms only is formatted only then
        known, text = _prefix
        if slow != known:
            text = f"{slow >> 16:08x}-{slow & 0xFFFF:04x}-6"
            _prefix = (slow, text)
    return "%s%03x-%04x-%s" % (text, now & 0xFFF, 0x8000 | step & 0x3FFF, _node)  # noqa: UP031 - half the time of an f-string


def timestamp() -> str:
    """Return the present time in UTC as ISO 8601 text with microseconds.

    Example:
        >>> timestamp().endswith("+00:00")
        True
    """
    global _present  # noqa: PLW0603 - the text of the present second
    second, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    known, text = _present
    if second != known:
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        _present = (second, text)  # one store: a reader never sees half of it
    return f"{text}.{nanoseconds // 1000:06d}+00:00"
