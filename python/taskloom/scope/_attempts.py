"""Coroutines of a scope that are tried again, or have a limit of time for each attempt.

Plain functions leave both to the executor. A coroutine is called by another one around it, on
whatever loop the scope is, which keeps to them by what coroutines have: awaits and cancel scopes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from taskloom import _taskloom
from taskloom.current import attempt_here, current_task
from taskloom.errors import Cancelled
from taskloom.flow import RetryTask
from taskloom.retry import Retry, next_attempt
from taskloom.scope._frames import between
from taskloom.scope._left import to_its_end
from taskloom.scope.cancellation import move_on_after

__all__ = ["FOR_COROUTINES", "attempts"]

Call = Callable[..., Any]

#: The options of `Executor.options` that coroutines of a scope have too.
FOR_COROUTINES = ("name", "retry", "retry_safe", "timeout")


@between
async def attempts(
    fn: Call,
    retry: Retry | None,
    timeout: float | None,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> Any:
    """Awaits `fn(*args, **kwargs)`, each attempt for at most `timeout` seconds.

    >>> import taskloom
    >>> from taskloom.scope._attempts import attempts
    >>> answers = [OSError(), OSError(), "done"]
    >>> async def fetch():
    ...     answer = answers.pop(0)
    ...     if isinstance(answer, OSError):
    ...         raise answer
    ...     return answer
    >>> taskloom.run_coroutine(attempts, fetch, taskloom.Retry(3), None, (), {})
    'done'
    """
    task = current_task()
    attempt = failed = 0
    last_error: BaseException | None = None
    try:
        while True:
            attempt += 1
            if task is not None:
                attempt_here.set((task._task, attempt, last_error))
            try:
                return await _once(fn, timeout, args, kwargs)
            except Cancelled:
                raise
            except BaseException as error:
                asked = isinstance(error, RetryTask)
                failed += not asked
                wait = next_attempt(retry, error, failed)
                if wait is None:
                    raise
                if not asked:
                    last_error = error
                    if retry is not None and retry.pass_error is not None:
                        kwargs = {**kwargs, retry.pass_error: error}
            await _taskloom.sleep(wait)
    finally:
        if task is not None:
            attempt_here.set(None)
        del task  # an error's traceback refers to this frame, and its future to the error


@between
async def _once(
    fn: Call, timeout: float | None, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Any:
    if timeout is None:
        return await fn(*args, **kwargs)
    with move_on_after(timeout) as limit:
        return await to_its_end(limit.token, fn, args, kwargs)
    assert limit.cancelled_caught
    raise TimeoutError(f"the task ran longer than its timeout of {timeout} s")


# Traces call such a task by what it calls.
_taskloom._know_wrapper(attempts, 0)
