"""The builder of state graphs."""

# ruff: noqa: PLC0414 (names that this module exports)
from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import Executor
from datetime import timedelta
from typing import Any, Self, Unpack, final

from taskloom.pregel.branch import Branch
from taskloom.pregel.callee import Callee, callable_name, coerce, is_runnable
from taskloom.pregel.channels import BaseChannel, LastValue
from taskloom.pregel.checkpoint.serde.declared import allowing
from taskloom.pregel.constants import END, NS_END, NS_SEP, START
from taskloom.pregel.generic import ContextT, InputT, OfGraph, OutputT, StateT
from taskloom.pregel.graph.compiled import CompiledStateGraph as CompiledStateGraph
from taskloom.pregel.graph.compiled import assemble, kept_classes
from taskloom.pregel.graph.spec import (
    Ends,
    StateNodeSpec,
    inferred_ends,
    inferred_schema,
    inferred_writes,
)
from taskloom.pregel.managed import ManagedValue, is_managed_value
from taskloom.pregel.node import as_cache_policy, as_policies
from taskloom.pregel.obsolete import OldGraphOptions, OldNodeOptions, renamed
from taskloom.pregel.place import check_options
from taskloom.pregel.policy import CachePolicy, RetryPolicy, TimeoutPolicy
from taskloom.pregel.release import Schedule
from taskloom.pregel.schema import Specs, cells_of, check_schema
from taskloom.pregel.types import All, Checkpointer

logger = logging.getLogger("taskloom.pregel")

Action = Any
Timeout = float | timedelta | TimeoutPolicy | None
Retry = RetryPolicy | Sequence[RetryPolicy] | None
DEFAULT_HANDLER = "__default_error_handler__"


def _name_of(action: Any) -> str:
    if is_runnable(action):
        get_name = getattr(action, "get_name", None)
        name = get_name() if callable(get_name) else getattr(action, "name", None)
    elif isinstance(action, Callee):
        name = action.name
    else:
        name = getattr(action, "__name__", None) or callable_name(action)
    return str(name or type(action).__name__)


@final
class StateGraph(OfGraph[StateT, ContextT, InputT, OutputT]):
    """Builds a graph whose nodes share a state.

    A node takes the state and returns an update of it, a dict with some of its keys. Each key is
    a cell: it takes one write per superstep, or, annotated with a reducer, folds in any number.

    Args:
        state_schema: a TypedDict, dataclass or pydantic model; or one annotated type.
        context_schema: the type of the `context` that a run is given.
        input_schema: what `invoke` takes, if not the whole state.
        output_schema: what `invoke` returns, if not the whole state.

    Raises:
        ValueError: a reducer does not take two arguments.

    Example:
        >>> import operator
        >>> from typing import Annotated, TypedDict
        >>> from taskloom.pregel import END, START, StateGraph
        >>> State = TypedDict("State", {"n": int, "log": Annotated[list, operator.add]})
        >>> def step(state: dict) -> dict:
        ...     return {"n": state["n"] + 1, "log": ["step"]}
        >>> builder = StateGraph(State).add_node(step).add_edge(START, "step")
        >>> _ = builder.add_conditional_edges("step", lambda s: END if s["n"] >= 3 else "step")
        >>> builder.compile().invoke({"n": 1})
        {'n': 3, 'log': ['step', 'step']}
    """

    def __init__(
        self,
        state_schema: Any,
        context_schema: type | None = None,
        *,
        input_schema: Any = None,
        output_schema: Any = None,
        **obsolete: Unpack[OldGraphOptions],
    ) -> None:
        if obsolete:
            found = renamed(StateGraph.__init__, obsolete, OldGraphOptions)
            context_schema = found.get("context_schema", context_schema)
            input_schema = found.get("input_schema", input_schema)
            output_schema = found.get("output_schema", output_schema)
        for schema in (state_schema, input_schema or state_schema, output_schema or state_schema):
            check_schema(schema)
        self.nodes: dict[str, StateNodeSpec] = {}
        self.edges: dict[tuple[str, str], None] = {}
        self.waiting_edges: dict[tuple[tuple[str, ...], str], None] = {}
        self.branches: dict[str, dict[str, Branch]] = {}
        self.schemas: dict[Any, Specs] = {}
        self.channels: dict[str, BaseChannel[Any, Any, Any]] = {}
        self.managed: dict[str, type[ManagedValue[Any]]] = {}
        self.compiled = False
        self.state_schema = state_schema
        self.input_schema = input_schema or state_schema
        self.output_schema = output_schema or state_schema
        self.context_schema = context_schema
        self._defaults: dict[str, Any] = {}
        self.add_schema(self.state_schema)
        self.add_schema(self.input_schema, managed=False)
        self.add_schema(self.output_schema, managed=False)

    def add_schema(self, schema: Any, *, managed: bool = True) -> None:
        """Add a schema's keys to the state.

        Raises:
            ValueError: a key is there already with another reducer.
        """
        if schema in self.schemas:
            return
        specs = cells_of(schema)
        provided = [key for key, spec in specs.items() if is_managed_value(spec)]
        if provided and not managed:
            raise ValueError(
                f"Invalid managed channels detected in {getattr(schema, '__name__', schema)}: "
                f"{', '.join(provided)}. "
                "Managed channels are not permitted in Input/Output schema."
            )
        self.schemas[schema] = specs
        for key, spec in specs.items():
            if isinstance(spec, BaseChannel):
                known = self.channels.setdefault(key, spec)
                if known != spec and not isinstance(spec, LastValue):
                    raise ValueError(f"Channel '{key}' already exists with a different type")
            elif self.managed.setdefault(key, spec) is not spec:
                raise ValueError(f"Managed value '{key}' already exists with a different type")

    def set_node_defaults(
        self,
        *,
        retry_policy: Retry = None,
        cache_policy: CachePolicy[Any] | None = None,
        error_handler: Action | None = None,
        timeout: Timeout = None,
    ) -> Self:
        """Set what nodes without a policy of their own get.

        Args:
            retry_policy: for every node, error handlers too.
            cache_policy: for every node but error handlers.
            error_handler: runs when a node fails that has none of its own.
            timeout: for every node, error handlers too.

        Returns:
            The builder.
        """
        given = {
            "retry_policy": None if retry_policy is None else as_policies(retry_policy),
            "cache_policy": cache_policy,
            "error_handler": error_handler,
            "timeout": TimeoutPolicy.coerce(timeout),
        }
        self._defaults.update({key: value for key, value in given.items() if value is not None})
        return self

    def add_node(
        self,
        node: Any,
        action: Action | None = None,
        *,
        defer: bool = False,
        metadata: dict[str, Any] | None = None,
        input_schema: Any = None,
        retry_policy: Retry = None,
        cache_policy: CachePolicy[Any] | None = None,
        error_handler: Action | None = None,
        destinations: Ends | None = None,
        timeout: Timeout = None,
        writes: Sequence[str] | None = None,
        priority: int | None = None,
        resources: Any = None,
        place: str | None = None,
        **obsolete: Unpack[OldNodeOptions],
    ) -> Self:
        """Add a node.

        Args:
            node: its name; or what it runs, which then also gives the name.
            action: a function of the state, sync or async, or a compiled graph. A function may
                also take, by name, `config`, `runtime`, `writer`, `store` and `previous`.
            defer: run it only when nothing else is due.
            metadata: added to the metadata of its tasks.
            input_schema: what it takes, if not what its first parameter is annotated with.
            retry_policy: one, or several: the first that matches an error counts.
            cache_policy: when its result is taken from the graph's cache.
            error_handler: a node function that runs when this one fails for good; it may take
                `error: NodeError`.
            destinations: where its commands may go, for drawing; a dict gives labels.
            timeout: seconds, a timedelta or a `TimeoutPolicy` for each attempt; async only.
            writes: the state keys that it may write, for early release; all by default, or those
                of the class that it is annotated to return.
            priority: of the nodes of a superstep, those with more are begun first.
            resources: a `taskloom.Resources` that has to fit before it starts; sync nodes only.
            place: "thread", or "process" for a worker process: a function that can be pickled,
                and that asks for nothing but the state; sync nodes only.

        Returns:
            The builder.

        Raises:
            ValueError: the name is taken or reserved, or has a reserved character.
            TypeError: an option is unknown, or of the wrong type.
        """
        if obsolete:
            found = renamed(StateGraph.add_node, obsolete, OldNodeOptions)
            input_schema = found.get("input_schema", input_schema)
            retry_policy = found.get("retry_policy", retry_policy)
        if not isinstance(defer, bool):
            raise TypeError(f"defer is True or False, not {defer!r}")
        if not isinstance(node, str):
            node, action = _name_of(node), node
        if action is None:
            raise ValueError(f"add_node({node!r}) needs what the node runs as its second argument")
        if self.compiled:
            logger.warning(
                "Adding a node to a graph that has already been compiled. This will "
                "not be reflected in the compiled graph."
            )
        if node in self.nodes:
            raise ValueError(f"Node `{node}` already present.")
        if node in (START, END):
            raise ValueError(f"Node `{node}` is reserved.")
        for character in (NS_SEP, NS_END):
            if character in node:
                raise ValueError(
                    f"'{character}' is a reserved character and is not allowed in the node names."
                )
        source = action.source if isinstance(action, Callee) else action
        schema = input_schema or inferred_schema(source)
        handler: str | None = None
        if error_handler is not None:
            handler = f"__error_handler__{node}"
            self._add_handler(handler, error_handler, schema or self.state_schema)
        self.nodes[node] = StateNodeSpec(
            coerce(action, node),
            metadata,
            schema or self.state_schema,
            retry_policy=as_policies(retry_policy),
            cache_policy=as_cache_policy(cache_policy),
            error_handler_node=handler,
            ends=inferred_ends(source) if destinations is None else destinations,
            defer=defer,
            timeout=TimeoutPolicy.coerce(timeout),
            writes=inferred_writes(source) if writes is None else tuple(writes),
            options=check_options(
                node, {"priority": priority, "resources": resources, "place": place}
            ),
        )
        if schema is not None:
            self.add_schema(schema)
        return self

    def _add_handler(self, name: str, action: Action, schema: Any) -> None:
        if name in self.nodes:
            raise ValueError(f"Auto-generated error handler node `{name}` already exists.")
        self.nodes[name] = StateNodeSpec(coerce(action, name), None, schema, is_error_handler=True)

    def add_edge(self, start_key: str | Sequence[str], end_key: str) -> Self:
        """Add an edge; from several nodes, it waits for all of them (a join).

        Args:
            start_key: the node, or nodes, that it comes from.
            end_key: the node that it goes to.

        Returns:
            The builder.

        Raises:
            ValueError: it starts at END, ends at START, or joins a node that is not there.
        """
        if self.compiled:
            logger.warning(
                "Adding an edge to a graph that has already been compiled. This will "
                "not be reflected in the compiled graph."
            )
        starts = (start_key,) if isinstance(start_key, str) else tuple(start_key)
        if END in starts:
            raise ValueError("END cannot be a start node")
        if end_key == START:
            raise ValueError("START cannot be an end node")
        if isinstance(start_key, str):
            self.edges[(start_key, end_key)] = None
            return self
        for name in (*starts, end_key):
            if name not in self.nodes and not (name == end_key == END):
                raise ValueError(f"Need to add_node `{name}` first")
        self.waiting_edges[(starts, end_key)] = None
        return self

    def add_conditional_edges(
        self,
        source: str,
        path: Callable[..., Any],
        path_map: Mapping[Hashable, str] | Sequence[str] | None = None,
    ) -> Self:
        """Add an edge that goes where a function of the state says.

        Args:
            source: the node that it comes from.
            path: returns one or several of: a node's name, END, a `Send`, a key of `path_map`.
            path_map: what `path` returns, to nodes' names. Without it, and without a `Literal`
                as return annotation, drawings show the edge going everywhere.

        Returns:
            The builder.

        Raises:
            ValueError: the node has a branch of that name already.
        """
        if self.compiled:
            logger.warning(
                "Adding an edge to a graph that has already been compiled. This will "
                "not be reflected in the compiled graph."
            )
        callee = coerce(path)
        name = callee.name or "condition"
        branches = self.branches.setdefault(source, {})
        if name in branches:
            raise ValueError(f"Branch with name `{name}` already exists for node `{source}`")
        branch = Branch(callee, path_map)
        branches[name] = branch
        if branch.input_schema is not None:
            self.add_schema(branch.input_schema)
        return self

    def add_sequence(self, nodes: Sequence[Action | tuple[str, Action]]) -> Self:
        """Add nodes that run one after the other.

        Args:
            nodes: what each runs, or pairs of name and what it runs.

        Returns:
            The builder.

        Raises:
            ValueError: there are none, or a name is there twice.
        """
        if len(nodes) < 1:
            raise ValueError("Sequence requires at least one node.")
        before: str | None = None
        for item in nodes:
            if isinstance(item, tuple) and len(item) == 2:
                name, action = item
            else:
                name, action = _name_of(item), item
            if name in self.nodes:
                raise ValueError(
                    f"Node names must be unique: node with the name '{name}' already exists. "
                    "Give nodes of the same name (for example, lambdas) as pairs (name, action)."
                )
            self.add_node(name, action)
            if before is not None:
                self.add_edge(before, name)
            before = name
        return self

    def set_entry_point(self, key: str) -> Self:
        """Begin with this node: `add_edge(START, key)`."""
        return self.add_edge(START, key)

    def set_conditional_entry_point(
        self,
        path: Callable[..., Any],
        path_map: Mapping[Hashable, str] | Sequence[str] | None = None,
    ) -> Self:
        """Begin where a function of the input says."""
        return self.add_conditional_edges(START, path, path_map)

    def set_finish_point(self, key: str) -> Self:
        """End with this node: `add_edge(key, END)`."""
        return self.add_edge(key, END)

    def validate(self, interrupt: Sequence[str] | None = None) -> Self:
        """Check that edges go from and to nodes, and that there is a way in.

        Raises:
            ValueError: not so.
        """
        pairs = [*self.edges, *((s, end) for starts, end in self.waiting_edges for s in starts)]
        sources = {start for start, _ in pairs} | set(self.branches)
        sources |= {name for name, spec in self.nodes.items() if spec.ends}
        for source in sorted(sources):
            if source not in self.nodes and source != START:
                raise ValueError(f"Found edge starting at unknown node '{source}'")
        if START not in sources:
            raise ValueError(
                "Graph must have an entrypoint: add at least one edge from START to another node"
            )
        for source, branches in self.branches.items():
            for name, branch in branches.items():
                for end in (branch.ends or {}).values():
                    if end not in self.nodes and end != END:
                        raise ValueError(
                            f"At '{source}' node, '{name}' branch found unknown target '{end}'"
                        )
        targets = {end for _, end in pairs}
        for spec in self.nodes.values():
            targets.update(spec.ends)
        for target in sorted(targets):
            if target not in self.nodes and target != END:
                raise ValueError(f"Found edge ending at unknown node `{target}`")
        for name in interrupt or ():
            if name not in self.nodes:
                raise ValueError(f"Interrupt node `{name}` not found")
        self.compiled = True
        return self

    def compile(
        self,
        checkpointer: Checkpointer = None,
        *,
        cache: Any = None,
        store: Any = None,
        interrupt_before: All | Sequence[str] | None = None,
        interrupt_after: All | Sequence[str] | None = None,
        debug: bool = False,
        name: str | None = None,
        executor: Executor | None = None,
        early_release: bool = False,
    ) -> CompiledStateGraph:
        """Make the graph that runs.

        Args:
            checkpointer: where threads are stored; for a subgraph None takes the parent's, True
                keeps a thread of its own, False keeps nothing.
            cache: for nodes with a cache policy.
            store: handed to nodes that ask for it.
            interrupt_before: nodes to stop before, or "*" for all.
            interrupt_after: nodes to stop after, or "*" for all.
            debug: print what happens.
            name: shown when the graph is a node of another.
            executor: runs nodes side by side; taskloom's default executor by default.
            early_release: start a node as soon as what it reads is settled, with the results of
                supersteps; only for graphs of static edges without a cycle, and without a
                checkpointer. Nodes say by `add_node(writes=)` what they may write.

        Returns:
            The graph.

        Raises:
            ValueError: the graph does not fit together.
            TypeError: the checkpointer cannot be one.
        """
        before, after = interrupt_before or (), interrupt_after or ()
        self.validate(
            [n for names in (before, after) if names != "*" for n in names],
        )
        self._apply_defaults()
        if early_release and (checkpointer or before or after):
            raise ValueError("early_release has no supersteps to store or to stop at")
        graph = assemble(
            self,
            checkpointer=allowing(checkpointer, kept_classes(self)),
            cache=cache,
            store=store,
            interrupt_before_nodes=before,
            interrupt_after_nodes=after,
            debug=debug,
            name=name or "LangGraph",
            executor=executor,
        )
        if early_release:
            graph.schedule = Schedule(self)
        return graph

    def _apply_defaults(self) -> None:
        given = self._defaults
        taken = self.nodes.get(DEFAULT_HANDLER)
        if "error_handler" in given and taken is not None and not taken.is_error_handler:
            raise ValueError(
                f"A node is named {DEFAULT_HANDLER!r}, which stands for the default error handler: "
                "give it another name"
            )
        if "error_handler" in given and taken is None:
            self._add_handler(DEFAULT_HANDLER, given["error_handler"], self.state_schema)
        for spec in self.nodes.values():
            spec.retry_policy = spec.retry_policy or given.get("retry_policy", ())
            spec.timeout = spec.timeout or given.get("timeout")
            if not spec.is_error_handler:
                spec.cache_policy = spec.cache_policy or given.get("cache_policy")
                if spec.error_handler_node is None and "error_handler" in given:
                    spec.error_handler_node = DEFAULT_HANDLER
