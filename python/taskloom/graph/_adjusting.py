"""What nodes with options or access modes call in place of their function."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from copy import deepcopy
from types import BuiltinFunctionType, FunctionType, MethodDescriptorType, MethodType
from typing import Any, Literal, TypeAlias, cast

from taskloom._taskloom import Copies, Node, Pack, _moves_into
from taskloom.access import EXCLUSIVE, copying, forwarding, taking
from taskloom.graph._place import (
    DEFERRED,
    JOIN,
    ORDINARY,
    forwarding_async,
    kind_of,
    runs_as_coroutine,
    submitting,
)
from taskloom.plan import Facts, Usage, check_uses
from taskloom.retry import retrying
from taskloom.task import ON_ERROR, Options

__all__ = ["Adjusted", "Stepping", "adjusted_nodes"]

#: What submits a node, of the node, what it calls, its options, and whether it is deferred anyway.
Stepping = Callable[[Node[Any], Callable[..., Any], Options, bool], Callable[..., Any]]

#: How a node gets what it takes: as any other argument, right from its slot, or in a list of all.
Way = Literal["plain", "moved", "boxed"]

CONTAINERS = (list, tuple, dict, Pack)
#: What priorities beyond it count as.
MOST_URGENT = 2**31 - 1
#: Of a type: it was made at run time.
HEAP_TYPE = 1 << 9

#: What a node calls, its policy, its kind, its priority, the place of the argument that it stands
#: for, and the copies that it gets.
Adjusted: TypeAlias = tuple[Callable[..., Any], int, int, int, int | None, Copies | None]


def adjusted_nodes(
    nodes: Sequence[Node[Any]],
    optioned: Mapping[int, Options],
    defaults: Options,
    facts: Facts,
    *,
    watched: Mapping[int, Any],
    windowed: Container[int],
    stepping: Stepping | None,
) -> tuple[dict[int, Adjusted], dict[int, Way]]:
    """What some nodes, given with their options, are at run time, and how some get what they take.

    Takers that are not among the latter are given a list of their arguments.
    """
    adjusted: dict[int, Adjusted] = {}
    ways: dict[int, Way] = {}
    changed = changed_values(facts)
    for index, own in optioned.items():
        options = own.over(defaults)
        function = nodes[index].function
        policy = ON_ERROR.index(options.get("on_error", ON_ERROR[0]))
        retry = options.get("retry")
        asynchronous = runs_as_coroutine(function, options)
        kind = kind_of(function, options)
        deferred = kind == DEFERRED
        uses = facts.uses.get(index, ())
        copies = copied = None
        if any(use.mode == "join" for use in uses):
            kind, deferred = JOIN, False
        if uses:
            # A coroutine's time may be up, but its future ends when it has ended.
            limits = ("timeout", "deadline") if asynchronous else ()
            check_uses(nodes[index], uses, options.without(*limits))
            if options.get("place") != "process":  # A process gets a copy anyway.
                function, copies = with_copies(function, nodes[index], uses)
                copied = function
        if not deferred and retry is not None and retry.tries_again:
            function = retrying(function, retry)
        takes = any(use.mode == "take" for use in uses)
        watch = None if options.get("place") == "process" else watched.get(index)
        if watch is not None and (deferred or not takes):
            function = watch.over(function, asynchronous)
        forwarded = next((use.key for use in uses if use.mode == "forward"), None)
        if forwarded is not None and (deferred or stepping or takes):
            function = (forwarding_async if asynchronous else forwarding)(function, forwarded)
            forwarded = None
        elif isinstance(forwarded, str):
            forwarded = place_of(nodes[index], forwarded)
        given = options.without("after", "on_error", "estimated_duration")
        if stepping and kind != JOIN:
            function, kind = stepping(nodes[index], function, given, deferred), DEFERRED
        elif deferred:
            holds = uses_any(nodes[index], changed)
            function = submitting(function, given, nodes[index], asynchronous, takes, holds=holds)
        elif takes:
            plainly = kind == ORDINARY and watch is None and index not in windowed
            way = way_to_take(function, nodes[index]) if plainly else "boxed"
            if way == "boxed":
                function = taking(function, len(nodes[index].args), tuple(nodes[index].kwargs))
                function = function if watch is None else watch.over_box(function)
            else:
                ways[index] = way
        if function is not copied:
            copies = None  # What is around it calls it with the originals.
        adjusted[index] = function, policy, kind, urgency(options), forwarded, copies
    return adjusted, ways


def urgency(options: Options) -> int:
    """The priority of a node, within what the engine counts with."""
    priority: int = options.get("priority", 0)
    return max(-MOST_URGENT, min(MOST_URGENT, priority))


def changed_values(facts: Facts) -> set[int]:
    """The nodes whose values others change: who uses one keeps it until its thread has left.

    When the time of a node is up, its thread may still be at such a value.
    """
    uses = (use for found in facts.uses.values() for use in found if use.mode in EXCLUSIVE)
    return {use.source for use in uses if use.source is not None}


def uses_any(node: Node[Any], values: set[int]) -> bool:
    """Whether a node is given the value of one of these."""
    return bool(values) and not values.isdisjoint(parent.index for parent in node.parents)


def with_copies(
    function: Callable[..., Any], node: Node[Any], uses: Iterable[Usage]
) -> tuple[Callable[..., Any], Copies | None]:
    """A function that makes the copies that a node is to have, and the same for the engine."""
    copiers = {use.key: use.copier for use in uses if use.mode == "copy"}
    if not copiers:
        return function, None
    placed = [(place_of(node, key), copier) for key, copier in copiers.items()]
    deep = {key: copier or deepcopy for key, copier in copiers.items()}
    return copying(function, deep), Copies(function, placed)


def place_of(node: Node[Any], key: int | str) -> int:
    """The place of an argument among all of a node's, the positional ones first."""
    return key if isinstance(key, int) else len(node.args) + [*node.kwargs].index(key)


def way_to_take(function: Callable[..., Any], node: Node[Any]) -> Way:
    """How a node that is simply called gets what it takes.

    What is called in C is only lent its arguments, so for that it makes no difference.

    >>> import taskloom
    >>> from taskloom.graph._adjusting import way_to_take
    >>> way_to_take(abs, taskloom.Graph().add(abs, -1))
    'plain'
    """
    if any(isinstance(value, CONTAINERS) for value in (*node.args, *node.kwargs.values())):
        return "boxed"  # As long as a container is made for the call, it is not the only owner.
    is_builtin_type = isinstance(function, type) and not function.__flags__ & HEAP_TYPE
    if is_builtin_type or isinstance(function, (BuiltinFunctionType, MethodDescriptorType)):
        return "plain"
    called = function.__func__ if isinstance(function, MethodType) else function
    like = cast(FunctionType, place_of)
    if isinstance(called, FunctionType) and _moves_into(called, like):
        return "moved"
    return "boxed"
