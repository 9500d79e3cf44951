"""Checks an edge when it is made: whether what a node returns fits the parameter that gets it.

Subtyping is beartype's (`beartype.door.is_subhint`). Reported is only what is certain: a missing
annotation, one that cannot be read, a type variable, a protocol that is not checkable at run time,
a generic class without its arguments and a hint that beartype does not know pass in silence.
"""

from __future__ import annotations

import inspect
import sys
import types
import typing
import warnings
from collections.abc import Callable
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from taskloom._taskloom import Node, Pack
from taskloom.access import Lookup
from taskloom.catch import is_catching
from taskloom.errors import GraphError

__all__ = ["CheckTypes", "EdgeTypes", "edge_types"]

CheckTypes = Literal["off", "warn", "error"]

#: Of a hint about which nothing is known.
UNKNOWN: Any = inspect.Parameter.empty

#: In which values of nodes are looked for.
CONTAINERS = (list, tuple, dict)


def edge_types(mode: CheckTypes) -> EdgeTypes:
    """The check for a graph; raises `ModuleNotFoundError` if there is no beartype to ask."""
    try:
        from beartype.door import is_subhint
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"check_types={mode!r} needs the package beartype: pip install 'taskloom[types]'",
            name=error.name,
        ) from None
    return EdgeTypes(mode, is_subhint)


class EdgeTypes:
    """Called by `Graph.add` with the function, its arguments and the options of a new node."""

    def __init__(self, mode: CheckTypes, is_subhint: Callable[[Any, Any], bool]) -> None:
        self._warns = mode == "warn"
        self._is_subhint = is_subhint
        self._signatures: dict[Any, inspect.Signature | None] = {}
        self._known: dict[tuple[Any, Any], bool] = {}

    def __call__(
        self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any] | None, name: str
    ) -> None:
        values = (*args, *(kwargs or {}).values())
        found = self._signature(function) if any(map(_holds_node, values)) else None
        if found is None:
            return
        try:
            bound = found.bind(*args, **(kwargs or {}))
        except TypeError:
            return  # `Graph.add` has words of its own for that.
        for parameter, value in bound.arguments.items():
            accepted = found.parameters[parameter]
            several: tuple[tuple[str, Any], ...] = ((parameter, value),)
            if accepted.kind is accepted.VAR_POSITIONAL:
                several = tuple((f"*{parameter}", item) for item in value)
            elif accepted.kind is accepted.VAR_KEYWORD:
                several = tuple(value.items())
            for label, item in several:
                try:
                    self._look(name, label, item, accepted.annotation)
                except RecursionError:
                    return  # A container in itself: `Graph.add` has words of its own for that too.

    def _look(self, name: str, label: str, value: Any, accepted: Any) -> None:
        """Checks a value that is a node, or the nodes in a container, each by its own edge."""
        while isinstance(value, Pack):
            value = value._content
        if isinstance(value, Node):
            self._check(name, label, value, accepted)
        elif type(value) in CONTAINERS and _holds_node(value):
            if accepted is not UNKNOWN and not self._fits(type(value), accepted):
                self._report(
                    f"node {name!r}: its argument {label!r} is to be "
                    f"{_shown(accepted)}, but it is a {type(value).__name__} of nodes' values"
                )
                return
            items = value.items() if isinstance(value, dict) else enumerate(value)
            for (key, item), hint in zip(items, _hints_inside(value, accepted), strict=True):
                self._look(name, f"{label}[{key!r}]", item, hint)

    def _check(self, name: str, parameter: str, source: Node[Any], accepted: Any) -> None:
        returned = self.returned(source)
        if returned is UNKNOWN or accepted is UNKNOWN or self._fits(returned, accepted):
            return
        self._report(
            f"node {name!r}: its argument {parameter!r} is to be {_shown(accepted)}, but node "
            f"{source.name!r}, whose value it gets, returns {_shown(returned)}"
        )

    def _report(self, message: str) -> None:
        if not self._warns:
            raise GraphError(message)
        warnings.warn(message, stacklevel=_frames_of_taskloom())

    def returned(self, node: Node[Any]) -> Any:
        """The type of a node's value, as far as annotations say it."""
        for use in node.graph._uses.get(node.index, ()):
            if use.mode == "forward":  # The node stands for the object that it was given.
                given = node.args[use.key] if isinstance(use.key, int) else node.kwargs[use.key]
                return self.returned(given)
        function = node.function
        if isinstance(function, Lookup):
            return function.key if isinstance(function.key, type) else UNKNOWN
        if isinstance(function, type):
            return function
        if is_catching(function):
            return UNKNOWN  # Its rules may give anything.
        found = self._signature(function)
        return UNKNOWN if found is None else found.return_annotation

    def _signature(self, function: Any) -> inspect.Signature | None:
        try:
            if function in self._signatures:
                return self._signatures[function]
        except TypeError:
            return _signature(function)
        found = self._signatures[function] = _signature(function)
        return found

    def _fits(self, returned: Any, accepted: Any) -> bool:
        try:
            known = self._known.get((returned, accepted))
        except TypeError:
            return self._decide(returned, accepted)
        if known is None:
            known = self._known[returned, accepted] = self._decide(returned, accepted)
        return known

    def _decide(self, returned: Any, accepted: Any) -> bool:
        """Whether a value of the one type may be given for the other, or nobody can tell."""
        try:
            if returned is accepted or _is_open(returned) or _is_open(accepted):
                return True
            returned, accepted = _plain(returned), _plain(accepted, widen=True)
            if get_origin(returned) is Union:
                # Each member by itself, so that one that nobody can tell of does not hide another.
                return all(self._decide(member, accepted) for member in get_args(returned))
            if self._is_subhint(returned, accepted):
                return True
            # `list` may be a list of anything.
            origins = [get_origin(hint) for hint in _members(accepted)]
            return not get_args(returned) and any(
                origin is not None and self._is_subhint(returned, origin) for origin in origins
            )
        except Exception:
            return True  # A hint that beartype does not know.


def _signature(function: Any) -> inspect.Signature | None:
    try:
        return inspect.signature(function, eval_str=True)
    except Exception:
        return None  # Builtins without one, and annotations that do not evaluate.


def _holds_node(value: Any) -> bool:
    """Whether a value is a node or has one inside. Containers may hold themselves."""
    pending, seen = [value], set[int]()
    while pending:
        value = pending.pop()
        if isinstance(value, (Node, Pack)):
            return True
        if type(value) in CONTAINERS and id(value) not in seen:
            seen.add(id(value))
            pending += value.values() if type(value) is dict else value
    return False


def _hints_inside(value: list[Any] | tuple[Any, ...] | dict[Any, Any], hint: Any) -> list[Any]:
    """What the hint of a container says of each of its items; `UNKNOWN` where it leaves it open."""
    unknown = [UNKNOWN] * len(value)
    try:
        if hint is UNKNOWN or _is_open(hint):
            return unknown
        fitting = [
            part
            for part in _members(_plain(hint))
            if isinstance(origin := get_origin(part) or part, type)
            and issubclass(type(value), origin)
        ]
    except Exception:
        return unknown  # As in `_decide`.
    if len(fitting) != 1:
        return unknown
    arguments = get_args(fitting[0])
    if isinstance(value, dict):
        return [arguments[1]] * len(value) if len(arguments) == 2 else unknown
    if len(arguments) == 1 or arguments[1:] == (...,):
        return [arguments[0]] * len(value)
    return list(arguments) if len(arguments) == len(value) else unknown


def _members(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) is Union else (hint,)


def _is_open(hint: Any) -> bool:
    """Whether a hint leaves something to be decided elsewhere."""
    if hint is Any or isinstance(
        hint, (str, typing.TypeVar, typing.ParamSpec, typing.ForwardRef, typing.TypeVarTuple)
    ):
        return True
    if isinstance(hint, type) and typing.is_typeddict(hint):
        return True
    if getattr(hint, "_is_protocol", False) and not getattr(hint, "_is_runtime_protocol", False):
        return True
    if get_origin(hint) is Literal:
        return False
    return any(_is_open(part) for part in _parts(hint))


def _parts(hint: Any) -> list[Any]:
    parts: list[Any] = []
    for part in get_args(hint):
        parts += part if isinstance(part, list) else [part]
    return parts


def _plain(hint: Any, *, widen: bool = False) -> Any:
    """Without annotations, one kind of union, and if `widen` with the numbers that also fit."""
    if hint is None:
        return type(None)
    if widen and hint is float:
        return Union[float, int]  # noqa: UP007 - one kind of union
    if widen and hint is complex:
        return Union[complex, float, int]  # noqa: UP007
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _plain(args[0], widen=widen)
    inner = tuple(part if isinstance(part, list) else _plain(part, widen=widen) for part in args)
    if origin in (Union, types.UnionType):
        return Union[inner]  # noqa: UP007
    if isinstance(origin, type) and args and not any(isinstance(part, list) for part in args):
        generic: Any = origin
        return generic[inner]
    return hint


def _frames_of_taskloom() -> int:
    """The `stacklevel` of who called into this package."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__name__", "").startswith("taskloom."):
        level, frame = level + 1, frame.f_back
    return level


def _shown(hint: Any) -> str:
    return hint.__qualname__ if isinstance(hint, type) and not get_args(hint) else str(hint)
