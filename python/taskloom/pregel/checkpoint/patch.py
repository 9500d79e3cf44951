"""Storing a value as what changed in it since its last version.

A list that grows by one message each step would otherwise be stored whole each step: the square of
its length in all. Values are compared as bytes, so whatever kept its bytes is not stored again:
what stood before an insertion and what stood after it. msgpack puts the length of a container in
front of its content, so the first bytes nearly always differ; they are set apart as the head.

A patch needs the version before it, and that one its own; `Chain` starts afresh from a whole value
before the patches add up to a quarter of it or to 256 links. So reading stays cheap, and storing
costs at most five times what changed (or 1/256 of the value a step, if that is more).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

_SMALLEST = 256  # bytes; below, a patch saves nothing worth having
_LONGEST = 256  # links of a chain
_GRAIN = 16  # bytes; the search for the first difference is no finer than this
_LAYOUT = struct.Struct("<BBQQ")


class Patch(NamedTuple):
    """How to make a value's bytes from those of an earlier version."""

    head: bytes
    """What stands in place of the old head."""
    old_head: int
    """Length of the old head."""
    prefix: int
    """How many bytes after the old head are kept."""
    middle: bytes
    """What comes between the kept parts."""
    suffix: int
    """How many bytes at the end are kept."""

    def apply(self, old: bytes) -> bytes:
        """Return the new bytes."""
        kept = old[self.old_head : self.old_head + self.prefix]
        return b"".join((self.head, kept, self.middle, old[len(old) - self.suffix :]))

    def pack(self) -> bytes:
        """Return the patch as bytes."""
        layout = _LAYOUT.pack(len(self.head), self.old_head, self.prefix, self.suffix)
        return b"".join((layout, self.head, self.middle))

    @classmethod
    def unpack(cls, raw: bytes) -> Patch:
        """Return the patch that `pack` made the bytes of."""
        head_size, old_head, prefix, suffix = _LAYOUT.unpack_from(raw)
        split = _LAYOUT.size + head_size
        return cls(raw[_LAYOUT.size : split], old_head, prefix, raw[split:], suffix)


_HEADS: dict[int, int] = dict.fromkeys((0xD9, 0xC4), 2)  # str 8, bin 8
_HEADS |= dict.fromkeys((0xDA, 0xC5, 0xDC, 0xDE), 3)  # str 16, bin 16, array 16, map 16
_HEADS |= dict.fromkeys((0xDB, 0xC6, 0xDD, 0xDF), 5)  # their 32-bit forms


def head_size(raw: bytes) -> int:
    """Return how many bytes a msgpack value spends on its own length."""
    return _HEADS.get(raw[0], 1)


def diff(old: bytes, new: bytes) -> Patch | None:
    """Return a patch from `old` to `new`, or `None` if it would not be much smaller than `new`."""
    size, old_size = len(new), len(old)
    if size < _SMALLEST or old_size < _SMALLEST:
        return None
    old_head, new_head = _HEADS.get(old[0], 1), _HEADS.get(new[0], 1)
    old_body = old[old_head:]
    if new.startswith(old_body, new_head):  # something was appended: by far the commonest change
        prefix = old_size - old_head
        middle = new[new_head + prefix :]
        if len(middle) * 2 >= size:
            return None
        return Patch(new[:new_head], old_head, prefix, middle, 0)
    new_body = new[new_head:]
    shorter = min(len(old_body), len(new_body))
    prefix = _shared_prefix(old_body, new_body, shorter)
    suffix = _shared_suffix(old_body, new_body, shorter - prefix)
    middle = new_body[prefix : len(new_body) - suffix]
    if len(middle) > len(new) // 2:
        return None
    return Patch(new[:new_head], old_head, prefix, middle, suffix)


def _shared_prefix(one: bytes, other: bytes, limit: int) -> int:
    """Return a length, up to `_GRAIN` short of the longest, over which both begin alike."""
    if one[:limit] == other[:limit]:
        return limit
    alike, different = 0, limit
    while different - alike > _GRAIN:
        middle = (alike + different) // 2
        if one[alike:middle] == other[alike:middle]:
            alike = middle
        else:
            different = middle
    return alike


def _shared_suffix(one: bytes, other: bytes, limit: int) -> int:
    """Return a length, up to `_GRAIN` short of the longest, over which both end alike."""
    end, other_end = len(one), len(other)
    alike, different = 0, limit + 1
    while different - alike > _GRAIN:
        middle = (alike + different) // 2
        if one[end - middle : end - alike] == other[other_end - middle : other_end - alike]:
            alike = middle
        else:
            different = middle
    return alike


class Chain:
    """The last version of one cell and how it is stored, to patch the next one upon it."""

    __slots__ = ("links", "patched", "raw", "tag", "version")

    def __init__(self, version: str | int | float, tag: str, raw: bytes) -> None:
        self.restart(version, tag, raw)

    def restart(self, version: str | int | float, tag: str, raw: bytes) -> None:
        """Say that a version has been stored whole."""
        self.version = version
        self.tag = tag
        self.raw = raw
        self.links = 0
        self.patched = 0

    def advance(self, version: str | int | float, tag: str, raw: bytes) -> Patch | None:
        """Return the patch to store a version as, or `None` if it has to be stored whole."""
        if self.links < _LONGEST and tag == self.tag == "msgpack":
            patch = diff(self.raw, raw)
            if patch is not None and (patched := self.patched + len(patch[3]) + 32) * 4 <= len(raw):
                self.version = version
                self.raw = raw
                self.links += 1
                self.patched = patched
                return patch
        self.restart(version, tag, raw)
        return None
