"""Whose values a node is given, and who is given its value."""

from __future__ import annotations

from typing import Any, NamedTuple, final

from taskloom import _taskloom
from taskloom._taskloom import Node

__all__ = ["Kin"]


@final
class _Known(NamedTuple):
    """The nodes of a graph at some time, and by index the parents and children of each."""

    nodes: tuple[Node[Any], ...]
    parents: list[list[int]]
    children: list[list[int]]


class Kin(_taskloom.GraphBuilder):
    """Answers `Node.parents` and `Node.children`; scans the graph once after each growth."""

    _kin: _Known | None = None

    def _known_kin(self) -> _Known:
        known = self._kin
        if known is None or len(known.nodes) != len(self):
            starts, sources = self._sources()
            count = len(starts) - 1
            parents = [sources[starts[index] : starts[index + 1]] for index in range(count)]
            children: list[list[int]] = [[] for _ in range(count)]
            for index, own in enumerate(parents):
                for source in own:
                    children[source].append(index)
            known = self._kin = _Known(self.nodes[:count], parents, children)
        return known

    def _parents_of(self, index: int) -> tuple[Node[Any], ...]:
        known = self._known_kin()
        return tuple(known.nodes[parent] for parent in known.parents[index])

    def _children_of(self, index: int) -> tuple[Node[Any], ...]:
        known = self._known_kin()
        return tuple(known.nodes[child] for child in known.children[index])
