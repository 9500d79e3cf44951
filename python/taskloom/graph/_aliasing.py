"""Whether what a node returned is in use elsewhere, although another node changes or takes it.

Access modes order the uses of a node's value. They know nothing of other ways to the same object: a
global, a cache, an input that is returned as it came. So, where a node's value has an exclusive
use, the references to what its function returns are counted. Beyond those of the call itself,
which are learned from a call that returns a fresh object, and those of the object to itself, by
way of its own parts, there should be none.
"""

from __future__ import annotations

import enum
import functools
import gc
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from sys import getrefcount
from types import BuiltinFunctionType, CellType, FrameType, FunctionType, ModuleType
from typing import Any, NamedTuple, final

from taskloom._taskloom import Node
from taskloom.access import EXCLUSIVE
from taskloom.errors import AliasingWarning
from taskloom.plan import Facts, Usage

__all__ = ["Watch", "watches"]

#: What has no state that anybody could change. Tuples and frozensets are looked into.
ATOMIC = (
    *(type(None), bool, int, float, complex, str, bytes, range, type(...), type(NotImplemented)),
    *(type, FunctionType, BuiltinFunctionType, ModuleType, enum.Enum),
)

#: What is said of a node that uses a value in a mode.
DOES = {"write": "writes to it", "forward": "changes and forwards it", "take": "takes it"}

#: How many of an object's parts are looked at for references back to it.
PARTS = 100_000

#: The arguments of a call.
Noted = Sequence[tuple[int | str, Any]]
Note = Callable[[tuple[Any, ...], dict[str, Any]], Noted]
Look = Callable[[Any, int, Noted], None]


def watches(nodes: Sequence[Node[Any]], facts: Facts) -> dict[int, Watch]:
    """For each node whose value has an exclusive use, what looks at that value.

    Values of the context are left out, for they belong to who gave it. What a node forwards was
    looked at when its first node returned it, and the value of a branch when its case did.

    >>> import taskloom
    >>> from taskloom.graph._aliasing import watches
    >>> g = taskloom.Graph()
    >>> _ = g.add(list.clear, taskloom.write(g.add(list, "ab")))
    >>> list(watches(g.nodes, g.compile()._facts))
    [0]
    """
    found: dict[int, Watch] = {}
    ruled_out = set(facts.resources.values())
    for user, uses in facts.uses.items():
        for use in uses:
            if use.mode not in EXCLUSIVE or use.source is None:
                continue
            pending = [use.source]
            while pending:
                index = pending.pop()
                own = facts.uses.get(index, ())
                modes = {use.mode for use in own}
                if "join" in modes:
                    pending += [use.source for use in own if use.source is not None]
                elif "forward" not in modes and index not in ruled_out:
                    found.setdefault(index, Watch(nodes[index], own, nodes[user].name, use.mode))
    return found


@final
class Watch(NamedTuple):
    """Looks at what a node returns, on behalf of the first that has it for itself."""

    node: Node[Any]
    uses: tuple[Usage, ...]
    user: str
    mode: str

    def over(self, function: Callable[..., Any], asynchronous: bool) -> Callable[..., Any]:
        """`function`, warning where what it returns is in use elsewhere.

        >>> import taskloom
        >>> from taskloom.graph._aliasing import Watch
        >>> node = taskloom.Graph().add(list, "ab")
        >>> Watch(node, (), "clear#1", "write").over(list, False)("ab")
        ['a', 'b']
        """

        def note(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Noted:
            return [*enumerate(args), *kwargs.items()]

        counting = _counting_async if asynchronous else _counting
        return counting(function, note, functools.partial(self._look, asynchronous))

    def over_box(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same for a function whose arguments come in a list, last first, that it empties."""
        keys: list[int | str] = [*range(len(self.node.args)), *self.node.kwargs]
        taken = {use.key for use in self.uses if use.mode == "take"}

        def note(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Noted:
            given = zip(keys, reversed(args[0]), strict=True)
            return [(key, value) for key, value in given if key not in taken]

        return _counting(function, note, functools.partial(self._look, False))

    def _look(self, asynchronous: bool, value: Any, count: int, given: Noted) -> None:
        if _cannot_change(value) or type(value).__module__ == "taskloom.spawn":
            return
        own = {use.key: use.mode for use in self.uses}
        name, user = self.node.name, self.user
        for key, argument in given:
            mode = own.get(key, "read")
            if argument is value and mode == "take":
                return  # It was handed on, and looked at when it was made.
            if argument is value and mode != "copy":
                source = self.node.args[key] if isinstance(key, int) else self.node.kwargs[key]
                given_by = f", the value of {source.name!r}" if isinstance(source, Node) else ""
                only = "" if mode == "write" else ", which it only reads"
                forward = f" or use forward({source.name})" if given_by else ""
                self._warn(
                    f"node {name!r} returned its argument {key!r}{given_by}{only}, and node "
                    f"{user!r} {DOES[self.mode]}: let {user!r} use copy({name}), or let {name!r} "
                    f"return a fresh object{forward}"
                )
                return
        more = count - _count_of_fresh(asynchronous)
        if more > 0 and more > _references_of_parts(value):
            self._warn(
                f"node {name!r} returned an object of type {type(value).__qualname__!r} that is "
                f"still in use elsewhere ({_holders(value)}), and node {user!r} "
                f"{DOES[self.mode]}: let {user!r} use copy({name}), or let {name!r} return a "
                "fresh object"
            )

    @staticmethod
    def _warn(message: str) -> None:
        warnings.warn(message, AliasingWarning, stacklevel=2)


def _counting(function: Callable[..., Any], note: Note, look: Look) -> Callable[..., Any]:
    """`function`, with a look at each value that it returns and the references to it."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        noted = note(args, kwargs)
        value = function(*args, **kwargs)
        look(value, getrefcount(value), noted)
        return value

    return call


def _counting_async(function: Callable[..., Any], note: Note, look: Look) -> Callable[..., Any]:
    @functools.wraps(function)
    async def call(*args: Any, **kwargs: Any) -> Any:
        noted = note(args, kwargs)
        value = function(*args, **kwargs)
        if hasattr(value, "__await__"):
            value = await value
        look(value, getrefcount(value), noted)
        return value

    return call


@functools.cache
def _count_of_fresh(asynchronous: bool) -> int:
    """How many references the look sees to an object that nobody else has."""
    counts: list[int] = []

    def look(value: Any, count: int, given: Noted) -> None:
        counts.append(count)

    async def fresh() -> Any:
        return [1]

    if asynchronous:
        coroutine = _counting_async(fresh, lambda args, kwargs: (), look)()
        try:
            coroutine.send(None)
        except StopIteration:
            coroutine.close()
    else:
        _counting(lambda: [1], lambda args, kwargs: (), look)()
    return counts[0]


def _cannot_change(value: Any) -> bool:
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, (tuple, frozenset)):
            pending.extend(item)
        elif not isinstance(item, ATOMIC):
            return False
    return True


def _references_of_parts(value: Any) -> int:
    """How many references to an object come from what it consists of, as from child to parent."""
    seen = {id(value)}
    pending = [value]
    found = 0
    while pending and len(seen) < PARTS:
        for part in gc.get_referents(pending.pop()):
            found += part is value
            if id(part) in seen or isinstance(part, (type, ModuleType)) or _is_globals(part):
                continue
            seen.add(id(part))
            pending.append(part)
    return found


def _is_globals(value: Any) -> bool:
    return type(value) is dict and "__builtins__" in value


def _holders(value: Any) -> str:
    """What kinds of objects the garbage collector knows to refer to this one."""
    kinds = {kind for holder in gc.get_referrers(value) if (kind := _kind_of(holder))}
    return f"in {', '.join(sorted(kinds))}" if kinds else "by who does not show"


def _kind_of(holder: Any) -> str:
    """What to call who refers to a value; nothing for the looking itself."""
    if isinstance(holder, FrameType):
        mine = holder.f_code.co_filename == __file__
        return "" if mine else f"a call of {holder.f_code.co_name}"
    if isinstance(holder, CellType):
        return "a closure"
    if _is_globals(holder):
        return f"the globals of {holder.get('__name__', 'a module')}"
    if type(holder) is dict:
        owner = _owner_of(holder, gc.get_referrers(holder))
        return "a dict" if owner is None else f"an instance of {owner.__qualname__}"
    if isinstance(holder, (list, tuple, set, frozenset)):
        return f"a {type(holder).__qualname__}"
    return f"an instance of {type(holder).__qualname__}"


def _owner_of(attributes: Mapping[str, Any], candidates: Iterable[Any]) -> type | None:
    """The class of the instance that has these attributes, if they are an instance's."""
    for candidate in candidates:
        if isinstance(candidate, (dict, list, tuple, FrameType, CellType)):
            continue
        try:
            own = object.__getattribute__(candidate, "__dict__")
        except AttributeError:
            continue
        if own is attributes:
            return type(candidate)
    return None
