"""A scope seen through options: how its children are started."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, final, overload

from taskloom._taskloom import Future
from taskloom.errors import OptionError
from taskloom.scope._child import Child, in_scope
from taskloom.scope._children import Host, TaskloomHost

if TYPE_CHECKING:
    from taskloom.scope.scope import Scope

__all__ = ["ScopeOptions"]

P = ParamSpec("P")
R = TypeVar("R")
Call = Callable[..., Any]


@final
class ScopeOptions:
    """A view of a scope whose children have options; `Scope.options` gives it.

    >>> import taskloom
    >>> with taskloom.Scope() as scope:
    ...     view = scope.options(abandon=False)
    ...     future = view.spawn(abs, -1)
    >>> future.result()
    1
    """

    __slots__ = ("_abandon", "_migrate", "_options", "_scope")

    def __init__(
        self, scope: Scope, *, abandon: bool = False, migrate: bool = False, **options: Any
    ) -> None:
        if options:
            from taskloom.task import Options

            # Wrong names and values are told here, not at the first spawn.
            Options("options", **options)
        self._scope = scope
        self._abandon = abandon
        self._migrate = migrate
        self._options = options

    def _spawn_coroutine(
        self, host: Host, child: Child, fn: Call, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        """Starts a coroutine function on a scope's host, or as these options have it."""
        if self._migrate and isinstance(host, TaskloomHost):
            host = TaskloomHost(host.home.migrating())
        if not self._options:
            host.spawn(child, fn, args, kwargs)
            return
        from taskloom.scope._attempts import FOR_COROUTINES, attempts
        from taskloom.task import Options

        refused = [name for name in self._options if name not in FOR_COROUTINES]
        if refused:
            raise OptionError(
                f"{', '.join(refused)}: for plain functions only; coroutines take "
                f"{', '.join(FOR_COROUTINES)}, and other limits by fail_after and the like"
            )
        options = Options("options", **self._options)
        call = (fn, options.get("retry"), options.get("timeout"), args, kwargs)
        host.spawn(child, attempts, call, {})

    def _submit(
        self,
        executor: Executor,
        child: Child,
        fn: Call,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Future[Any]:
        view = getattr(executor, "options", None)
        if view is None:
            raise OptionError(f"{type(executor).__name__} takes no options: use taskloom.Executor")
        submit = view(**self._options).submit
        if self._options.get("place") == "process":
            future: Future[Any] = submit(fn, *args, **kwargs)
        else:
            future = submit(in_scope, child, fn, *args, **kwargs)
        return future

    @overload
    def spawn(
        self, fn: Callable[P, Coroutine[Any, Any, R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[R]: ...
    @overload
    def spawn(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]: ...
    def spawn(self, fn: Call, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """As `Scope.spawn`, with this view's options.

        >>> import taskloom
        >>> with taskloom.Scope() as scope:
        ...     future = scope.options().spawn(abs, -1)
        >>> future.result()
        1
        """
        return self._scope._spawn(fn, args, kwargs, self)
