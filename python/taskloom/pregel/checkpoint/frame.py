"""Storing versions and what nodes have seen as what changed since a shared frame.

Each checkpoint says the version of every cell and what every node has seen of its cells. In a wide
graph nearly all of it is as it was a step before. So checkpoints refer to a common frame, and hold
only what differs from it; when too much does, a new frame is made.
"""

from __future__ import annotations

from typing import Any, NamedTuple

_WORTHWHILE = 24  # entries; in a smaller graph, looking for what differs costs more than storing it


class Frame(NamedTuple):
    """What the checkpoints that refer to it have in common."""

    id: str
    versions: dict[str, Any]
    seen: dict[str, Any]


class Difference(NamedTuple):
    """What one checkpoint has besides its frame; `seen` shares its maps with the checkpoint."""

    versions: dict[str, Any]
    seen: dict[str, Any]


def difference(frame: Frame, versions: dict[str, Any], seen: dict[str, Any]) -> Difference | None:
    """Return how two maps differ from a frame, or `None` if they need a frame of their own."""
    known = frame.versions
    changed = {name: version for name, version in versions.items() if known.get(name) != version}
    nodes = frame.seen
    ran = {node: cells for node, cells in seen.items() if nodes.get(node) != cells}
    if not (known.keys() <= versions.keys() and nodes.keys() <= seen.keys()):
        return None  # a difference cannot say that something is gone
    if len(changed) + len(ran) > (len(versions) + len(seen)) // 3:
        return None
    return Difference(changed, ran)


def is_wide(versions: dict[str, Any], seen: dict[str, Any]) -> bool:
    """Say whether a graph has enough cells and nodes for a frame to pay."""
    return len(versions) + len(seen) > _WORTHWHILE


def new_frame(id: str, versions: dict[str, Any], seen: dict[str, Any]) -> Frame:
    """Return a frame that these maps do not differ from."""
    return Frame(id, versions.copy(), {node: cells.copy() for node, cells in seen.items()})
