"""Graphs as pictures: which edges there are, and nodes and edges as Mermaid, dot, SVG or JSON."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from taskloom.pregel.constants import BRANCH_TO, END, START

if TYPE_CHECKING:
    from taskloom.pregel.graph.compiled import CompiledStateGraph
    from taskloom.pregel.pregel import Pregel

_INTERRUPT = "__interrupt"  # in a node's metadata: the run stops before it, after it, or both
_ROUNDS = 250  # supersteps that are looked at; a graph that goes round does not end


class DrawnEdge(NamedTuple):
    """An edge of a drawing.

    Attributes:
        source: the node that it comes from.
        target: the node that it goes to.
        data: what is written on it, or None.
        conditional: it may be taken or not.
    """

    source: str
    target: str
    data: str | None = None
    conditional: bool = False


@dataclass(frozen=True, slots=True)
class DrawnNode:
    """A node of a drawing.

    Attributes:
        id: names it in the drawing: within a subgraph, with the names of the nodes around it.
        name: its own name.
        data: what it runs, or None.
        metadata: what was said about it, or None.
    """

    id: str
    name: str
    data: Any = None
    metadata: dict[str, Any] | None = None

    @property
    def kind(self) -> str | None:
        """The class of what it runs, with its module; None for the end, which runs nothing."""
        if self.data is None:
            return None
        return f"{type(self.data).__module__}.{type(self.data).__qualname__}"

    @property
    def note(self) -> str:
        """Where the run stops at this node: "interrupt before", for one; or nothing."""
        stops = (self.metadata or {}).get(_INTERRUPT)
        return f"interrupt {stops.replace(',', ', ')}" if stops else ""


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

    nodes: dict[str, DrawnNode] = field(default_factory=dict)
    edges: list[DrawnEdge] = field(default_factory=list)

    def add_node(self, id: str, data: Any = None, metadata: dict[str, Any] | None = None) -> None:
        """Add a node."""
        self.nodes[id] = DrawnNode(id, id, data, metadata or None)

    def add_edge(self, edge: DrawnEdge) -> None:
        """Add an edge, unless there is one from the same node to the same."""
        if any(known[:2] == edge[:2] for known in self.edges):
            return
        if edge.target == END and END not in self.nodes:
            self.add_node(END)
        if edge.data == edge.target:
            edge = edge._replace(data=None)
        self.edges.append(edge)

    def first_node(self) -> DrawnNode | None:
        """The node that no edge leads to, if there is exactly one."""
        return self._alone({edge.target for edge in self.edges})

    def last_node(self) -> DrawnNode | None:
        """The node that no edge comes from, if there is exactly one."""
        return self._alone({edge.source for edge in self.edges})

    def _alone(self, others: set[str]) -> DrawnNode | None:
        found = [node for id, node in self.nodes.items() if id not in others]
        return found[0] if len(found) == 1 else None

    def trimmed(self) -> Drawing:
        """The drawing without its first and its last node, as far as others can stand for them."""
        drawing = self
        for end in (Drawing.first_node, Drawing.last_node):
            node = end(drawing)
            if node is None:
                continue
            rest = Drawing(
                {key: other for key, other in drawing.nodes.items() if key != node.id},
                [edge for edge in drawing.edges if node.id not in edge[:2]],
            )
            if end(rest) is not None and len(drawing.edges) - len(rest.edges) == 1:
                drawing = rest
        return drawing

    def to_json(self) -> dict[str, Any]:
        """Nodes and edges as plain data."""
        nodes: list[dict[str, Any]] = []
        for key, node in self.nodes.items():
            shown: dict[str, Any] = {"id": key}
            if node.kind is not None:
                shown |= {"type": "runnable", "data": {"id": node.kind.split("."), "name": key}}
            if node.metadata:
                shown["metadata"] = node.metadata
            nodes.append(shown)
        edges = []
        for edge in self.edges:
            line: dict[str, Any] = {"source": edge.source, "target": edge.target}
            if edge.data is not None:
                line["data"] = edge.data
            if edge.conditional:
                line["conditional"] = True
            edges.append(line)
        return {"nodes": nodes, "edges": edges}

    def draw_mermaid(
        self, *, with_styles: bool = True, curve_style: Any = "linear", wrap_label_n_words: int = 9
    ) -> str:
        """The graph in Mermaid's language, as GitHub and many editors show it.

        Args:
            with_styles: say how nodes and edges look, and what is known about the nodes.
            curve_style: how edges bend: one of Mermaid's names.
            wrap_label_n_words: break the text on an edge after so many words.
        """
        from taskloom.pregel.mermaid import draw_mermaid

        curve = str(getattr(curve_style, "value", curve_style))
        return draw_mermaid(self, curve if with_styles else None, wrap_label_n_words)

    def draw_mermaid_png(self, **options: Any) -> bytes:
        """The graph as PNG, by LangChain, which asks a web service; see `draw_svg`.

        Raises:
            ModuleNotFoundError: LangChain is not installed.
        """
        drawn: bytes = self.as_langchain().draw_mermaid_png(**options)
        return drawn

    def draw_ascii(self) -> str:
        """The graph as text, by LangChain.

        Raises:
            ModuleNotFoundError: LangChain is not installed.
        """
        drawn: str = self.as_langchain().draw_ascii()
        return drawn

    def print_ascii(self) -> None:
        """Print the graph as text; see `draw_ascii`."""
        print(self.draw_ascii())

    def as_langchain(self) -> Any:
        """The same as LangChain's `Graph`.

        Raises:
            ModuleNotFoundError: LangChain is not installed.
        """
        kind = importlib.import_module("langchain_core.runnables.graph")
        nodes = {
            key: kind.Node(key, node.name, None, node.metadata) for key, node in self.nodes.items()
        }
        return kind.Graph(nodes, [kind.Edge(*edge) for edge in self.edges])

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
        for key, node in self.nodes.items():
            below = f"\\n{node.note}" if node.note else ""
            lines.append(f'    "{key}" [label="{key}{below}"];')
        for edge in self.edges:
            style = ["style=dashed"] if edge.conditional else []
            if edge.data:
                style.append(f'label="{edge.data}"')
            tail = f" [{', '.join(style)}]" if style else ""
            lines.append(f'    "{edge.source}" -> "{edge.target}"{tail};')
        return "\n".join([*lines, "}"]) + "\n"


def draw(graph: Pregel, *, xray: int | bool = False) -> Drawing:
    """Draw a graph; with `xray`, what is inside its subgraphs too."""
    builder = getattr(graph, "builder", None)
    found = _of_cells(graph) if builder is None else _Walk(_Ways(graph)).walk()  # type: ignore[arg-type]
    drawing = Drawing()
    if START not in graph.nodes:
        drawing.add_node(START)
    for name, node in graph.nodes.items():
        metadata = dict(node.metadata or {})
        if builder is not None and name in builder.nodes and builder.nodes[name].defer:
            metadata["defer"] = True
        stops = [
            where
            for where, names in (
                ("before", graph.interrupt_before_nodes),
                ("after", graph.interrupt_after_nodes),
            )
            if name != START and (names == "*" or name in names)
        ]
        if stops:
            metadata[_INTERRUPT] = ",".join(stops)
        drawing.add_node(name, node if node.bound is None else node.bound.source, metadata)
    edges = sorted(found, key=lambda edge: (*edge[:2], edge.conditional, edge.data or ""))
    for edge in edges:
        drawing.add_edge(edge)
    sources = {edge.source for edge in edges}
    for name in sorted({edge.target for edge in edges} - sources - {END}):
        drawing.add_edge(DrawnEdge(name, END))
    if xray:
        deeper = xray if isinstance(xray, bool) else xray - 1
        for name, subgraph in graph.get_subgraphs():
            _insert(drawing, name, draw(subgraph, xray=deeper))
    return drawing


class _Ways:
    """Where each node of a state graph leads to: always, maybe, or together with others."""

    def __init__(self, graph: CompiledStateGraph) -> None:
        builder = graph.builder
        self.always: dict[str, list[str]] = {}
        self.maybe: dict[str, list[DrawnEdge]] = {}
        self.joins = [(set(starts), end) for starts, end in builder.waiting_edges if end != END]
        self.deferred = {name for name, spec in builder.nodes.items() if spec.defer}
        for start, end in builder.edges:
            if end != END:
                self.always.setdefault(start, []).append(end)
        for start, branches in builder.branches.items():
            for branch in branches.values():
                if branch.ends is None:
                    plain = [n for n, spec in builder.nodes.items() if not spec.is_error_handler]
                    ends: Any = {name: name for name in (*plain, END) if name != start}
                else:
                    ends = branch.ends
                self._may(start, ((str(label), end) for label, end in ends.items()))
        for name, spec in builder.nodes.items():
            labels = spec.ends if isinstance(spec.ends, dict) else dict.fromkeys(spec.ends)
            self._may(name, ((label, end) for end, label in labels.items()))
            if spec.error_handler_node is not None:
                self._may(name, [("error", spec.error_handler_node)])

    def _may(self, start: str, ends: Iterable[tuple[str | None, str]]) -> None:
        edges = self.maybe.setdefault(start, [])
        edges += [DrawnEdge(start, end, label, True) for label, end in ends]


class _Walk:
    """A run that takes every edge: one that may be taken once, one that is always taken always.

    A node that runs only when all else has ended is drawn after whatever ran last, too.
    """

    def __init__(self, ways: _Ways) -> None:
        self.ways = ways
        self.edges: set[DrawnEdge] = set()
        self.tried: set[str] = set()
        self.arrived: list[set[str]] = [set() for _ in ways.joins]
        self.waiting: dict[str, set[DrawnEdge]] = {}
        self.following: dict[str, None] = {}

    def walk(self) -> set[DrawnEdge]:
        """The edges."""
        due, last = [START], [START]
        for _ in range(_ROUNDS):
            if not due:
                break
            last, due = due, self._step(due) or self._rest(due)
        sources = {edge.source for edge in self.edges}
        if len(last) == 1 and sources and all(edge.target in sources for edge in self.edges):
            self.edges.add(DrawnEdge(last[0], END, None, True))
        return self.edges

    def _step(self, due: Sequence[str]) -> list[str]:
        self.following = {}
        for name in due:
            for end in self.ways.always.get(name, ()):
                self._take(DrawnEdge(name, end))
            if name not in self.tried:
                self.tried.add(name)
                for edge in self.ways.maybe.get(name, ()):
                    self._take(edge)
        for arrived, (starts, end) in zip(self.arrived, self.ways.joins, strict=True):
            arrived.update(starts.intersection(due))
            if arrived == starts:
                arrived.clear()
                for start in starts:
                    self._take(DrawnEdge(start, end))
        return list(self.following)

    def _take(self, edge: DrawnEdge) -> None:
        if edge.target in self.ways.deferred:
            self.waiting.setdefault(edge.target, set()).add(edge)
            return
        self.edges.add(edge)
        if edge.target != END:
            self.following[edge.target] = None

    def _rest(self, last: Sequence[str]) -> list[str]:
        waiting, self.waiting = self.waiting, {}
        for name, found in waiting.items():
            self.edges |= found
            if not any(edge.source in last for edge in found):
                self.edges |= {DrawnEdge(source, name, None, True) for source in last}
        return list(waiting)


def _of_cells(graph: Pregel) -> set[DrawnEdge]:
    edges: set[DrawnEdge] = set()
    inputs = graph.input_channels
    subscribers = graph.program.subscribers
    for cell in (inputs,) if isinstance(inputs, str) else inputs:
        edges |= {DrawnEdge(START, node.name) for node in subscribers.get(cell, ())}
    outputs = graph.output_channels
    shown = (outputs,) if isinstance(outputs, str) else outputs
    for name, node in graph.nodes.items():
        for writer in node.writers:
            for cell, label in writer.declared():
                branch = cell.startswith(BRANCH_TO) and label is not None
                for reader in subscribers.get(cell, ()):
                    edges.add(DrawnEdge(name, reader.name, label, branch))
                if cell in shown:
                    edges.add(DrawnEdge(name, END))
    return edges


def _insert(drawing: Drawing, name: str, inner: Drawing) -> None:
    """Put a subgraph's nodes in the place of the node that runs it."""
    first, last = inner.first_node(), inner.last_node()
    if name not in drawing.nodes or len(inner.nodes) < 2 or first is None or last is None:
        return
    inner = inner.trimmed()
    first, last = inner.first_node(), inner.last_node()
    del drawing.nodes[name]
    for key, node in inner.nodes.items():
        drawing.nodes[f"{name}:{key}"] = replace(node, id=f"{name}:{key}")
    within = [
        edge._replace(source=f"{name}:{edge.source}", target=f"{name}:{edge.target}")
        for edge in inner.edges
    ]
    drawing.edges = [
        edge._replace(
            source=f"{name}:{last.id}" if last and edge.source == name else edge.source,
            target=f"{name}:{first.id}" if first and edge.target == name else edge.target,
        )
        for edge in drawing.edges
    ] + within
