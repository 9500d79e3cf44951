"""The mutable builder of task graphs: nodes, what they read, and in which order they must run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from contextvars import Token
from types import FunctionType, MethodType, TracebackType
from typing import Any, Literal, Self, TypeVar, final

from taskloom import _taskloom
from taskloom._ambient import ambient
from taskloom._taskloom import Node, Plan
from taskloom.errors import GraphError, OptionError
from taskloom.retry import retrying
from taskloom.task import ON_ERROR, Options, Task

__all__ = ["Graph", "GraphView"]

R = TypeVar("R")

Slots = Literal["compact", "one_to_one"]

UNLIMITED = 2**31
VARIADIC, KEYWORD_VARIADIC = 0x04, 0x08
#: Options that take a node out of the run's own loop: it is submitted to the executor with them.
DEFERRING = ("timeout", "deadline", "resources")
#: What a graph as a whole can set for its nodes.
GRAPH_OPTIONS = ("on_error", "retry")


def _arity(function: Callable[..., Any]) -> tuple[int, int]:
    """The least and the most positional arguments that a call without keywords takes."""
    if isinstance(function, MethodType) and isinstance(function.__func__, FunctionType):
        low, high = _arity(function.__func__)
        return max(low - 1, 0), high if high == UNLIMITED else high - 1
    if isinstance(function, FunctionType):
        code = function.__code__
        given = function.__kwdefaults__ or {}
        names = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
        if any(name not in given for name in names):
            return 1, 0  # Nothing fits without keywords: `_check` finds the words for it.
        low = code.co_argcount - len(function.__defaults__ or ())
        return low, UNLIMITED if code.co_flags & VARIADIC else code.co_argcount
    from inspect import Parameter, signature

    try:
        parameters = signature(function).parameters.values()
    except (TypeError, ValueError):
        return 0, UNLIMITED  # Builtins without a signature tell when they are called.
    low = high = 0
    for parameter in parameters:
        if parameter.kind is Parameter.VAR_POSITIONAL:
            high = UNLIMITED
        elif parameter.kind in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD):
            high += 1
            low += parameter.default is Parameter.empty
        elif parameter.kind is Parameter.KEYWORD_ONLY and parameter.default is Parameter.empty:
            return 1, 0
    return low, high


@final
class Graph(_taskloom.GraphBuilder):
    """A task graph under construction: add nodes, then compile it to a plan or run it.

    Parameters
    ----------
    on_error
        What a failed node means to the others, unless the node says otherwise: "cancel_dependents"
        skips what depends on it, "cancel_run" starts nothing more, "continue" lets what only comes
        `after` it run.
    retry
        A `Retry`, or a number of attempts, for every node that does not say otherwise.

    Inside `with Graph() as g:`, calling a `taskloom.task` adds a node to `g` instead.

    >>> import taskloom
    >>> g = taskloom.Graph()
    >>> words = g.add(str.split, "to be or not to be")
    >>> unique = g.add(set, words)
    >>> count = g.add(len, unique)
    >>> taskloom.run(g)[count]
    4
    """

    def __init__(self, **options: Any) -> None:
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
        self._tokens: list[Token[tuple[Graph, int] | None]] = []
        self._compiled: tuple[tuple[int, int], Plan] | None = None

    def options(self, **options: Any) -> GraphView:
        """A view of this graph whose `add` gives nodes these options.

        Takes name (unique in the graph), priority (of the nodes that are ready the highest goes
        first; 0 by default), retry, on_error, after (a list of nodes), timeout and deadline
        (seconds), resources, and place ("thread" or "process"). A node with one of the last four
        is submitted to the executor that runs the graph.

        Raises `OptionError` for an unknown option or a wrong value.

        >>> import taskloom
        >>> g = taskloom.Graph()
        >>> node = g.options(name="answer", on_error="cancel_run").add(int, "42")
        >>> node.name
        'answer'
        """
        return GraphView(self, Options("Graph.options", **options))

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

    def compile(self, *, keep: Iterable[Node[Any]] = (), slots: Slots = "compact") -> Plan:
        """Checks the graph and turns it into a plan, which later additions do not change.

        Parameters
        ----------
        keep
            Nodes whose values a run keeps, besides those that no other node reads.
        slots
            "compact" frees every other value after its last reader; "one_to_one" keeps all.

        Raises `CycleError` if nodes wait for each other, `GraphError` for a node of another graph
        and `OptionError` for an option that does not fit.

        >>> import taskloom
        >>> g = taskloom.Graph()
        >>> half = g.add(lambda: 21)
        >>> whole = g.add(lambda x: 2 * x, half)
        >>> plan = g.compile(keep=[half])
        >>> [taskloom.run(plan)[half] for _ in range(3)]
        [21, 21, 21]
        """
        if slots not in ("compact", "one_to_one"):
            raise OptionError(f"slots={slots!r} is none of 'compact', 'one_to_one'")
        kept: list[int] | None = None
        if slots == "compact":
            kept = []
            for node in keep:
                if not isinstance(node, Node):
                    raise TypeError(f"keep takes nodes of this graph, not {node!r}")
                if node.graph is not self:
                    raise GraphError(f"keep: node {node.name!r} belongs to another graph")
                kept.append(node.index)
        return self._compile(ON_ERROR.index(self._on_error), self._adjusted(), kept)

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

    def _adjusted(self) -> dict[int, tuple[Callable[..., Any], int, bool, int]]:
        """What nodes with options call in place of their function, their policy, whether that
        returns a future, and their priority."""
        optioned = self._optioned
        if "retry" in self._defaults:
            optioned = {node.index: node.options or Options.EMPTY for node in self.nodes}
        nodes = self.nodes if optioned else ()
        adjusted = {}
        for index, own in optioned.items():
            options = own.over(self._defaults)
            function = nodes[index].function
            policy = ON_ERROR.index(options.get("on_error", ON_ERROR[0]))
            retry = options.get("retry")
            deferred = _is_deferred(options)
            if deferred:
                function = submitting(function, options.without("name", "after", "on_error"))
            elif retry is not None and retry.attempts > 1:
                function = retrying(function, retry)
            priority = max(-100, min(100, options.get("priority", 0)))
            adjusted[index] = function, policy, deferred, priority
        return adjusted

    def _add_task(
        self, task: Task[..., R], args: tuple[Any, ...], kwargs: dict[str, Any] | None
    ) -> Node[R]:
        """Adds a node for a task that has options of its own."""
        return GraphView(self, Options.EMPTY).add(task, *args, **(kwargs or {}))

    def _describe(self, task: Callable[..., Any]) -> _taskloom.Callee:
        """What `add` needs to know about a function; asked once per function."""
        function, options = task, None
        if isinstance(task, Task):
            options = task.options.without("name", "after") or None
            function = task.function
        if not callable(function):
            raise TypeError(f"a node needs a callable, not {function!r}")
        label = getattr(function, "__name__", None) or type(function).__name__
        if isinstance(task, Task):
            label = task.options.get("name", label)
        return _taskloom.Callee(function, options, *_arity(function), label)

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
            raise GraphError(f"node {name!r}: {error}; {name.partition('#')[0]}{found}") from None

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


@final
class GraphView:
    """A graph seen through options: what is added here gets them. Made by `Graph.options`.

    >>> import taskloom
    >>> g = taskloom.Graph()
    >>> careful = g.options(retry=3)
    >>> careful.options(name="fetch").add(int, "1").options
    Options(name='fetch', retry=Retry(3, delay=0, backoff=2, on=(Exception)))
    """

    __slots__ = ("_given", "_graph")

    def __init__(self, graph: Graph, given: Options) -> None:
        self._graph = graph
        self._given = given

    def options(self, **options: Any) -> GraphView:
        """A view with these options laid over the present ones.

        >>> import taskloom
        >>> view = taskloom.Graph().options(retry=3).options(on_error="continue")
        """
        return GraphView(self._graph, Options("Graph.options", **options).over(self._given))

    def add(self, function: Callable[..., R], /, *args: Any, **kwargs: Any) -> Node[R]:
        """As `Graph.add`, with the view's options for the node.

        >>> import taskloom
        >>> g = taskloom.Graph()
        >>> g.options(name="seven").add(int, "7")
        <node seven>
        """
        graph, given = self._graph, self._given
        name = given.get("name")
        if name is not None and name in graph._names:
            raise GraphError(
                f"the graph has a node named {name!r} already ({graph._names[name].function!r}); "
                "names are unique within a graph"
            )
        options = given.over(graph._callee(function).options)
        _check_place(options)
        node: Node[R] = graph._add(function, args, kwargs, options)
        graph._optioned[node.index] = options
        if name is not None:
            graph._names[name] = node
        if "after" in given:
            node.after(*given.get("after"))
        return node


def _check_place(options: Options) -> None:
    place = options.get("place", "thread")
    if place not in ("thread", "process"):
        raise OptionError(
            f"place={place!r} is not available for nodes of a graph yet: "
            "they run with place='thread' or place='process'"
        )


def _is_deferred(options: Options) -> bool:
    return options.get("place") == "process" or any(
        options.get(name) is not None for name in DEFERRING
    )


def submitting(function: Callable[..., Any], options: Options) -> Callable[..., Any]:
    """What a deferred node calls: submits `function` to the executor, which comes first.

    >>> import taskloom
    >>> from taskloom.graph import Options, submitting
    >>> with taskloom.Executor(1) as executor:
    ...     submitting(pow, Options(timeout=5))(executor, 2, 5).result()
    32
    """
    given = options.as_dict()

    def submit(executor: Any, /, *args: Any, **kwargs: Any) -> Any:
        return executor.options(**given).submit(function, *args, **kwargs)

    return submit
