"""Ids: of checkpoints (ordered by time) and of tasks (derived, so that a resumed run finds them).

Checkpoint ids are UUIDs of version 6 (RFC 9562): their text sorts as they were made.
"""

from __future__ import annotations

import itertools
import os
import time
from hashlib import blake2b
from typing import Any

_EPOCH_TICKS = 0x01B21DD213814000  # 100 ns ticks from 1582-10-15, the UUID epoch, to 1970-01-01
_node = int.from_bytes(os.urandom(6)) & 0xFFFF_FF00_0000
_counter = itertools.count()
_last_ticks = 0
_high = (-1, "")  # the part of the time that changes every 0.4 ms, as a number and as text


def _new_node() -> None:
    global _node  # noqa: PLW0603
    _node = int.from_bytes(os.urandom(6)) & 0xFFFF_FF00_0000


os.register_at_fork(after_in_child=_new_node)


def new_suffix() -> str:
    """A node field for checkpoint ids, one for each run.

    Threads may make two ids in one tick; this keeps them apart.
    """
    return f"{_node | next(_counter) & 0xFF_FFFF:012x}"


def checkpoint_id(step: int, suffix: str | None = None) -> str:
    """A new id that sorts after all that this process made before."""
    global _last_ticks, _high  # noqa: PLW0603
    ticks = time.time_ns() // 100 + _EPOCH_TICKS
    if ticks <= _last_ticks:
        ticks = _last_ticks + 1
    _last_ticks = ticks
    known, text = _high
    if known != ticks >> 12:
        known = ticks >> 12
        text = f"{known >> 16:08x}-{known & 0xFFFF:04x}-6"
        _high = (known, text)
    return f"{text}{ticks & 0xFFF:03x}-{0x8000 | step & 0x3FFF:04x}-{suffix or new_suffix()}"


def timestamp() -> str:
    """Now, in UTC, as ISO 8601 with microseconds."""
    now = time.time_ns() // 1000
    second, micros = divmod(now, 1_000_000)
    prefix = _stamp_prefix(second)
    return f"{prefix}.{micros:06d}+00:00"


_stamps: tuple[int, str] = (-1, "")


def _stamp_prefix(second: int) -> str:
    global _stamps  # noqa: PLW0603
    known, prefix = _stamps
    if known != second:
        prefix = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        _stamps = (second, prefix)
    return prefix


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
