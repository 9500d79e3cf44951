"""Drawings in Mermaid's language, line for line as LangChain writes it for LangGraph's graphs, so
that a text that a program keeps stays the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from taskloom.pregel.draw import Drawing, DrawnEdge, DrawnNode

_HEAD = """\
---
config:
  flowchart:
    curve: {curve}
---
"""
_STYLES = """\
\tclassDef default fill:#f2f0ff,line-height:1.2
\tclassDef first fill-opacity:0
\tclassDef last fill:#bfb6fc
"""
_EMPHASIS = ("*", "_", "`")
_ENTITIES = {ord(char): f"#{ord(char)};" for char in "[](){}<>|#"} | {ord('"'): "#quot;"}


def draw_mermaid(drawing: Drawing, curve: str | None, words: int) -> str:
    """Draw.

    Args:
        drawing: what to draw.
        curve: how edges bend, or None to say nothing about looks.
        words: break the text on an edge after so many.

    Raises:
        ValueError: two subgraphs in it have the same name.
    """
    return "".join(_Mermaid(drawing, curve, words).lines())


class _Mermaid:
    def __init__(self, drawing: Drawing, curve: str | None, words: int) -> None:
        self.drawing = drawing
        self.curve = curve
        self.words = words
        self.boxes: set[str] = set()
        self.groups: dict[str, list[DrawnEdge]] = {}
        for edge in drawing.edges:
            pairs = zip(edge.source.split(":"), edge.target.split(":"), strict=False)
            shared = ":".join(a for a, b in pairs if a == b)
            self.groups.setdefault(shared, []).append(edge)
        first, last = drawing.first_node(), drawing.last_node()
        self.ends = {node.id: kind for node, kind in ((first, "first"), (last, "last")) if node}

    def lines(self) -> Iterator[str]:
        if self.curve is not None:
            yield _HEAD.format(curve=self.curve)
        yield "graph TD;\n"
        yield from self._nodes("")
        yield from self._group("", self.groups.get("", []))
        for around, edges in self.groups.items():
            if around and around.rpartition(":")[0] not in self.groups.keys() - {""}:
                yield from self._group(around, edges)
        if self.curve is None:
            return
        for key in self.drawing.nodes:  # boxes without an edge inside
            around = key.rpartition(":")[0]
            if around and ":" not in around and around not in self.boxes:
                self.boxes.add(around)
                yield f"\tsubgraph {around}\n"
                yield from self._nodes(around)
                yield "\tend\n"
        yield _STYLES

    def _nodes(self, around: str) -> Iterator[str]:
        for key, node in self.drawing.nodes.items() if self.curve is not None else ():
            if key.rpartition(":")[0] == around:
                yield f"\t{self._node(key, node)}\n"

    def _node(self, key: str, node: DrawnNode) -> str:
        text = node.name.rpartition(":")[2]
        if text.startswith(_EMPHASIS) and text.endswith(_EMPHASIS):
            text = f"<p>{text}</p>"  # or it would be taken for Markdown
        known = [f"{name} = {shown}" for name, shown in _scalars(node.metadata or {})]
        if known:
            below = "\n".join(line.translate(_ENTITIES) for line in known)
            text += f"<hr/><small><em>{below}</em></small>"
        kind = self.ends.get(key)
        return f"{_id(key)}([{text}]):::{kind}" if kind else f"{_id(key)}({text})"

    def _group(self, around: str, edges: list[DrawnEdge]) -> Iterator[str]:
        boxed = bool(around) and not (len(edges) == 1 and edges[0].source == edges[0].target)
        if boxed:
            name = around.rpartition(":")[2]
            if name in self.boxes:
                raise ValueError(
                    f"two subgraphs are called {name!r}: Mermaid needs a name for each; "
                    "give their nodes different names"
                )
            self.boxes.add(name)
            yield f"\tsubgraph {name}\n"
            yield from self._nodes(around)
        for edge in edges:
            yield f"\t{_id(edge.source)}{self._arrow(edge)}{_id(edge.target)};\n"
        for inner, found in self.groups.items():
            if around and inner.rpartition(":")[0] == around:
                yield from self._group(inner, found)
        if boxed:
            yield "\tend\n"

    def _arrow(self, edge: DrawnEdge) -> str:
        if edge.data is None:
            return " -.-> " if edge.conditional else " --> "
        text, said = str(edge.data), str(edge.data).split()
        if len(said) > self.words:
            starts = range(0, len(said), self.words)
            text = "&nbsp<br>&nbsp".join(" ".join(said[at : at + self.words]) for at in starts)
        tail, head = ("-.", ".->") if edge.conditional else ("--", "-->")
        return f" {tail} &nbsp;{text}&nbsp; {head} "


def _scalars(metadata: dict[str, Any]) -> Iterator[tuple[str, str]]:
    plain = (str, int, float, bool)
    for name, value in metadata.items():
        if isinstance(value, plain):
            yield name, str(value)
        elif isinstance(value, list | tuple | set) and all(isinstance(i, plain) for i in value):
            shown = [str(item) for item in value]
            yield name, ", ".join(sorted(shown) if isinstance(value, set) else shown)


def _id(key: str) -> str:
    """A name that Mermaid takes: letters and digits stay, all else is its code."""
    return "".join(
        char if char.isascii() and (char.isalnum() or char in "_-") else f"\\{ord(char):x}"
        for char in key
    )
