"""The mutable builder of task graphs: nodes, what they read, and in which order they must run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from contextvars import Token
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, final, get_args

from taskloom import _taskloom
from taskloom._ambient import ambient
from taskloom._asynchrony import is_coroutine_function
from taskloom._taskloom import Node, Pack, Plan, Use
from taskloom.access import (
    EXCLUSIVE,
    Accesses,
    Lookup,
    annotated_accesses,
)
from taskloom.errors import GraphError, OptionError
from taskloom.graph._adjusting import Adjusted, Stepping, Way, adjusted_nodes
from taskloom.graph._arity import arity
from taskloom.graph._calibration import Measured, durations_of
from taskloom.graph._edge_types import CheckTypes, edge_types
from taskloom.graph._flow import Flows
from taskloom.graph._kin import Kin
from taskloom.graph._misuse import refuse_use_as_value
from taskloom.graph._pickling import dismantled
from taskloom.graph._place import (
    DEFERRED,
    calls_once,
    kind_of,
)
from taskloom.graph._shapes import Adder, node_of, nodes_in
from taskloom.graph.composition import Box, Composition
from taskloom.graph.patterns import Patterns
from taskloom.graph.trees import Tree, Trees, check_trees
from taskloom.graph.view import GraphView
from taskloom.plan import Facts, Settings, Usage, infer
from taskloom.task import ON_ERROR, OPTION_NAMES, Options, Task

__all__ = ["Graph"]

R = TypeVar("R")

Slots = Literal["compact", "one_to_one"]
Order = Literal["auto", "depth_first", "critical_path", "registration"]
#: What a graph as a whole can set for its nodes.
GRAPH_OPTIONS = ("on_error", "retry")

refuse_use_as_value(Node)


@final
class Graph(Kin, Patterns, Trees, Composition, Flows):
    """A task graph under construction: add nodes, then compile it to a plan or run it.

    Parameters
    ----------
    on_error
        What a failed node means to the others, unless the node says otherwise: "cancel_dependents"
        skips what depends on it, "cancel_run" starts nothing more, "continue" lets what only comes
        `after` it run.
    retry
        A `Retry`, or a number of attempts, for every node that does not say otherwise.
    check_types
        Whether each edge is checked when it is made, if both of its ends are annotated: "error"
        raises `GraphError` if what the one returns does not fit the other's parameter, "warn"
        warns, "off" looks at nothing. It needs the extra `types`, and some microseconds per node.

    Inside `with Graph() as g:`, calling a `taskloom.task` adds a node to `g` instead.

    >>> import taskloom
    >>> g = taskloom.Graph()
    >>> words = g.add(str.split, "to be or not to be")
    >>> unique = g.add(set, words)
    >>> count = g.add(len, unique)
    >>> taskloom.run(g)[count]
    4
    """

    def __init__(self, *, check_types: CheckTypes = "off", **options: Any) -> None:
        if check_types not in get_args(CheckTypes):
            raise OptionError(f"check_types={check_types!r} is none of 'off', 'warn', 'error'")
        if check_types != "off":
            self._check_with(edge_types(check_types))
        self._check_types: CheckTypes = check_types
        given = Options("Graph", **options)
        for name in given.as_dict():
            if name not in GRAPH_OPTIONS:
                raise OptionError(
                    f"Graph() does not take {name!r}, which belongs to single nodes: "
                    f"use graph.options({name}=...).add(...)"
                )
        self._defaults = given
        self._names: dict[str, Node[Any]] = {}
        self._optioned: dict[int, Options] = {}
        self._coroutines: set[int] = set()
        self._uses: dict[int, tuple[Usage, ...]] = {}
        # The nodes with uses that need more than to be ordered.
        self._wrapped: list[int] = []
        self._resources: dict[str | type, Node[Any]] = {}
        self._rootless: list[Tree] = []
        self._boxes: list[Box] = []
        #: By index, for nodes in cases of branches: the indices of the joins, and which cases.
        self._cases: dict[int, list[tuple[int, int]]] = {}
        #: The indices of nodes whose values are kept whether `compile` is told so or not.
        self._keeping: set[int] = set()
        self._tokens: list[Token[tuple[Graph, int] | None]] = []
        self._compiled: tuple[tuple[int, int], Plan] | None = None

    def options(self, **options: Any) -> GraphView:
        """A view of this graph whose `add` gives nodes these options.

        Takes name (unique in the graph), priority (of the nodes that are ready the highest goes
        first; 0 by default), estimated_duration (seconds, which decide among equal priorities: the
        longest way to the end goes first), retry, on_error, after (a list of nodes), timeout and
        deadline (seconds), resources, and place ("thread", "process", "loop" or "caller"). A node
        with one of the last four, or whose function is `async def`, is submitted to the executor
        that runs the graph, but for place="caller": such a node runs on the thread that called
        `run`, or, after `start`, on the thread that called that, when it waits for the run, as it
        must. Of such nodes the first in the plan goes first.

        Of the nodes that are added through a view with max_concurrency, at most so many run at
        once; as soon as one is done, the next that is ready may start.

        Raises `OptionError` for an unknown option or a wrong value.

        >>> import taskloom
        >>> g = taskloom.Graph()
        >>> node = g.options(name="answer", on_error="cancel_run").add(int, "42")
        >>> node.name
        'answer'
        """
        return GraphView(self, Options.EMPTY).options(**options)

    def _adder(self) -> Adder:
        return Adder(self)

    def node(self, name: str) -> Node[Any]:
        """The node that was given this name.

        Raises `KeyError`, with the nearest name that there is.

        >>> import taskloom
        >>> g = taskloom.Graph()
        >>> answer = g.options(name="answer").add(int, "42")
        >>> g.node("answer") is answer
        True
        """
        try:
            return self._names[name]
        except KeyError:
            from difflib import get_close_matches

            near = get_close_matches(name, self._names, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise KeyError(f"no node was named {name!r} with options(name=...){hint}") from None

    def resource(self, name: str) -> Node[Any]:
        """A node that stands for the value of this name in the context that a run is given.

        >>> import taskloom
        >>> g = taskloom.Graph()
        >>> size = g.add(len, g.resource("words"))
        >>> taskloom.run(g, context=taskloom.Context(words=["a", "b"]))[size]
        2
        """
        if not isinstance(name, str) or not name:
            raise TypeError(f"a resource is asked for by its name, not {name!r}")
        return self._resource(name)

    def from_context(self, kind: type[R]) -> Node[R]:
        """A node that stands for the context's value of this type, or of a subclass of it.

        >>> import taskloom
        >>> g = taskloom.Graph()
        >>> size = g.add(len, g.from_context(list))
        >>> taskloom.run(g, context=taskloom.Context(["a", "b"]))[size]
        2
        """
        if not isinstance(kind, type):
            raise TypeError(f"from_context takes a class, not {kind!r}; by name: resource(...)")
        return self._resource(kind)

    def _resource(self, key: str | type) -> Node[Any]:
        node = self._resources.get(key)
        if node is None:
            node = self._resources[key] = self.add(Lookup(key))
        return node

    def compile(
        self,
        *,
        keep: Iterable[Node[Any] | Pack] = (),
        slots: Slots = "compact",
        order: Order = "auto",
        check_aliasing: bool = False,
    ) -> Plan:
        """Checks the graph and turns it into a plan, which later additions do not change.

        Parameters
        ----------
        keep
            Nodes, groups or trees whose values a run keeps, besides those that no other node reads.
        slots
            "compact" frees every other value after its last reader; "one_to_one" keeps all.
        order
            Which of the nodes that are ready a parallel run prefers. "depth_first" goes on where
            it is, from the start of the longest path, and keeps few values alive;
            "critical_path" takes the node of the highest effective priority (`plan.dump()` shows
            them), "registration" the one that was added first. "auto" is "critical_path" if any
            node has a priority or an estimated duration, also one that was measured
            (`Plan.calibrated`), else "depth_first".
        check_aliasing
            Whether runs look at each value that a node writes to, takes or forwards, when it is
            returned, and issue an `AliasingWarning` if it is in use elsewhere, as in a global.

        Raises `CycleError` if nodes wait for each other, `GraphError` for a node of another graph
        and for uses that contradict each other, and `OptionError` for an option that does not fit.

        >>> import taskloom
        >>> g = taskloom.Graph()
        >>> half = g.add(lambda: 21)
        >>> whole = g.add(lambda x: 2 * x, half)
        >>> plan = g.compile(keep=[half])
        >>> [taskloom.run(plan)[half] for _ in range(3)]
        [21, 21, 21]
        """
        return self._compile_as(keep, slots, order, check_aliasing)

    def _compile_as(
        self,
        keep: Iterable[Node[Any] | Pack],
        slots: Slots,
        order: Order,
        check_aliasing: bool,
        *,
        stepping: Stepping | None = None,
        measured: Measured = (),
    ) -> Plan:
        """As `compile`; with `stepping`, all nodes are submitted in place of being called."""
        if slots not in ("compact", "one_to_one"):
            raise OptionError(f"slots={slots!r} is none of 'compact', 'one_to_one'")
        if order not in get_args(Order):
            raise OptionError(f"order={order!r} is none of {', '.join(map(repr, get_args(Order)))}")
        check_trees(self._rootless)
        version = self._version
        resources = {key: node.index for key, node in self._resources.items()}
        facts, inferred = infer(self, self._uses, resources, self._cases)
        kept: list[int] | None = None
        if slots == "compact":
            kept = sorted(self._keeping - facts.gone)
            for node in nodes_in(keep, "keep"):
                if node.graph is not self:
                    raise GraphError(f"keep: node {node.name!r} belongs to another graph")
                if node.index in facts.gone:
                    raise GraphError(
                        f"keep: the value of node {node.name!r} is taken in the end; let the "
                        "taker use copy(...) instead"
                    )
                kept.append(node.index)
        elif facts.gone:
            kept = [index for index in range(len(self)) if index not in facts.gone]
        policy = ON_ERROR.index(self._on_error)
        adjusted, ways = self._adjusted(facts, check_aliasing, stepping)
        moves = [
            (node, source, ways.get(node) is None)
            for node, source in (() if stepping else facts.takes)
            if ways.get(node) != "plain" and self._moves(node)
        ]
        settings = Settings(tuple(kept or ()), slots, order, version, check_aliasing, measured)
        facts = facts._replace(settings=settings)
        durations = durations_of(self._optioned, measured)
        reuses = slots == "compact"
        return self._compile(
            policy, adjusted, kept, inferred, moves, facts, durations, order, reuses
        )

    def _moves(self, index: int) -> bool:
        """Whether a node that takes a value is given its arguments by a list that it empties."""
        options = self._optioned.get(index)
        if options is None and not self._coroutines:
            return True
        options = (options or Options.EMPTY).over(self._defaults)
        deferred = kind_of(self.nodes[index].function, options) == DEFERRED
        return not deferred or calls_once(options)

    @property
    def _on_error(self) -> str:
        policy: str = self._defaults.get("on_error", ON_ERROR[0])
        return policy

    def _plan(self) -> Plan:
        """The plan with default settings, compiled anew only if the graph has grown."""
        version = self._version
        if self._compiled is None or self._compiled[0] != version:
            self._compiled = (version, self.compile())
        return self._compiled[1]

    def _options_of_adjusted(
        self, facts: Facts, watched: Iterable[int], stepping: bool
    ) -> dict[int, Options]:
        """The nodes that are more than a call of their function, with the options of their own."""
        optioned = self._optioned
        if "retry" in self._defaults or stepping:
            return {node.index: node.options or Options.EMPTY for node in self.nodes}
        more = [*watched, *(self._wrapped if facts.uses else ())]
        if self._coroutines:
            awaited = self._coroutines
            more += [node.index for node in self.nodes if id(node.function) in awaited]
        return {**dict.fromkeys(more, Options.EMPTY), **optioned} if more else optioned

    def _adjusted(
        self, facts: Facts, check_aliasing: bool, stepping: Stepping | None
    ) -> tuple[dict[int, Adjusted], dict[int, Way]]:
        watched: Mapping[int, Any] = {}
        if check_aliasing:
            from taskloom.graph._aliasing import watches

            watched = watches(self.nodes, facts)
        optioned = self._options_of_adjusted(facts, watched, stepping is not None)
        nodes = self.nodes if optioned else ()
        return adjusted_nodes(
            nodes,
            optioned,
            self._defaults,
            facts,
            watched=watched,
            windowed=self._windows[1] if facts.takes else (),
            stepping=stepping,
        )

    def _add_task(
        self, task: Task[..., R], args: tuple[Any, ...], kwargs: dict[str, Any] | None
    ) -> Node[R]:
        """Adds a node for a task that has options of its own."""
        return self._add_seen(Options.EMPTY, None, task, args, kwargs)

    def _add_seen(
        self,
        given: Options,
        window: int | None,
        function: Callable[..., R],
        args: Iterable[Any],
        kwargs: Mapping[str, Any] | None,
    ) -> Node[R]:
        """Adds a node through a view with these options and this window."""
        return self._seen(given, window).add(function, *args, **(kwargs or {}))

    def _seen(self, given: Options, window: int | None) -> GraphView:
        return GraphView(self, given, window)

    def _describe(self, task: Callable[..., Any]) -> _taskloom.Callee:
        """What `add` needs to know about a function; asked once per function."""
        function, options = task, None
        if isinstance(task, Task):
            options = task.options.without("name", "after") or None
            function = task.function
        if not callable(function):
            hint = ""
            if isinstance(task, (Plan, Graph)):
                hint = "; to add a graph or plan: subgraph(...)"
            elif isinstance(task, (Node, Pack)):
                hint = "; a node is an argument: add(function, node)"
            raise TypeError(
                f"a node needs a callable, not {function!r}: add(function, *arguments){hint}"
            )
        label = getattr(function, "__name__", None) or type(function).__name__
        if isinstance(task, Task):
            label = task.options.get("name", label)
        if is_coroutine_function(function):
            self._coroutines.add(id(function))
        accesses = annotated_accesses(function)
        return _taskloom.Callee(function, options, *arity(function), label, accesses)

    def _add_uses(
        self,
        function: Callable[..., R],
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None,
        options: Options | None,
    ) -> Node[R]:
        """Adds a node some of whose arguments have access modes."""
        accesses: Accesses | None = self._callee(function).accesses
        plain = list(args)
        named = dict(kwargs or {})
        uses: list[Usage] = []
        given: list[tuple[int | str, Any]] = [*enumerate(args), *named.items()]
        for key, value in given:
            mode = accesses.of(key) if accesses is not None else None
            copier = None
            if isinstance(value, Use):
                mode, copier = value.mode, value.copier
                if isinstance(key, int):
                    plain[key] = value.value
                else:
                    named[key] = value.value
            if mode is None or mode == "read":
                continue
            bare = value.value if isinstance(value, Use) else value
            alone = node_of(bare)
            bare = bare if alone is None else alone
            if isinstance(key, int):
                plain[key] = bare
            else:
                named[key] = bare
            if mode in EXCLUSIVE and not isinstance(bare, Node):
                if isinstance(bare, Use):
                    raise GraphError(
                        f"{mode}({bare!r}): an argument is used in one way; choose one of the two"
                    )
                if isinstance(bare, Pack):
                    raise GraphError(
                        f"{mode}({bare!r}): it stands for several values, each of which has users "
                        f"of its own; pass them one by one, as f(*map({mode}, nodes))"
                    )
                raise GraphError(
                    f"{mode}({bare!r}): a constant of the graph is the same object in every run; "
                    "add a node that makes it, or give it with a context"
                )
            uses.append(Usage(key, mode, bare.index if isinstance(bare, Node) else None, copier))
        passed = [id(value) for value in (*plain, *named.values()) if isinstance(value, Node)]
        for use in uses:
            bare = plain[use.key] if isinstance(use.key, int) else named[use.key]
            if use.mode in EXCLUSIVE and passed.count(id(bare)) > 1:
                raise GraphError(
                    f"{use.mode}({bare.name}): the same call gets the value of {bare.name!r} "
                    "by another argument too; pass it once, or as copy(...)"
                )
        if sum(use.mode == "forward" for use in uses) > 1:
            raise GraphError("a node stands for one object: only one argument can be forward(...)")
        node: Node[R] = self._add_plain(function, tuple(plain), named, options)
        if uses:
            self._set_uses(node.index, tuple(uses))
        return node

    def _put_into_case(self, members: Iterable[Node[Any]], join: Node[Any], case: int) -> None:
        """Notes that nodes run in one case only of the branch that ends in `join`."""
        for node in members:
            self._cases.setdefault(node.index, []).append((join.index, case))

    def _set_uses(self, index: int, uses: tuple[Usage, ...]) -> None:
        """Notes how a node uses its arguments, once for each node, and tells the engine."""
        self._uses[index] = uses
        for use in uses:
            if use.source is not None:
                self._note_use(index, use.source, use.mode)
        if any(use.mode != "write" for use in uses):
            self._wrapped.append(index)

    def _check(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        """Raises `GraphError` unless the arguments fit the function."""
        from inspect import signature

        try:
            found = signature(function)
        except (TypeError, ValueError):
            return
        try:
            found.bind(*args, **kwargs)
        except TypeError as error:
            name = f"{getattr(function, '__name__', type(function).__name__)}#{len(self)}"
            text = f"node {name!r}: {error}; {name.partition('#')[0]}{found}"
            meant = [key for key in kwargs if key in OPTION_NAMES and key not in found.parameters]
            if meant:
                given = ", ".join(f"{key}={kwargs[key]!r}" for key in meant)
                text += f"; if an option of the node is meant: g.options({given}).add(...)"
            raise GraphError(text) from None

    def __reduce__(self) -> tuple[Any, ...]:
        return dismantled(self)

    def __enter__(self) -> Self:
        self._tokens.append(ambient.set((self, threading.get_ident())))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        ambient.reset(self._tokens.pop())

    def __repr__(self) -> str:
        return f"<graph of {len(self)} nodes>"
