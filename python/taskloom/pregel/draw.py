"""Graphs as pictures: nodes and edges, as Mermaid, Graphviz dot or JSON."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from taskloom.pregel.constants import BRANCH_TO, END, START

if TYPE_CHECKING:
    from taskloom.pregel.graph.compiled import CompiledStateGraph
    from taskloom.pregel.pregel import Pregel


@dataclass(frozen=True, slots=True)
class DrawnEdge:
    """An edge of a drawing.

    Attributes:
        source: the node that it comes from.
        target: the node that it goes to.
        label: what is written on it, or None.
        conditional: it may be taken or not.
    """

    source: str
    target: str
    label: str | None = None
    conditional: bool = False


@dataclass(slots=True)
class Drawing:
    """A graph to draw.

    Example:
        >>> from taskloom.pregel import START, StateGraph
        >>> builder = StateGraph(dict[str, int])
        >>> _ = builder.add_node("work", lambda state: state)
        >>> _ = builder.add_edge(START, "work")
        >>> assert "__start__ --> work" in builder.compile().get_graph().draw_mermaid()
    """

    nodes: dict[str, str] = field(default_factory=dict)
    edges: list[DrawnEdge] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Nodes and edges as plain data."""
        edges = []
        for edge in self.edges:
            shown: dict[str, Any] = {"source": edge.source, "target": edge.target}
            if edge.label is not None:
                shown["data"] = edge.label
            if edge.conditional:
                shown["conditional"] = True
            edges.append(shown)
        return {
            "nodes": [{"id": key, "name": name} for key, name in self.nodes.items()],
            "edges": edges,
        }

    def draw_mermaid(self, *, with_styles: bool = True) -> str:
        """The graph in Mermaid's language, as GitHub and many editors show it.

        Args:
            with_styles: say how the first and the last node look.
        """
        lines = ["graph TD;"]
        for key, name in self.nodes.items():
            note = self.notes.get(key)
            text = f"{name}<br/>{note}" if note else name
            shape = f"([{text}])" if key in (START, END) else f'["{text}"]'
            lines.append(f"    {_plain(key)}{shape}")
        for edge in self.edges:
            arrow = "-.->" if edge.conditional else "-->"
            label = f"|{edge.label}|" if edge.label else ""
            lines.append(f"    {_plain(edge.source)} {arrow}{label} {_plain(edge.target)}")
        if with_styles:
            lines.append("    classDef virtual stroke-dasharray: 4 4")
            ends = [_plain(key) for key in (START, END) if key in self.nodes]
            if ends:
                lines.append(f"    class {','.join(ends)} virtual")
        return "\n".join(lines) + "\n"

    def draw_svg(self) -> str:
        """The graph as an SVG picture; dashed edges are those that may be taken or not.

        Example:
            >>> from taskloom.pregel import START, StateGraph
            >>> builder = StateGraph(dict[str, int])
            >>> _ = builder.add_node("work", lambda state: state)
            >>> _ = builder.add_edge(START, "work")
            >>> picture = builder.compile().get_graph().draw_svg()
            >>> assert picture.startswith("<svg") and ">work</text>" in picture
        """
        from taskloom.pregel.picture import draw_svg

        return draw_svg(self)

    def draw_dot(self) -> str:
        """The graph in Graphviz's language."""
        lines = ["digraph {", "    node [shape=box, style=rounded];"]
        for key, name in self.nodes.items():
            note = self.notes.get(key)
            lines.append(f'    "{key}" [label="{name}{chr(92) + "n" + note if note else ""}"];')
        for edge in self.edges:
            style = ["style=dashed"] if edge.conditional else []
            if edge.label:
                style.append(f'label="{edge.label}"')
            tail = f" [{', '.join(style)}]" if style else ""
            lines.append(f'    "{edge.source}" -> "{edge.target}"{tail};')
        return "\n".join([*lines, "}"]) + "\n"


def _plain(key: str) -> str:
    return re.sub(r"\W", "_", key)


def draw(graph: Pregel, *, xray: int | bool = False) -> Drawing:
    """Draw a graph; with `xray`, what is inside its subgraphs too."""
    builder = getattr(graph, "builder", None)
    drawing = _from_cells(graph) if builder is None else _from_builder(graph)  # type: ignore[arg-type]
    for where, names in (
        ("before", graph.interrupt_before_nodes),
        ("after", graph.interrupt_after_nodes),
    ):
        for name in drawing.nodes if names == "*" else names:
            if name not in (START, END):
                known = drawing.notes.get(name)
                drawing.notes[name] = f"{known}, {where}" if known else f"interrupt {where}"
    if xray:
        deeper = xray if isinstance(xray, bool) else xray - 1
        for name, subgraph in graph.get_subgraphs():
            _insert(drawing, name, draw(subgraph, xray=deeper))
    return drawing


def _from_builder(graph: CompiledStateGraph) -> Drawing:
    builder = graph.builder
    nodes = [name for name, spec in builder.nodes.items() if not spec.is_error_handler]
    edges = [DrawnEdge(start, end) for start, end in builder.edges]
    for starts, end in builder.waiting_edges:
        edges += [DrawnEdge(start, end) for start in starts]
    for start, branches in builder.branches.items():
        for branch in branches.values():
            if branch.ends is None:
                ends = {name: name for name in nodes if name != start} | {END: END}
            else:
                ends = {str(label): end for label, end in branch.ends.items()}
            edges += [
                DrawnEdge(start, end, None if label == end else label, True)
                for label, end in ends.items()
            ]
    for name, spec in builder.nodes.items():
        labels = dict(spec.ends) if isinstance(spec.ends, dict) else dict.fromkeys(spec.ends)
        edges += [DrawnEdge(name, end, label, True) for end, label in labels.items()]
        if spec.error_handler_node is not None:
            edges.append(DrawnEdge(name, spec.error_handler_node, "error", True))
    for name in nodes:
        if not any(edge.source == name and edge.label != "error" for edge in edges):
            edges.append(DrawnEdge(name, END))
    handlers = {edge.target for edge in edges if edge.label == "error"}
    drawing = Drawing({START: START})
    drawing.nodes.update({name: name for name in [*nodes, *sorted(handlers)]})
    if any(edge.target == END for edge in edges):
        drawing.nodes[END] = END
    drawing.edges = sorted(set(edges), key=lambda edge: _rank(drawing, edge))
    return drawing


def _rank(drawing: Drawing, edge: DrawnEdge) -> tuple[int, int, str]:
    order = list(drawing.nodes)
    return order.index(edge.source), order.index(edge.target), edge.label or ""


def _from_cells(graph: Pregel) -> Drawing:
    drawing = Drawing({START: START})
    inputs = graph.input_channels
    subscribers = graph.program.subscribers
    drawing.nodes.update({name: name for name in graph.nodes if name != START})
    for cell in (inputs,) if isinstance(inputs, str) else inputs:
        drawing.edges += [DrawnEdge(START, n.name) for n in subscribers.get(cell, ())]
    outputs = graph.output_channels
    shown = (outputs,) if isinstance(outputs, str) else outputs
    for name, node in graph.nodes.items():
        for writer in node.writers:
            for cell, label in writer.declared():
                for reader in subscribers.get(cell, ()):
                    branch = cell.startswith(BRANCH_TO) and label is not None
                    drawing.edges.append(DrawnEdge(name, reader.name, label, branch))
                if cell in shown:
                    drawing.nodes[END] = END
                    drawing.edges.append(DrawnEdge(name, END))
    drawing.edges = list(dict.fromkeys(drawing.edges))
    return drawing


def _insert(drawing: Drawing, name: str, inner: Drawing) -> None:
    """Put a subgraph's nodes in the place of the node that runs it."""
    if name not in drawing.nodes:
        return
    nodes: dict[str, str] = {}
    for key, shown in drawing.nodes.items():
        if key == name:
            nodes.update(
                {
                    f"{name}:{k}": f"{name}:{n}"
                    for k, n in inner.nodes.items()
                    if k not in (START, END)
                }
            )
        else:
            nodes[key] = shown
    first = [edge.target for edge in inner.edges if edge.source == START]
    last = [edge.source for edge in inner.edges if edge.target == END]
    edges = [
        DrawnEdge(f"{name}:{e.source}", f"{name}:{e.target}", e.label, e.conditional)
        for e in inner.edges
        if e.source != START and e.target != END
    ]
    for edge in drawing.edges:
        sources = [f"{name}:{key}" for key in last] if edge.source == name else [edge.source]
        targets = [f"{name}:{key}" for key in first] if edge.target == name else [edge.target]
        edges += [
            DrawnEdge(source, target, edge.label, edge.conditional)
            for source in sources
            for target in targets
        ]
    drawing.nodes = nodes
    drawing.edges = edges
    drawing.notes.update({f"{name}:{key}": note for key, note in inner.notes.items()})
