"""How a node uses a value, and the values that a run is given.

Every value has users, and each use has a mode: `read` shares it, `write` changes it in place,
`forward` changes it in place and has its node stand for it from then on, `take` is the last use and
gets the last reference, `copy` gets a copy of its own. Uses are ordered as they were registered:
readers side by side, a writer after them and before the next ones, so that a parallel run gives
what a serial run in that order gives (sequential task flow, as in StarPU).
"""

from __future__ import annotations

import functools
import keyword
import threading
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from inspect import Parameter, signature
from typing import Annotated, Any, NamedTuple, TypeVar, cast, final, get_type_hints

from taskloom._taskloom import Use, _is_spawn
from taskloom.errors import GraphError

__all__ = [
    "Access",
    "Context",
    "Copy",
    "Forward",
    "Read",
    "Take",
    "Write",
    "copy",
    "forward",
    "read",
    "take",
    "write",
]

T = TypeVar("T")

#: Modes that need the value for themselves.
EXCLUSIVE = ("write", "forward", "take")


@final
class Access(NamedTuple):
    """What `Write[...]` and its like add to a type; `mode` is one of the functions' names.

    >>> from taskloom.access import Access, Write
    >>> Write[list].__metadata__
    (Access(mode='write'),)
    """

    mode: str


Read = Annotated[T, Access("read")]
Write = Annotated[T, Access("write")]
Forward = Annotated[T, Access("forward")]
Take = Annotated[T, Access("take")]
Copy = Annotated[T, Access("copy")]


def read(value: T, /) -> T:
    """An argument that the node shares with other readers, as it does without a mode.

    It overrules an annotation such as `Write[...]` for one call.

    >>> import taskloom
    >>> g = taskloom.Graph()
    >>> numbers = g.add(list, (3, 1, 2))
    >>> node = g.add(sorted, taskloom.read(numbers))
    >>> taskloom.run(g)[node]
    [1, 2, 3]
    """
    return cast(T, Use("read", value))


def write(value: T, /) -> T:
    """An argument that the node changes in place: after earlier users of it, before later ones.

    Later users depend on the writer, and are skipped if it fails. Raises `GraphError` when added
    with anything but a node of the graph.

    >>> import taskloom
    >>> g = taskloom.Graph()
    >>> numbers = g.add(list, (3, 1, 2))
    >>> first = g.add(len, numbers)
    >>> _ = g.add(list.clear, taskloom.write(numbers))
    >>> second = g.add(len, numbers)
    >>> run = taskloom.run(g)
    >>> run[first], run[second]
    (3, 0)
    """
    return cast(T, Use("write", value))


def forward(value: T, /) -> T:
    """A `write` whose node then stands for the object; what the function returns is dropped.

    >>> import taskloom
    >>> g = taskloom.Graph()
    >>> numbers = g.add(list, (3, 1, 2))
    >>> ordered = g.add(list.sort, taskloom.forward(numbers))
    >>> taskloom.run(g)[ordered]
    [1, 2, 3]
    """
    return cast(T, Use("forward", value))


def take(value: T, /) -> T:
    """An argument whose last user the node is: it runs after the others and has the last reference.

    A function written in Python thus frees the value with `del`, or when it returns. A later use
    is refused by `Graph.compile`. A node that is submitted (with a place, limits or resources) is
    the last user too, but its task holds the value until it ends.

    >>> import taskloom
    >>> g = taskloom.Graph()
    >>> parts = g.add(list, "abc")
    >>> node = g.add(",".join, taskloom.take(parts))
    >>> taskloom.run(g)[node]
    'a,b,c'
    """
    return cast(T, Use("take", value))


def copy(value: T, /, copier: Callable[[T], T] | None = None) -> T:
    """An argument of which the node gets a copy: a deep one, or what `copier(value)` returns.

    Raises `TypeError` for a copier that cannot be called.

    >>> import taskloom
    >>> g = taskloom.Graph()
    >>> numbers = g.add(list, (3, 1, 2))
    >>> node = g.add(lambda mine: mine.pop(), taskloom.copy(numbers, list))
    >>> rest = g.add(len, numbers)
    >>> run = taskloom.run(g)
    >>> run[node], run[rest]
    (2, 3)
    """
    if copier is not None and not callable(copier):
        raise TypeError(f"copy(node, copier): copier(value) makes the copy, so not {copier!r}")
    return cast(T, Use("copy", value, copier))


class Accesses(NamedTuple):
    """The modes that a function's annotations give its parameters."""

    positional: tuple[str | None, ...]
    variadic: str | None
    named: Mapping[str, str]
    keywords: str | None

    def of(self, key: int | str) -> str | None:
        if isinstance(key, int):
            return self.positional[key] if key < len(self.positional) else self.variadic
        return self.named.get(key, self.keywords)


def _mode_of(hint: Any) -> str | None:
    for extra in getattr(hint, "__metadata__", ()):
        if isinstance(extra, Access):
            return extra.mode
    return None


def _says_mode(annotation: Any) -> bool:
    if isinstance(annotation, str):
        return any(f"{mode.title()}[" in annotation for mode in ("read", "copy", *EXCLUSIVE))
    return _mode_of(annotation) is not None


def annotated_accesses(function: Callable[..., Any]) -> Accesses | None:
    """The modes in a function's annotations; None if there are none.

    >>> from taskloom.access import Write, annotated_accesses
    >>> def fill(target: Write[list], count: int) -> None: ...
    >>> annotated_accesses(fill).of(0)
    'write'
    """
    target = getattr(function, "__func__", function)
    annotations = getattr(target, "__annotations__", None)
    if not annotations or not any(map(_says_mode, annotations.values())):
        return None
    try:
        hints = get_type_hints(target, include_extras=True)
    except NameError as error:
        raise GraphError(
            f"the annotations of {target.__qualname__} cannot be resolved ({error}): import the "
            "name at the top of its module, or give the mode at the call, as write(...)"
        ) from None
    positional: list[str | None] = []
    named: dict[str, str] = {}
    variadic = keywords = None
    for name, parameter in signature(function).parameters.items():
        mode = _mode_of(hints.get(name))
        if parameter.kind is Parameter.VAR_POSITIONAL:
            variadic = mode
        elif parameter.kind is Parameter.VAR_KEYWORD:
            keywords = mode
        else:
            if parameter.kind is not Parameter.KEYWORD_ONLY:
                positional.append(mode)
            if mode is not None:
                named[name] = mode
    found = Accesses(tuple(positional), variadic, named, keywords)
    return found if any(positional) or variadic or named or keywords else None


@final
class Context:
    """Values that a run is given: by name, or by their types, each of which may stand once.

    A graph names them with `Graph.resource` and `Graph.from_context`. The run only borrows them. A
    context may serve several runs at once unless one of them writes to it.

    >>> import taskloom
    >>> g = taskloom.Graph()
    >>> buffer = g.resource("buffer")
    >>> _ = g.add(list.append, taskloom.write(buffer), 4)
    >>> size = g.add(len, buffer)
    >>> taskloom.run(g, context=taskloom.Context(buffer=[1, 2, 3]))[size]
    4
    """

    __slots__ = ("_lock", "_named", "_readers", "_typed", "_writers")

    def __init__(self, *values: object, **named: object) -> None:
        self._typed: dict[type, object] = {}
        for value in values:
            kind = type(value)
            if kind in self._typed:
                raise GraphError(
                    f"the context has two values of type {kind.__qualname__}: give them names, "
                    "as Context(first=..., second=...)"
                )
            self._typed[kind] = value
        self._named = named
        self._lock = threading.Lock()
        self._readers = self._writers = 0

    def values_for(self, keys: tuple[str | type, ...]) -> dict[str | type, object]:
        """The value for each name or type; raises `GraphError` unless they match one to one.

        >>> import taskloom
        >>> taskloom.Context(3, name="x").values_for((int, "name"))
        {<class 'int'>: 3, 'name': 'x'}
        """
        found: dict[str | type, object] = {}
        unused: list[str | type] = [*self._named, *self._typed]
        for key in keys:
            source = key if isinstance(key, str) else self._kind_for(key)
            if isinstance(source, str):
                if source not in self._named:
                    raise GraphError(self._missing(repr(source), f"Context({source}=...)"))
                found[key] = self._named[source]
            else:
                found[key] = self._typed[source]
            unused = [other for other in unused if other != source]
        if unused:
            names = ", ".join(sorted(_show(key) for key in unused))
            raise GraphError(f"the plan uses nothing of the context's {names}: leave it out")
        return found

    def _kind_for(self, wanted: type) -> type:
        if wanted in self._typed:
            return wanted
        fitting = [kind for kind in self._typed if issubclass(kind, wanted)]
        if not fitting:
            name = wanted.__qualname__
            raise GraphError(self._missing(f"a value of type {name}", f"Context({name}(...))"))
        if len(fitting) > 1:
            names = ", ".join(sorted(_show(kind) for kind in fitting))
            raise GraphError(
                f"the context has several values that are {wanted.__qualname__}: {names}; ask for "
                "one of these types, or give them names"
            )
        return fitting[0]

    def _missing(self, what: str, how: str) -> str:
        there = ", ".join(sorted([*map(_show, self._named), *map(_show, self._typed)])) or "nothing"
        return f"the plan needs {what} of its context, which has {there}: give it with {how}"

    def admit(self, writes: bool) -> None:
        """Counts a run in; raises `GraphError` if it may not go on beside those that do.

        >>> import taskloom
        >>> context = taskloom.Context()
        >>> context.admit(writes=True)
        >>> context.leave(writes=True)
        """
        with self._lock:
            if self._writers or (writes and self._readers):
                raise GraphError(
                    "the context is in use by another run, and one of the two writes to it: wait "
                    "for that run, or give this one a context of its own"
                )
            self._writers += writes
            self._readers += not writes

    def leave(self, writes: bool) -> None:
        """Counts a run out again; the other half of `admit`.

        >>> import taskloom
        >>> context = taskloom.Context()
        >>> context.admit(writes=False)
        >>> context.leave(writes=False)
        """
        with self._lock:
            self._writers -= writes
            self._readers -= not writes

    def __repr__(self) -> str:
        keys = [*map(_show, self._typed), *map(_show, self._named)]
        return f"<context of {', '.join(keys) or 'nothing'}>"


def _show(key: str | type) -> str:
    return repr(key) if isinstance(key, str) else key.__qualname__


#: The context values of the run that a node belongs to; the list is emptied when the run is over.
given: ContextVar[list[dict[str | type, Any]]] = ContextVar("taskloom context values")


@final
class Lookup:
    """What the node of a resource calls.

    >>> from taskloom.access import Lookup
    >>> Lookup("buffer").__name__
    'buffer'
    """

    __slots__ = ("__name__", "key")

    def __init__(self, key: str | type) -> None:
        self.key = key
        self.__name__ = key if isinstance(key, str) else key.__qualname__

    def __call__(self) -> Any:
        return given.get()[0][self.key]


def copying(
    function: Callable[..., Any], copiers: Mapping[int | str, Callable[[Any], Any]]
) -> Callable[..., Any]:
    """`function`, with copies of the arguments that it is to have for itself.

    >>> from taskloom.access import copying
    >>> copying(list.append, {0: list})([1], 2)
    """

    def call(*args: Any, **kwargs: Any) -> Any:
        own = [copiers[i](arg) if i in copiers else arg for i, arg in enumerate(args)]
        named = {k: copiers[k](arg) if k in copiers else arg for k, arg in kwargs.items()}
        return function(*own, **named)

    return call


def forwarding(function: Callable[..., Any], key: int | str) -> Callable[..., Any]:
    """`function`, but returning one of its arguments.

    >>> from taskloom.access import forwarding
    >>> forwarding(list.append, 0)([1], 2)
    [1, 2]
    """

    def call(*args: Any, **kwargs: Any) -> Any:
        refuse_spawn(function(*args, **kwargs))
        return args[key] if isinstance(key, int) else kwargs[key]

    return call


def refuse_spawn(value: object) -> None:
    """Raises `GraphError` if a node that forwards has spawned a graph.

    >>> from taskloom.access import refuse_spawn
    >>> refuse_spawn([1])
    """
    if _is_spawn(value):
        raise GraphError(
            "a node that forwards stands for its argument, so what it spawns could not give its "
            "value: let another node return the Spawn"
        )


@functools.cache
def _trampoline(positional: int, keywords: tuple[str, ...]) -> Callable[..., Any]:
    """Source, not `*args`: only arguments popped right into a call have no other owner."""
    pops = ["box.pop()"] * positional + [f"{name}=box.pop()" for name in keywords]
    call = f"call({', '.join(pops)}) if box else gone()"
    made: Callable[..., Any] = eval(f"lambda call, gone: lambda box: {call}", {})
    return made


def _gone() -> None:
    raise RuntimeError(
        "RetryTask was raised by a node that has taken its argument, which is gone for another "
        "attempt: give the node retry=..., and retry_safe=True if that is fine"
    )


def taking(
    function: Callable[..., Any], count: int, keywords: tuple[str, ...] = ()
) -> Callable[..., Any]:
    """`function`, called with a list of its arguments, last first, that it empties.

    >>> from taskloom.access import taking
    >>> taking(pow, 2)([5, 2])
    32
    """
    if all(name.isidentifier() and not keyword.iskeyword(name) for name in keywords):
        taking: Callable[..., Any] = _trampoline(count, keywords)(function, _gone)
        return taking

    def call(box: list[Any]) -> Any:
        if not box:
            _gone()
        args = [box.pop() for _ in range(count)]
        return function(*args, **{name: box.pop() for name in keywords})

    return call
