"""Vertex programs in plain Python: one call of `compute` for each vertex that is due.

For graphs up to some hundred thousand edges, vertices of any hashable kind and values of any type;
`vector` is the form for millions of edges.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, final

from taskloom._taskloom import checkpoint_if_cancelled
from taskloom.pregel.vertex.fold import Fold, function_of, identity_of

if TYPE_CHECKING:
    from taskloom.pregel.vertex.saved import Saved, State

    Save = Callable[[tuple[int, int]], Saved]

Adjacency: TypeAlias = Mapping[Any, Iterable[Any]]
"""For each vertex its edges: an iterable of targets, or a mapping from targets to weights."""


class Edge(NamedTuple):
    """An edge out of a vertex."""

    target: Any
    weight: float = 1.0


class SuperstepLimitError(RuntimeError):
    """A program was still at work after the superstep it was to end by.

    Args:
        limit: the superstep.
        active: how many vertices were to take part in the next one.
    """

    def __init__(self, limit: int, active: int) -> None:
        super().__init__(
            f"after {limit} supersteps {active} vertices are still active or have messages: does "
            "every vertex vote to halt once nothing changes? If it only needs longer, give a "
            "greater max_supersteps"
        )


@final
@dataclass(frozen=True, slots=True)
class VertexResult:
    """What a vertex program came to.

    Example:
        >>> from taskloom.pregel.vertex import VertexProgram, run
        >>> class Greet(VertexProgram):
        ...     def compute(self, vertex, messages):
        ...         if vertex.superstep == 0:
        ...             vertex.send_to_all("hello")
        ...         vertex.vote_to_halt()
        >>> result = run(Greet(), {"a": ["b", "c"]})
        >>> result.supersteps, result.messages
        (2, 2)
    """

    values: Any
    """The value of each vertex: a dict by vertex, or an array for a vector program."""
    supersteps: int
    """How many supersteps ran."""
    messages: int
    """How many messages were sent along edges, before they were combined."""
    aggregated: dict[str, Any] = field(default_factory=dict)
    """The totals of the last superstep."""


@final
class Vertex:
    """One vertex, as `compute` sees it. Made by the engine.

    Example:
        >>> from taskloom.pregel.vertex import VertexProgram, run
        >>> class Degree(VertexProgram):
        ...     def compute(self, vertex, messages):
        ...         vertex.value = len(vertex.edges)
        ...         vertex.vote_to_halt()
        >>> run(Degree(), {"a": ["b", "c"]}).values
        {'a': 2, 'b': 0, 'c': 0}
    """

    __slots__ = ("_engine", "_halted", "edges", "id", "index", "value")

    id: Any
    """The vertex, as the edges name it."""
    index: int
    """Its number, counting from zero in the order in which the edges name vertices."""
    value: Any
    """Its value; set it to change it."""
    edges: list[Edge]
    """Its outgoing edges."""

    def __init__(self, engine: _Engine, id: Any, index: int) -> None:
        self._engine = engine
        self._halted = False
        self.id = id
        self.index = index
        self.value = None
        self.edges = []

    @property
    def superstep(self) -> int:
        """The present superstep, counting from zero."""
        return self._engine.superstep

    @property
    def vertex_count(self) -> int:
        """How many vertices the graph has."""
        return len(self._engine.vertices)

    def send(self, target: Any, message: Any) -> None:
        """Send a message, to arrive in the next superstep.

        Args:
            target: any vertex of the graph, along an edge or not.
            message: anything.
        """
        self._engine.send(target, message)

    def send_to_all(self, message: Any) -> None:
        """Send one message along every outgoing edge."""
        send = self._engine.send
        for edge in self.edges:
            send(edge.target, message)

    def vote_to_halt(self) -> None:
        """Sleep until a message comes."""
        self._halted = True

    def aggregate(self, name: str, value: Any) -> None:
        """Contribute to a total that every vertex can see in the next superstep."""
        self._engine.aggregate(name, value)

    def aggregated(self, name: str) -> Any:
        """Return a total of the superstep before."""
        return self._engine.total(name)


class VertexProgram:
    """What every vertex does in a superstep. Derive from it and define `compute`.

    Class attributes:
        combiner: folds the messages to one vertex into one: "sum", "min", "max", "any", "all", or
            a function of two messages; `None` to get them all.
        aggregators: for each total its fold.

    Example:
        >>> from taskloom.pregel.vertex import VertexProgram, run
        >>> class Largest(VertexProgram):
        ...     combiner = "max"
        ...     def initial(self, vertex):
        ...         return vertex.id
        ...     def compute(self, vertex, messages):
        ...         largest = max([vertex.value, *messages])
        ...         if vertex.superstep == 0 or largest > vertex.value:
        ...             vertex.value = largest
        ...             vertex.send_to_all(largest)
        ...         vertex.vote_to_halt()
        >>> run(Largest(), {1: [2], 2: [1, 7], 7: [1]}).values
        {1: 7, 2: 7, 7: 7}
    """

    combiner: Fold | None = None
    aggregators: Mapping[str, Fold] = {}

    def initial(self, vertex: Vertex) -> Any:
        """Return the value that a vertex starts with: `None` unless overridden."""
        return None

    def compute(self, vertex: Vertex, messages: list[Any]) -> None:
        """Do one vertex's part of a superstep.

        Args:
            vertex: the vertex, to change its value, send messages and vote to halt.
            messages: what was sent to it in the superstep before; with a combiner, one at most.
        """
        raise NotImplementedError


class _Engine:
    """One run of a vertex program."""

    def __init__(
        self, program: VertexProgram, edges: Adjacency | Iterable[Any], vertices: Iterable[Any]
    ) -> None:
        self.program = program
        self.superstep = 0
        self.vertices: dict[Any, Vertex] = {}
        self.sent = 0
        self._inbox: dict[Any, Any] = {}
        self._combine: Callable[[Any, Any], Any] | None = (
            None if program.combiner is None else function_of(program.combiner)
        )
        self._folds = {name: function_of(fold) for name, fold in program.aggregators.items()}
        self._totals = {name: identity_of(fold) for name, fold in program.aggregators.items()}
        self._seen: dict[str, Any] = dict(self._totals)
        self._given: set[str] = set()
        for id in vertices:
            self._vertex(id)
        self._connect(edges)

    def _vertex(self, id: Any) -> Vertex:
        vertex = self.vertices.get(id)
        if vertex is None:
            vertex = self.vertices[id] = Vertex(self, id, len(self.vertices))
        return vertex

    def _connect(self, edges: Adjacency | Iterable[Any]) -> None:
        if isinstance(edges, Mapping):
            for source, targets in edges.items():
                out = self._vertex(source).edges
                weighted = targets.items() if isinstance(targets, Mapping) else None
                out += [Edge(*pair) for pair in weighted] if weighted else map(Edge, targets)
                for edge in out:
                    self._vertex(edge.target)
            return
        for pair in edges:
            source, target, *weight = pair
            self._vertex(source).edges.append(Edge(target, *weight))
            self._vertex(target)

    def send(self, target: Hashable, message: Any) -> None:
        if target not in self.vertices:
            raise KeyError(f"a message was sent to {target!r}, which is no vertex of the graph")
        self.sent += 1
        inbox = self._inbox
        if self._combine is None:
            if target in inbox:
                inbox[target].append(message)
            else:
                inbox[target] = [message]
        elif target in inbox:
            inbox[target] = self._combine(inbox[target], message)
        else:
            inbox[target] = message

    def aggregate(self, name: str, value: Any) -> None:
        self._known(name)
        if name in self._given:
            value = self._folds[name](self._totals[name], value)
        self._given.add(name)
        self._totals[name] = value

    def total(self, name: str) -> Any:
        self._known(name)
        return self._seen[name]

    def _known(self, name: str) -> None:
        if name not in self._folds:
            known = ", ".join(map(repr, self._folds)) or "none"
            raise KeyError(f"the program has no aggregator {name!r}; it has {known}")

    def _state(self, due: list[Vertex]) -> State:
        """All that the next superstep depends on; vertices by their numbers."""
        vertices = self.vertices
        return {
            "superstep": self.superstep,
            "sent": self.sent,
            "values": [vertex.value for vertex in vertices.values()],
            "halted": [vertex.index for vertex in vertices.values() if vertex._halted],
            "inbox": [(vertices[id].index, message) for id, message in self._inbox.items()],
            "due": [vertex.index for vertex in due],
            "seen": self._seen,
        }

    def _take_up(self, state: State) -> list[Vertex]:
        vertices = list(self.vertices.values())
        self.superstep, self.sent = state["superstep"], state["sent"]
        for vertex, value in zip(vertices, state["values"], strict=True):
            vertex.value = value
        for index in state["halted"]:
            vertices[index]._halted = True
        self._inbox = {vertices[index].id: message for index, message in state["inbox"]}
        self._seen = dict(state["seen"])
        return [vertices[index] for index in state["due"]]

    def run(self, limit: int, saved: Saved | None = None) -> VertexResult:
        program = self.program
        vertices = self.vertices
        if saved is not None and saved.state is not None:
            due = self._take_up(saved.state)
        else:
            for vertex in vertices.values():
                vertex.value = program.initial(vertex)
            due = list(vertices.values())
        combined = self._combine is not None
        while due:
            if self.superstep == limit:
                raise SuperstepLimitError(limit, len(due))
            checkpoint_if_cancelled()
            inbox, self._inbox = self._inbox, {}
            for vertex in due:
                messages = inbox.get(vertex.id, _NONE)
                vertex._halted = False
                if messages is _NONE:
                    program.compute(vertex, [])
                else:
                    program.compute(vertex, [messages] if combined else messages)
            self.superstep += 1
            self._seen = self._totals
            self._totals = {name: identity_of(fold) for name, fold in program.aggregators.items()}
            self._given.clear()
            awake = {vertex.id for vertex in due if not vertex._halted}
            awake.update(self._inbox)
            due = sorted((vertices[id] for id in awake), key=_by_index)
            if saved is not None:
                saved.step(self.superstep, not due, partial(self._state, due))
        return VertexResult(
            values={id: vertex.value for id, vertex in vertices.items()},
            supersteps=self.superstep,
            messages=self.sent,
            aggregated=self._seen,
        )


_NONE: Any = object()


def _by_index(vertex: Vertex) -> int:
    return vertex.index


def run_vertices(
    program: VertexProgram,
    edges: Adjacency | Iterable[Any],
    *,
    max_supersteps: int,
    vertices: Iterable[Any] = (),
    save: Save | None = None,
) -> VertexResult:
    """Run a vertex program over an adjacency or over `(source, target[, weight])` tuples."""
    engine = _Engine(program, edges, vertices)
    saved = None
    if save is not None:
        edge_count = sum(len(vertex.edges) for vertex in engine.vertices.values())
        saved = save((len(engine.vertices), edge_count))
    return engine.run(max_supersteps, saved)
