"""Ids: of checkpoints (ordered by time) and of tasks (derived, so that a resumed run finds them).

A checkpoint's id is a UUID of version 6 (RFC 9562): the time comes first, most significant digits
first, so that the order of ids as text is the order in which they were made. Two ids of one process
never tie; those of different processes differ by 48 random bits.
"""

from __future__ import annotations

import os
import time
from hashlib import sha1
from typing import Any

from taskloom._taskloom import _checkpoint_id, _digest, _know_node, _task_id

_second = (0, "1970-01-01T00:00:00")


def _new_node() -> None:
    _know_node(int.from_bytes(os.urandom(6)))


_new_node()
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
    return _checkpoint_id(step)


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
    """32 hexadecimal digits that stand for `text`: its XXH3 hash of 128 bits, as LangGraph makes
    the ids of interrupts."""
    return _digest(text.encode() if isinstance(text, str) else text)


def task_id(checkpoint: str, *parts: str) -> str:
    """The id of the task that `parts` describe, in the superstep that starts from a checkpoint.

    The same parts give the same id; LangGraph gives it the same one.
    """
    return _task_id(checkpoint, *parts)


def first_task_id(checkpoint: str, *parts: str) -> str:
    """As `task_id`, for tasks that start from a checkpoint of LangGraph's first format."""
    data = bytes.fromhex(checkpoint.replace("-", "")) + "".join(parts).encode()
    h = sha1(data, usedforsecurity=False).hexdigest()
    return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:32]}"


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
