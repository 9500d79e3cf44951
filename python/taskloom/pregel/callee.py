"""How to call what a user gave as a node, a branch or a task."""

from __future__ import annotations

import asyncio
import dis
import functools
import inspect
import types
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from taskloom.pregel.missing import MISSING

if TYPE_CHECKING:
    from taskloom.pregel.tasks import Task

_EMPTY = inspect.Parameter.empty
_KINDS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)

# Parameter name -> what to pass, and what in an annotation says that it is meant.
_PROVIDED: dict[str, tuple[Callable[[Task], Any], str]] = {
    "config": (lambda task: task.config, "RunnableConfig"),
    "writer": (lambda task: task.stream_writer, "Callable"),
    "store": (lambda task: task.runtime.store, "Store"),
    "previous": (lambda task: task.runtime.previous, ""),
    "runtime": (lambda task: task.runtime, ""),
    "error": (lambda task: task.node_error, "NodeError"),
}

Injected = tuple[tuple[str, Callable[["Task"], Any]], ...]


class Callee:
    """A user's callable, examined once.

    Attributes:
        name: what to call it in messages and graphs, or None for a lambda.
        func: the sync form, or None.
        afunc: the async form, or None.
        injected: keyword parameters that the engine provides, with where they come from.
        source: what the user gave.
        subgraph: the graph that it is or calls, or None.
    """

    __slots__ = ("afunc", "func", "injected", "name", "source", "subgraph")

    def __init__(
        self,
        source: Any,
        func: Callable[..., Any] | None,
        afunc: Callable[..., Any] | None,
        name: str | None,
        injected: Injected = (),
    ) -> None:
        self.source = source
        self.func = func
        self.afunc = afunc
        self.name = name
        self.injected = injected
        self.subgraph = find_subgraph(source)

    def missing_sync(self) -> TypeError:
        """The error of calling an async callee from a sync run."""
        return TypeError(
            f'No synchronous function provided to "{self.name}". '
            "Use a sync function, or run the graph by ainvoke, astream or abatch."
        )


def is_graph(thing: Any) -> bool:
    """Whether `thing` is a compiled graph."""
    return getattr(type(thing), "is_state_graph", False) is True


def is_runnable(thing: Any) -> bool:
    """Whether `thing` is run by `invoke(input, config)`, as LangChain's runnables are."""
    return callable(getattr(type(thing), "invoke", None)) and not inspect.isclass(thing)


def callable_name(thing: Any) -> str | None:
    """The name that a callable goes by; None for a lambda."""
    name = getattr(thing, "__name__", None)
    if name is None and isinstance(thing, functools.partial):
        name = getattr(thing.func, "__name__", None)
    return None if name == "<lambda>" else name


def is_async(thing: Any) -> bool:
    """Whether calling `thing` returns an awaitable."""
    return inspect.iscoroutinefunction(thing) or (
        not inspect.isfunction(thing)
        and inspect.iscoroutinefunction(getattr(thing, "__call__", None))  # noqa: B004
    )


def _wants(parameter: inspect.Parameter, mark: str) -> bool:
    annotation = parameter.annotation
    if annotation is _EMPTY or not mark or parameter.default is _EMPTY:
        # An annotation that names something else altogether is the user's own parameter.
        return annotation is _EMPTY or not mark or mark in str(annotation) or mark == "Store"
    return mark in str(annotation)


def injected_parameters(func: Any, *, skip_first: bool = True) -> Injected:
    """The parameters of `func` that the engine provides."""
    try:
        parameters = list(inspect.signature(func).parameters.values())
    except (ValueError, TypeError):
        return ()
    found = []
    for index, parameter in enumerate(parameters):
        if parameter.kind not in _KINDS or parameter.name not in _PROVIDED:
            continue
        if index == 0 and skip_first and parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
            continue
        provide, mark = _PROVIDED[parameter.name]
        if _wants(parameter, mark):
            found.append((parameter.name, provide))
    return tuple(found)


def _collect(func: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(func)
    def collect(*args: Any, **kwargs: Any) -> Any:
        total: Any = None
        for chunk in func(*args, **kwargs):
            total = _add(total, chunk)
        return total

    return collect


def _acollect(func: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(func)
    async def collect(*args: Any, **kwargs: Any) -> Any:
        total: Any = None
        async for chunk in func(*args, **kwargs):
            total = _add(total, chunk)
        return total

    return collect


def _add(total: Any, chunk: Any) -> Any:
    if total is None:
        return chunk
    try:
        return total + chunk
    except TypeError:
        return {**total, **chunk} if isinstance(total, dict) and isinstance(chunk, dict) else chunk


def coerce(thing: Any, name: str | None = None, *, skip_first: bool = True) -> Callee:
    """Examine what a user gave as something to run.

    Args:
        thing: a function, coroutine function, callable object, compiled graph, or anything with
            `invoke(input, config)`; or a dict of these, which are given the same input.
        name: its name, if not its own.
        skip_first: its first parameter is the input, whatever it is called.

    Raises:
        TypeError: it is none of these.
    """
    if isinstance(thing, Callee):
        return thing
    if is_graph(thing):
        return Callee(thing, thing.invoke, thing.ainvoke, name or thing.name)
    if is_runnable(thing):
        get_name = getattr(thing, "get_name", None)
        own: Any = get_name() if callable(get_name) else getattr(thing, "name", None)
        with_config: Injected = (("config", _PROVIDED["config"][0]),)
        afunc = getattr(thing, "ainvoke", None)
        return Callee(thing, thing.invoke, afunc, name or own, with_config)
    if isinstance(thing, dict):
        return _of_parts({key: coerce(part) for key, part in thing.items()}, name)
    if not callable(thing):
        raise TypeError(
            f"Expected a callable or a graph. Instead got an unsupported type: {type(thing)}"
        )
    injected = injected_parameters(thing, skip_first=skip_first)
    name = name or callable_name(thing)
    if inspect.isasyncgenfunction(thing):
        return Callee(thing, None, _acollect(thing), name, injected)
    if inspect.isgeneratorfunction(thing):
        return Callee(thing, _collect(thing), None, name, injected)
    if is_async(thing):
        return Callee(thing, None, thing, name, injected)
    return Callee(thing, thing, None, name, injected)


def _of_parts(parts: dict[str, Callee], name: str | None) -> Callee:
    """What gives all `parts` the same input, side by side, and returns their values by name."""
    injected = dict(each for part in parts.values() for each in part.injected)

    def arguments(part: Callee, provided: dict[str, Any]) -> dict[str, Any]:
        return {key: provided[key] for key, _ in part.injected}

    def run(value: Any, **provided: Any) -> dict[str, Any]:
        from taskloom.pregel.executors import submit

        calls = {
            key: functools.partial(part.func, value, **arguments(part, provided))
            for key, part in parts.items()
            if part.func is not None
        }
        last = next(reversed(calls), None)
        elsewhere = {key: submit(None, call) for key, call in calls.items() if key != last}
        here = {} if last is None else {last: calls[last]()}
        return {key: elsewhere[key].result() if key in elsewhere else here[key] for key in calls}

    async def arun(value: Any, **provided: Any) -> dict[str, Any]:
        values = await asyncio.gather(
            *(
                asyncio.to_thread(_given(part.func), value, **arguments(part, provided))
                if part.afunc is None
                else part.afunc(value, **arguments(part, provided))
                for part in parts.values()
            )
        )
        return dict(zip(parts, values, strict=True))

    sync = all(part.func is not None for part in parts.values())
    return Callee(run, run if sync else None, arun, name, tuple(injected.items()))


def _given(func: Callable[..., Any] | None) -> Callable[..., Any]:
    if func is None:
        raise TypeError("a callee has a sync form, an async form or both")
    return func


def waits_in_thread(thing: Any) -> bool:
    """Whether awaiting one of LangChain's runnables runs a sync function in a thread somewhere."""
    if not type(thing).__module__.startswith("langchain_core."):
        return False
    inner = getattr(thing, "bound", None)
    if inner is not None:
        return waits_in_thread(inner)
    steps: Any = getattr(thing, "steps__", None) or getattr(thing, "steps", None)
    if steps:
        return any(
            waits_in_thread(s) for s in (steps.values() if hasattr(steps, "values") else steps)
        )
    return hasattr(thing, "func") and not hasattr(thing, "afunc")


def _attribute(held: Any, name: str) -> Any:
    """An attribute that is there without running any code of the object's class."""
    found = getattr(held, "__dict__", None)
    return found.get(name, MISSING) if isinstance(found, dict) else MISSING


def _reachable(func: Any) -> list[Any]:
    """What a function can call: what it closes over, globals that it names, their attributes."""
    func = inspect.unwrap(getattr(func, "__func__", func))
    if isinstance(func, functools.partial):
        return [func.func, *func.args]
    if not inspect.isfunction(func):
        call = getattr(type(func), "__call__", None)  # noqa: B004
        if not inspect.isfunction(call):
            return []
        return [getattr(func, name, None) for name in call.__code__.co_names]
    captured: dict[str, Any] = {}
    for name, cell in zip(func.__code__.co_freevars, func.__closure__ or (), strict=True):
        try:
            captured[name] = cell.cell_contents
        except ValueError:  # not bound yet
            continue
    values = list(captured.values())
    codes = [func.__code__]
    for code in codes:
        values += _named(code, captured, func.__globals__)
        codes += [const for const in code.co_consts if inspect.iscode(const)]
    return values


def _named(
    code: types.CodeType, captured: dict[str, Any], global_names: dict[str, Any]
) -> Iterator[Any]:
    """What a code object loads by name, and by attributes of that."""
    held: Any = MISSING
    for instruction in dis.get_instructions(code):
        name, operation = instruction.argval, instruction.opname
        if operation == "LOAD_GLOBAL":
            held = global_names.get(name, MISSING)
        elif operation == "LOAD_DEREF":
            held = captured.get(name, MISSING)
        elif operation in ("LOAD_ATTR", "LOAD_METHOD"):
            held = _attribute(held, name)
        else:
            held = MISSING
        if held is not MISSING:
            yield held


def answer_classes(source: Any) -> Iterator[type]:
    """The classes that a function names which asks for answers of a certain form, or its tasks do:
    what it names as `interrupt(..., response_schema=)` is among them."""
    found = _reachable(source) if callable(source) and not is_runnable(source) else []
    for value in found:
        if isinstance(value, type) and _asks_for_form(source):
            yield value
        elif hasattr(type(value), "is_task_function"):
            yield from answer_classes(value.func)


def _asks_for_form(source: Any) -> bool:
    func = inspect.unwrap(getattr(source, "__func__", source))
    call = func if inspect.isfunction(func) else getattr(type(func), "__call__", None)  # noqa: B004
    codes = [call.__code__] if inspect.isfunction(call) else []
    for code in codes:
        for const in code.co_consts:
            if isinstance(const, tuple) and "response_schema" in const:
                return True
            if inspect.iscode(const):
                codes.append(const)
    return False


def find_subgraph(source: Any) -> Any:
    """The compiled graph that `source` is, or that its function calls; None if there is none.

    A graph made with `checkpointer=False` keeps no state to look into, so it does not count.
    """
    candidates = [source]
    if not is_graph(source):
        if is_runnable(source):
            candidates += list(getattr(source, "steps", ()) or ())
        elif callable(source):
            candidates += [getattr(v, "__self__", v) for v in _reachable(source)]
    for candidate in candidates:
        if is_graph(candidate) and candidate.checkpointer is not False:
            return candidate
    return None
