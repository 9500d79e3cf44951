"""What happened before what: who submitted whom, who waited for whom, as a graph."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, final

from taskloom.observe.sketch import Arrow, Sketch, draw_sketch

if TYPE_CHECKING:
    from taskloom.observe.trace import Trace, TraceRecord

__all__ = ["Causality", "Cause"]


@final
class Cause(NamedTuple):
    """Something of `before` happened before something of `after`; both are places of records.

    `kind` is "submitted" where `before` submitted `after`, "waited" where `after` came after
    `before` or waited for it. A task that waits for what it has submitted has both.

    >>> Cause(0, 1, "submitted").kind
    'submitted'
    """

    before: int
    after: int
    kind: Literal["submitted", "waited"]


@final
class Causality:
    """The happens-before graph of a trace; made by `Executor.causality`.

    `tasks` are the records of the trace, `causes` the edges between their places.

    >>> from taskloom import Executor
    >>> def parent(executor):
    ...     return executor.submit(abs, -1).result()
    >>> with Executor(2) as executor, executor.tracing() as tracing:
    ...     executor.submit(parent, executor).result()
    1
    >>> graph = tracing.causality()
    >>> asked = [(a, b) for a, b, kind in graph.causes if kind == "submitted"]
    >>> [(graph.tasks[a].name, graph.tasks[b].name) for a, b in asked]
    [('parent', 'abs')]

    If another worker took `abs`, there is `"waited"` as well, the other way round.
    """

    def __init__(self, trace: Trace) -> None:
        self.tasks: tuple[TraceRecord, ...] = trace.records
        self.dropped = trace.dropped
        self.causes: tuple[Cause, ...] = tuple(_causes(self.tasks))

    def before(self, place: int) -> frozenset[int]:
        """Places of everything of which a part happened before a record had ended.

        >>> from taskloom.observe.trace import Trace, TraceRecord
        >>> a = TraceRecord("a", "done", 0.0, 1.0, 0.0, 0, "worker 0")
        >>> b = TraceRecord("b", "done", 1.0, 2.0, 0.0, 0, "worker 0", sources=(0,))
        >>> Causality(Trace([a, b])).before(1)
        frozenset({0})
        """
        sources: dict[int, list[int]] = {}
        for cause in self.causes:
            sources.setdefault(cause.after, []).append(cause.before)
        found: set[int] = set()
        waiting = [place]
        while waiting:
            for source in sources.get(waiting.pop(), ()):
                if source not in found:
                    found.add(source)
                    waiting.append(source)
        return frozenset(found - {place})

    def draw(self, format: Literal["svg", "dot", "mermaid"] = "svg") -> str:
        """The text of a drawing; who submitted whom is dashed. `OptionError` for other formats.

        >>> from taskloom.observe.trace import Trace
        >>> print(Causality(Trace([])).draw("dot"))
        digraph causality {
            node [shape=box]
        }
        """
        arrows = (Arrow(c.before, c.after, "", c.kind == "waited") for c in self.causes)
        names = tuple(record.name for record in self.tasks)
        return draw_sketch(Sketch("causality", names, tuple(arrows)), format)

    def to_networkx(self) -> Any:
        """A `networkx.DiGraph` of the places, with the records' fields; needs networkx.

        >>> from taskloom.observe.trace import Trace
        >>> len(Causality(Trace([])).to_networkx())  # doctest: +SKIP
        0
        """
        import networkx  # type: ignore[import-untyped]

        graph = networkx.DiGraph()
        for place, record in enumerate(self.tasks):
            graph.add_node(place, **record._asdict())
        for cause in self.causes:
            graph.add_edge(cause.before, cause.after, kind=cause.kind)
        return graph

    def _repr_svg_(self) -> str:
        return self.draw()

    def __len__(self) -> int:
        return len(self.tasks)

    def __repr__(self) -> str:
        return f"<causality of {len(self.tasks)} tasks, {len(self.causes)} causes>"


def _causes(tasks: tuple[TraceRecord, ...]) -> Iterator[Cause]:
    for place, record in enumerate(tasks):
        if record.parent is not None:
            yield Cause(record.parent, place, "submitted")
        for source in record.sources:
            yield Cause(source, place, "waited")
