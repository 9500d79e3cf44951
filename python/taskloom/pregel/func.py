"""The functional API: a workflow is a function, its steps are functions that it calls."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, TypeVar, Unpack, get_args, get_origin, overload

from taskloom.pregel.cached import NAMESPACE, identifier
from taskloom.pregel.callee import answer_classes, callable_name, is_async
from taskloom.pregel.calls import CallNode, call
from taskloom.pregel.channels import EphemeralValue, LastValue
from taskloom.pregel.checkpoint.serde.declared import allowing
from taskloom.pregel.constants import END, PREVIOUS, START
from taskloom.pregel.generic import ContextT, OfContext
from taskloom.pregel.node import SYNC_TIMEOUT, PregelNode, as_cache_policy, as_policies
from taskloom.pregel.obsolete import OldEntrypointOptions, OldTaskOptions, renamed
from taskloom.pregel.policy import CachePolicy, RetryPolicy, TimeoutPolicy
from taskloom.pregel.pregel import Pregel
from taskloom.pregel.write import ChannelWrite, ChannelWriteEntry


class TaskFunction:
    """A function that runs as a task when it is called in an entrypoint or node; see `task`."""

    is_task_function = True

    def __init__(
        self,
        func: Callable[..., Any],
        *,
        name: str | None = None,
        retry_policy: RetryPolicy | Sequence[RetryPolicy] | None = None,
        cache_policy: CachePolicy[Any] | None = None,
        timeout: TimeoutPolicy | None = None,
    ) -> None:
        functools.update_wrapper(self, func)
        self.func = func
        self.name = name or callable_name(func) or type(func).__name__
        self.cache_policy = cache_policy
        self._node = CallNode(func, self.name, as_policies(retry_policy), cache_policy, timeout)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Start the task; returns its future."""
        return call(self._node, args, kwargs)

    def clear_cache(self, cache: Any) -> None:
        """Forget the results that `cache` has of this task."""
        if self.cache_policy is not None:
            cache.clear([(NAMESPACE, identifier(self.func))])

    async def aclear_cache(self, cache: Any) -> None:
        """As `clear_cache`."""
        if self.cache_policy is not None:
            await cache.aclear([(NAMESPACE, identifier(self.func))])


@overload
def task(func: Callable[..., Any], /) -> TaskFunction: ...


@overload
def task(
    func: None = None,
    /,
    *,
    name: str | None = None,
    retry_policy: RetryPolicy | Sequence[RetryPolicy] | None = None,
    cache_policy: CachePolicy[Any] | None = None,
    timeout: float | timedelta | TimeoutPolicy | None = None,
    **obsolete: Unpack[OldTaskOptions],
) -> Callable[[Callable[..., Any]], TaskFunction]: ...


def task(
    func: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    retry_policy: RetryPolicy | Sequence[RetryPolicy] | None = None,
    cache_policy: CachePolicy[Any] | None = None,
    timeout: float | timedelta | TimeoutPolicy | None = None,
    **obsolete: Unpack[OldTaskOptions],
) -> Any:
    """Make a function a task: called in an entrypoint or node, it runs beside it as a future.

    With a checkpointer its result is stored, and a resumed run does not run it again.

    Args:
        func: the function, when used as `@task` without arguments.
        name: its name, if not its own.
        retry_policy: how it is retried.
        cache_policy: how its result is cached.
        timeout: seconds, a timedelta or a `TimeoutPolicy` for each attempt; async only.

    Returns:
        A callable that returns a future: `.result()` in sync code, `await` in async code.

    Raises:
        ValueError: a timeout for a sync function.
        TypeError: an option is unknown, or of the wrong type.

    Example:
        >>> from taskloom.pregel import entrypoint, task
        >>> @task
        ... def square(x: int) -> int:
        ...     return x * x
        ...
        >>> @entrypoint()
        ... def sum_of_squares(numbers: list[int]) -> int:
        ...     return sum(future.result() for future in [square(n) for n in numbers])
        ...
        >>> assert sum_of_squares.invoke([1, 2, 3]) == 14
    """
    policy = TimeoutPolicy.coerce(timeout)
    if obsolete:
        retry_policy = renamed(task, obsolete, OldTaskOptions)["retry_policy"]
    as_cache_policy(cache_policy)

    def decorate(function: Callable[..., Any]) -> TaskFunction:
        if policy is not None and not is_async(function):
            shown = name or callable_name(function)
            raise ValueError(SYNC_TIMEOUT.format(kind="Task", name=shown))
        return TaskFunction(
            function,
            name=name,
            retry_policy=retry_policy,
            cache_policy=cache_policy,
            timeout=policy,
        )

    return decorate if func is None else decorate(func)


R = TypeVar("R")
S = TypeVar("S")


@typing.final
class entrypoint(OfContext[ContextT]):
    """Make a function a workflow that runs as a graph: invoked, streamed, stored, resumed.

    The function takes one input, and may take `config`, `previous` (what the thread's last run
    returned or saved), `runtime`, `writer` and `store` by name.

    Args:
        checkpointer: stores what tasks return, and what the workflow returned last.
        store: handed to nodes that ask for it.
        cache: for tasks with a cache policy.
        context_schema: the type of the `context` that a run is given.
        cache_policy: for the workflow as a whole.
        retry_policy: for the workflow as a whole.
        timeout: for each attempt of the workflow; async only.

    Example:
        >>> from taskloom.pregel import entrypoint
        >>> @entrypoint()
        ... def shout(text: str) -> str:
        ...     return text.upper()
        ...
        >>> assert shout.invoke("hello") == "HELLO"
    """

    def __init__(
        self,
        checkpointer: Any = None,
        *,
        store: Any = None,
        cache: Any = None,
        context_schema: type | None = None,
        cache_policy: CachePolicy[Any] | None = None,
        retry_policy: RetryPolicy | Sequence[RetryPolicy] | None = None,
        timeout: float | timedelta | TimeoutPolicy | None = None,
        **obsolete: Unpack[OldEntrypointOptions],
    ) -> None:
        if obsolete:
            found = renamed(entrypoint.__init__, obsolete, OldEntrypointOptions)
            context_schema = found.get("context_schema", context_schema)
            retry_policy = found.get("retry_policy", retry_policy)
        self.checkpointer = checkpointer
        self.store = store
        self.cache = cache
        self.context_schema = context_schema
        self.cache_policy = as_cache_policy(cache_policy)
        self.retry_policy = retry_policy
        self.timeout = TimeoutPolicy.coerce(timeout)

    @dataclass(kw_only=True, slots=True, frozen=True)
    class final(Generic[R, S]):
        """Returns one value from an entrypoint and saves another for its next run.

        Attributes:
            value: what the caller gets.
            save: what the next run of the thread gets as `previous`.
        """

        value: R
        save: S

    def __call__(self, func: Callable[..., Any]) -> Pregel:
        """The workflow as a graph.

        Raises:
            NotImplementedError: the function is a generator.
            ValueError: it takes no input.
            TypeError: it is annotated to return `entrypoint.final` of other than two types.
        """
        if inspect.isgeneratorfunction(func) or inspect.isasyncgenfunction(func):
            raise NotImplementedError("Generators are not supported in the Functional API.")
        signature = inspect.signature(func)
        first = next(iter(signature.parameters.values()), None)
        if first is None:
            raise ValueError("Entrypoint function must have at least one parameter")
        input_type = Any if first.annotation is inspect.Parameter.empty else first.annotation
        output_type, save_type = _returned_types(signature.return_annotation)
        declared = (input_type, output_type, save_type, *answer_classes(func))
        name = callable_name(func) or "entrypoint"
        node = PregelNode(
            bound=func,
            triggers=[START],
            channels=START,
            timeout=self.timeout,
            writers=[
                ChannelWrite(
                    [
                        ChannelWriteEntry(END, mapper=_value),
                        ChannelWriteEntry(PREVIOUS, mapper=_save),
                    ]
                )
            ],
        )
        return Pregel(
            nodes={name: node},
            channels={
                START: EphemeralValue(input_type),
                END: LastValue(output_type, END),
                PREVIOUS: LastValue(save_type, PREVIOUS),
            },
            input_channels=START,
            output_channels=END,
            stream_channels=END,
            stream_mode="updates",
            stream_eager=True,
            checkpointer=allowing(self.checkpointer, declared),
            store=self.store,
            cache=self.cache,
            cache_policy=self.cache_policy,
            retry_policy=as_policies(self.retry_policy),
            context_schema=self.context_schema,
        )


def _value(returned: Any) -> Any:
    return returned.value if isinstance(returned, entrypoint.final) else returned


def _save(returned: Any) -> Any:
    return returned.save if isinstance(returned, entrypoint.final) else returned


def _returned_types(annotation: Any) -> tuple[Any, Any]:
    if annotation in (inspect.Signature.empty, entrypoint.final):
        return Any, Any
    if get_origin(annotation) is not entrypoint.final:
        return annotation, annotation
    types = get_args(annotation)
    if len(types) != 2:
        raise TypeError(
            "Annotate both the returned and the saved value: `-> entrypoint.final[int, str]` "
            "returns an int and saves a str."
        )
    return types[0], types[1]
