"""Whose values a node is given, and who is given its value."""

from __future__ import annotations

from typing import Any

from taskloom import _taskloom
from taskloom._taskloom import Node

__all__ = ["Kin"]


class Kin(_taskloom.GraphBuilder):
    """Answers `Node.parents` and `Node.children`; scans the graph once after each growth."""

    _kin: tuple[int, list[int], list[int], list[list[int]]] | None = None

    def _known_kin(self) -> tuple[int, list[int], list[int], list[list[int]]]:
        known = self._kin
        if known is None or known[0] != len(self):
            starts, sources = self._sources()
            children: list[list[int]] = [[] for _ in range(len(starts) - 1)]
            for index in range(len(starts) - 1):
                for source in sources[starts[index] : starts[index + 1]]:
                    children[source].append(index)
            known = self._kin = len(children), starts, sources, children
        return known

    def _parents_of(self, index: int) -> tuple[Node[Any], ...]:
        _, starts, sources, _ = self._known_kin()
        nodes = self.nodes
        return tuple(nodes[source] for source in sources[starts[index] : starts[index + 1]])

    def _children_of(self, index: int) -> tuple[Node[Any], ...]:
        nodes = self.nodes
        return tuple(nodes[child] for child in self._known_kin()[3][index])
