"""What the access modes of nodes mean to their order: the compiler's half that is per graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, final

from taskloom._taskloom import Node
from taskloom.access import EXCLUSIVE
from taskloom.errors import GraphError
from taskloom.task import Options

__all__ = ["Facts", "Usage", "check_uses", "infer"]

#: Kinds of edges, as `Plan._edges` numbers them.
DEPENDENCY, ORDER, WAIT = 0, 1, 2


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
class Facts(NamedTuple):
    """What a plan knows besides its tables: for runs, dumps and drawings.

    >>> import taskloom
    >>> taskloom.Graph().compile()._facts.writes_context
    False
    """

    uses: Mapping[int, tuple[Usage, ...]]
    #: The kinds of the edges that access modes made, by (before, after).
    inferred: Mapping[tuple[int, int], int]
    #: The keys of the context values, and the indices of their nodes.
    resources: Mapping[str | type, int]
    #: Whether the plan changes a value of its context.
    writes_context: bool
    #: Who takes which value: (node, source).
    takes: tuple[tuple[int, int], ...]
    #: The nodes that stand for an object that is taken in the end.
    gone: frozenset[int]


class _Uses(NamedTuple):
    """The users of one object so far."""

    readers: list[int]
    writers: list[int]


def infer(
    nodes: Sequence[Node[Any]],
    uses: Mapping[int, tuple[Usage, ...]],
    resources: Mapping[str | type, int],
    read_sources: Callable[[], tuple[list[int], list[int]]],
) -> Facts:
    """The edges that follow from access modes; raises `GraphError` for uses that do not fit.

    Readers of an object come after its last writer and depend on it; a writer comes after all
    readers since the last writer, but a failed reader does not keep it from running.

    >>> from taskloom.plan import infer
    >>> infer((), {}, {}, lambda: ([0], [])).inferred
    {}
    """
    root, contested = _contested(uses)
    if not contested:
        return Facts(dict(uses), {}, dict(resources), False, (), frozenset())

    starts, sources = read_sources()
    so_far: dict[int, _Uses] = {thing: _Uses([], []) for thing in contested}
    stands_for = {thing: thing for thing in contested}
    taken: dict[int, int] = {}
    edges: dict[tuple[int, int], int] = {}
    takes: list[tuple[int, int]] = []
    for index in range(len(starts) - 1):
        modes: dict[int | None, str] | None = None
        touched: dict[int, tuple[int, str]] = {}
        for source in sources[starts[index] : starts[index + 1]]:
            thing = root.get(source, source)
            if thing not in contested:
                continue
            if modes is None:
                modes = {use.source: use.mode for use in uses.get(index, ())}
            mode = modes.get(source, "read")
            if thing in taken:
                raise GraphError(_after_take(nodes, index, source, mode, taken[thing]))
            if thing in touched:
                other, other_mode = touched[thing]
                if mode in EXCLUSIVE or other_mode in EXCLUSIVE:
                    raise GraphError(
                        f"node {nodes[index].name!r} is to use the same object twice, {other_mode} "
                        f"through {nodes[other].name!r} and {mode} through {nodes[source].name!r}: "
                        "pass it once, or as copy(...)"
                    )
            touched[thing] = source, mode
            known = so_far[thing]
            if known.writers:
                edges[known.writers[-1], index] = DEPENDENCY
            if mode not in EXCLUSIVE:
                known.readers.append(index)
                continue
            if stands_for[thing] != source:
                now = nodes[stands_for[thing]].name
                raise GraphError(
                    f"node {nodes[index].name!r} is to {mode} the value of {nodes[source].name!r}, "
                    f"but {now!r} stands for that object since it was forwarded to it: "
                    f"use {mode}({now})"
                )
            for reader in known.readers:
                edges.setdefault((reader, index), WAIT)
            known.readers.clear()
            known.writers.append(index)
            if mode == "forward":
                stands_for[thing] = index
            elif mode == "take":
                if thing in resources.values():
                    raise GraphError(
                        f"node {nodes[index].name!r} is to take the value of "
                        f"{nodes[thing].name!r}, which belongs to who gave the context: "
                        "use write(...) or copy(...)"
                    )
                taken[thing] = index
                takes.append((index, source))
    given = set(resources.values())
    gone = {alias for alias, thing in root.items() if thing in taken} | set(taken)
    return Facts(
        dict(uses), edges, dict(resources), bool(contested & given), tuple(takes), frozenset(gone)
    )


def _contested(uses: Mapping[int, tuple[Usage, ...]]) -> tuple[dict[int, int], set[int]]:
    """Which object forwarding nodes stand for, and the objects that somebody needs for himself."""
    root: dict[int, int] = {}
    contested: set[int] = set()
    for index, own in uses.items():
        for use in own:
            if use.mode in EXCLUSIVE and use.source is not None:
                thing = root.get(use.source, use.source)
                contested.add(thing)
                if use.mode == "forward":
                    root[index] = thing
    return root, contested


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
        if retry is not None and retry.tries_again and not options.get("retry_safe"):
            raise GraphError(
                f"{what}, which a retry would find changed: give retry_safe=True if that is "
                "fine, or use copy(...)"
            )
        if use.mode != "take" and options.get("place") == "process":
            raise GraphError(
                f"{what}, but a process gets a copy of it: return the changed value instead"
            )
        if options.get("timeout") is not None or options.get("deadline") is not None:
            raise GraphError(
                f"{what}, and has a limit of time: its thread might still be at the value when "
                "later users get it; use copy(...), or leave the limit out"
            )
