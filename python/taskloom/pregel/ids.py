"""Ids: of checkpoints (ordered by time) and of tasks (derived, so that a resumed run finds them).

A checkpoint's id is a UUID of version 6 (RFC 9562): the time comes first, most significant digits
first, so that the order of ids as text is the order in which they were made. Two ids of one process
never tie; those of different processes differ by 48 random bits.
"""

from __future__ import annotations

import os
import threading
import time
from hashlib import blake2b
from typing import Any

_EPOCH = 0x01B21DD213814000  # 100 ns ticks from 1582-10-15, the UUID epoch, to 1970-01-01

_lock = threading.Lock()
_last = 0
_prefix = (0, "")  # the part of the time that changes every 0.4 ms, as a number and as text
_second = (0, "1970-01-01T00:00:00")
_node = os.urandom(6).hex()


def _new_node() -> None:
    global _node  # noqa: PLW0603 (one for each process)
    _node = os.urandom(6).hex()


os.register_at_fork(after_in_child=_new_node)


def checkpoint_id(step: int = 0) -> str:
    """A new checkpoint id, greater than every one that this process made before.

    Args:
        step: the number of the superstep; its lowest 14 bits go into the id, for people to read.

    Example:
        >>> first, second = checkpoint_id(-1), checkpoint_id(0)
        >>> first < second
        True
    """
    global _last, _prefix  # noqa: PLW0603 (the clock of the process)
    with _lock:
        now = time.time_ns() // 100 + _EPOCH
        if now <= _last:
            now = _last + 1
        _last = now
        slow = now >> 12
        known, text = _prefix
        if slow != known:
            text = f"{slow >> 16:08x}-{slow & 0xFFFF:04x}-6"
            _prefix = (slow, text)
    return "%s%03x-%04x-%s" % (text, now & 0xFFF, 0x8000 | step & 0x3FFF, _node)  # noqa: UP031 (half the time of an f-string)


def timestamp() -> str:
    """Now, in UTC, as ISO 8601 with microseconds.

    Example:
        >>> timestamp().endswith("+00:00")
        True
    """
    return stamp(time.time_ns())


def stamp(nanoseconds: int) -> str:
    """A time since the epoch, in nanoseconds, as `timestamp` writes it.

    Example:
        >>> stamp(1_500)
        '1970-01-01T00:00:00.000001+00:00'
    """
    global _second  # noqa: PLW0603 (the text of the present second)
    second, rest = divmod(nanoseconds, 1_000_000_000)
    known, text = _second
    if second != known:
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        _second = (second, text)  # one store: a reader never sees half of it
    return f"{text}.{rest // 1000:06d}+00:00"


def digest(text: str | bytes) -> str:
    """32 hexadecimal digits that stand for `text`."""
    data = text.encode() if isinstance(text, str) else text
    return blake2b(data, digest_size=16).hexdigest()


def task_id(*parts: str) -> str:
    """The id of the task that `parts` describe: the same parts, the same id."""
    h = blake2b("\x1f".join(parts).encode(), digest_size=16).hexdigest()
    return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"


def is_digest(text: Any) -> bool:
    """Whether `text` looks like what `digest` returns."""
    return isinstance(text, str) and len(text) == 32 and all(c in "0123456789abcdef" for c in text)


def path_text(path: Any) -> str:
    """A task's path as text that sorts as the path does."""
    if isinstance(path, tuple | list):
        return "~" + ", ".join(path_text(part) for part in path)
    if isinstance(path, int):
        return f"{path:010d}"
    return str(path)
