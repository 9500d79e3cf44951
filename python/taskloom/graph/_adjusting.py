"""What nodes with options or access modes call in place of their function."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any, TypeAlias

from taskloom._taskloom import Node
from taskloom.access import copying, forwarding, taking
from taskloom.graph._place import (
    DEFERRED,
    JOIN,
    forwarding_async,
    kind_of,
    runs_as_coroutine,
    submitting,
)
from taskloom.plan import Facts, check_uses
from taskloom.retry import retrying
from taskloom.task import ON_ERROR, Options

__all__ = ["Adjusted", "Stepping", "adjusted_nodes"]

#: What submits a node, of the node, what it calls, its options, and whether it is deferred anyway.
Stepping = Callable[[Node[Any], Callable[..., Any], Options, bool], Callable[..., Any]]

#: What a node calls, its policy, its kind, its priority, and the place of the argument that it
#: stands for.
Adjusted: TypeAlias = tuple[Callable[..., Any], int, int, int, int | None]


def adjusted_nodes(
    nodes: Sequence[Node[Any]],
    optioned: Mapping[int, Options],
    defaults: Options,
    facts: Facts,
    *,
    watched: Mapping[int, Any],
    stepping: Stepping | None,
) -> dict[int, Adjusted]:
    """What some nodes, given with their options, are at run time."""
    adjusted = {}
    for index, own in optioned.items():
        options = own.over(defaults)
        function = nodes[index].function
        policy = ON_ERROR.index(options.get("on_error", ON_ERROR[0]))
        retry = options.get("retry")
        asynchronous = runs_as_coroutine(function, options)
        kind = kind_of(function, options)
        deferred = kind == DEFERRED
        uses = facts.uses.get(index, ())
        if any(use.mode == "join" for use in uses):
            kind, deferred = JOIN, False
        if uses:
            # A coroutine's time may be up, but its future ends when it has ended.
            limits = ("timeout", "deadline") if asynchronous else ()
            check_uses(nodes[index], uses, options.without(*limits))
            copiers = {use.key: use.copier or deepcopy for use in uses if use.mode == "copy"}
            if copiers and options.get("place") != "process":
                function = copying(function, copiers)  # A process gets a copy anyway.
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
            forwarded = len(nodes[index].args) + [*nodes[index].kwargs].index(forwarded)
        given = options.without("after", "on_error", "estimated_duration")
        if stepping and kind != JOIN:
            function, kind = stepping(nodes[index], function, given, deferred), DEFERRED
        elif deferred:
            function = submitting(function, given, nodes[index], asynchronous, takes)
        elif takes:
            function = taking(function, len(nodes[index].args), tuple(nodes[index].kwargs))
            function = function if watch is None else watch.over_box(function)
        priority = max(-100, min(100, options.get("priority", 0)))
        adjusted[index] = function, policy, kind, priority, forwarded
    return adjusted
