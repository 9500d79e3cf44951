"""What access modes mean to a plan: the engine infers the edges, here are the words for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, final

from taskloom._taskloom import GraphBuilder, Inferred, Node
from taskloom.access import EXCLUSIVE
from taskloom.errors import GraphError
from taskloom.task import Options

__all__ = ["Facts", "Settings", "Usage", "check_uses", "infer"]


@final
class Usage(NamedTuple):
    """How a node uses one argument: `key` is its position or keyword, `source` its node, if any.

    >>> from taskloom.plan import Usage
    >>> Usage(0, "write", 3).mode
    'write'
    """

    key: int | str
    mode: str
    source: int | None
    copier: Callable[[Any], Any] | None = None


@final
class Settings(NamedTuple):
    """How a plan was compiled, and from which version of its graph: what compiles it again.

    >>> import taskloom
    >>> taskloom.Graph().compile()._facts.settings.slots
    'compact'
    """

    keep: tuple[int, ...] = ()
    slots: Literal["compact", "one_to_one"] = "compact"
    order: Literal["auto", "depth_first", "critical_path", "registration"] = "auto"
    version: tuple[int, int] = (0, 0)
    check_aliasing: bool = False
    #: Seconds that nodes took in earlier runs, by their indices.
    measured: tuple[tuple[int, float], ...] = ()


@final
class Facts(NamedTuple):
    """What a plan knows besides its tables: for runs, dumps and drawings.

    >>> import taskloom
    >>> taskloom.Graph().compile()._facts.writes_context
    False
    """

    uses: Mapping[int, tuple[Usage, ...]]
    #: The keys of the context values, and the indices of their nodes.
    resources: Mapping[str | type, int]
    #: Whether the plan changes a value of its context.
    writes_context: bool
    #: Who takes which value: (node, source).
    takes: tuple[tuple[int, int], ...]
    #: The nodes that stand for an object that is taken in the end.
    gone: frozenset[int]
    settings: Settings = Settings()


def infer(
    graph: GraphBuilder,
    uses: Mapping[int, tuple[Usage, ...]],
    resources: Mapping[str | type, int],
    cases: Mapping[int, list[tuple[int, int]]],
) -> tuple[Facts, Inferred]:
    """What follows from access modes; raises `GraphError` for uses that do not fit.

    Readers of an object come after its last writer and depend on it; a writer comes after all
    readers since the last writer, but a failed reader does not keep it from running. `cases` says
    by index which nodes run in which cases of branches only: in one case an object may be taken
    that another case still uses.

    >>> import taskloom
    >>> from taskloom.plan import infer
    >>> infer(taskloom.Graph(), {}, {}, {})[0].takes
    ()
    """
    given = list(resources.values())
    found = graph._infer(given, dict(cases))
    if isinstance(found, tuple):
        raise GraphError(_conflict(graph.nodes, uses, found))
    writes_context = not set(given).isdisjoint(found.contested)
    facts = Facts(
        dict(uses), dict(resources), writes_context, tuple(found.takes), frozenset(found.gone)
    )
    return facts, found


def _conflict(
    nodes: Sequence[Node[Any]],
    uses: Mapping[int, tuple[Usage, ...]],
    found: tuple[str, int, int, int],
) -> str:
    """The words for what the engine found wrong with a node's use of a source."""
    what, node, source, other = found

    def mode_of(source: int) -> str:
        return next((use.mode for use in uses.get(node, ()) if use.source == source), "read")

    name, value, mode = nodes[node].name, nodes[source].name, mode_of(source)
    if what == "after take":
        return _after_take(nodes, node, source, mode, other)
    if what == "twice":
        return (
            f"node {name!r} is to use the same object twice, {mode_of(other)} through "
            f"{nodes[other].name!r} and {mode} through {value!r}: pass it once, or as copy(...)"
        )
    if what == "superseded":
        now = nodes[other].name
        return (
            f"node {name!r} is to {mode} the value of {value!r}, but {now!r} stands for that "
            f"object since it was forwarded to it: use {mode}({now})"
        )
    return (
        f"node {name!r} is to take the value of {value!r}, which belongs to who gave the context: "
        "use write(...) or copy(...)"
    )


def _after_take(nodes: Sequence[Node[Any]], index: int, source: int, mode: str, taker: int) -> str:
    late, value, first = nodes[index].name, nodes[source].name, nodes[taker].name
    if mode == "take":
        return (
            f"nodes {first!r} and {late!r} both take the value of {value!r}: only the last user "
            f"can, so let {first!r} use copy(...)"
        )
    return (
        f"node {late!r} is to {mode} the value of {value!r} after {first!r} has taken it: "
        f"add {late!r} before {first!r}, or let {first!r} use copy(...)"
    )


def check_uses(node: Node[Any], uses: tuple[Usage, ...], options: Options) -> None:
    """Raises `GraphError` where a node's options and its uses do not go together.

    >>> import taskloom
    >>> from taskloom.plan import check_uses
    >>> from taskloom.task import Options
    >>> check_uses(taskloom.Graph().add(int), (), Options())
    """
    retry = options.get("retry")
    for use in uses:
        if use.mode not in EXCLUSIVE:
            continue
        does = {"take": "takes"}.get(use.mode, "writes to")
        what = f"node {node.name!r} {does} its argument {use.key!r}"
        if use.source is not None:
            what += f", the value of {node.graph.nodes[use.source].name!r}"
        if retry is not None and retry.tries_again and not options.get("retry_safe"):
            finds = "would not find any more" if use.mode == "take" else "would find changed"
            raise GraphError(
                f"{what}, which a retry {finds}: give retry_safe=True if that is fine, or use "
                "copy(...)"
            )
        if use.mode != "take" and options.get("place") == "process":
            raise GraphError(
                f"{what}, but a process gets a copy of it: return the changed value instead"
            )
        limited = options.get("timeout") is not None or options.get("deadline") is not None
        if limited and retry is not None and retry.tries_again:
            raise GraphError(
                f"{what}, and is tried again when its time is up: the thread of the attempt before "
                "might still be at the value; use copy(...), or leave the limit or the retry out"
            )
