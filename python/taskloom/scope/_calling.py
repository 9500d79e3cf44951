"""How a scope calls plain functions: on an executor, or as coroutines if it has no threads."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from taskloom.scope._child import Child, run_function
from taskloom.scope._frames import between
from taskloom.scope.cancellation import CancelScope

if TYPE_CHECKING:
    from taskloom.scope.options import ScopeOptions
    from taskloom.scope.scope import Scope

__all__ = ["call_plainly"]


def call_plainly(  # noqa: PLR0917 (called for each plain child)
    scope: Scope,
    child: Child,
    fn: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    options: ScopeOptions | None,
) -> None:
    """Has `fn` called as the child of a scope that has begun it."""
    host = scope._host
    if not scope._has_threads() and host is not None:

        @between
        async def call() -> Any:
            return fn(*args, **kwargs)

        host.spawn(child, call, (), {})
        return
    executor = scope._executor
    if executor is None:
        from taskloom._default import default_executor

        executor = default_executor()
    if options is not None and options._options:
        child.abandoned = options._abandon
        child.adopt(options._submit(executor, child, fn, args, kwargs))
    else:
        own = CancelScope()
        child.handle = own
        child.abandoned = options is not None and options._abandon
        # Whoever cancels the task that spawns reaches the child by its scope, which waits for it.
        submit = getattr(executor, "_submit_unlinked", executor.submit)
        submit(run_function, child, own, scope.token, partial(fn, *args, **kwargs))
    if child.abandoned:
        scope._child_over()
