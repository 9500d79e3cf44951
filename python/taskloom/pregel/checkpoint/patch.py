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
from collections.abc import Callable
from typing import Any, NamedTuple

from taskloom._taskloom import _diff, _Outline

_LONGEST = 256  # links of a chain
_LAYOUT = struct.Struct("<BBQQ")
_made_of: Callable[[type[Patch], tuple[Any, ...]], Patch] = tuple.__new__  # as _make, but native


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


def diff(old: bytes, new: bytes) -> Patch | None:
    """Return a patch from `old` to `new`, or `None` if it would not be much smaller than `new`."""
    found = _diff(old, new)
    return None if found is None else _made_of(Patch, found)


class Chain:
    """The last version of one cell and how it is stored, to patch the next one upon it.

    Attributes:
        raw: its bytes; None if nobody has put them together since it was extended.
        outline: what it held, if it is a list.
        items: how many items that were; 0 if it is not known.
    """

    __slots__ = ("items", "links", "outline", "patched", "raw", "size", "tag", "version")

    raw: bytes | None

    def __init__(self, version: str | int | float, tag: str, raw: bytes) -> None:
        self.outline: _Outline | None = None
        self.items = 0
        self.restart(version, tag, raw)

    def restart(self, version: str | int | float, tag: str, raw: bytes) -> None:
        """Say that a version has been stored whole."""
        self.version = version
        self.tag = tag
        self.raw = raw
        self.size = len(raw)
        self.links = 0
        self.patched = 0

    def advance(self, version: str | int | float, tag: str, raw: bytes) -> Patch | None:
        """Return the patch to store a version as, or `None` if it has to be stored whole."""
        if self.links < _LONGEST and tag == self.tag == "msgpack" and self.raw is not None:
            patch = diff(self.raw, raw)
            if patch is not None and (patched := self.patched + len(patch[3]) + 32) * 4 <= len(raw):
                self.version = version
                self.raw = raw
                self.size = len(raw)
                self.links += 1
                self.patched = patched
                return patch
        self.restart(version, tag, raw)
        return None
