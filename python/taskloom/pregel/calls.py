"""Tasks called from tasks (the functional API): each is a future, stored when it is done."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable, Sequence
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from taskloom.pregel.cached import amatch_cached, match_cached
from taskloom.pregel.callee import Callee, injected_parameters, is_async
from taskloom.pregel.constants import ERROR, PUSH, RETURN
from taskloom.pregel.context import LANE, Lane, current_task
from taskloom.pregel.errors import GraphInterrupt
from taskloom.pregel.execute import arun_task, attempt, run_task
from taskloom.pregel.policy import CachePolicy, RetryPolicy, TimeoutPolicy
from taskloom.pregel.stream import task_payloads
from taskloom.pregel.tasks import Task

if TYPE_CHECKING:
    from taskloom.pregel.loop import Loop


class _Description:
    """What of a node's description a called function has."""

    def __init__(self, cache_policy: CachePolicy[Any] | None) -> None:
        self.cache_policy = cache_policy


class CallNode:
    """A function that is called as a task; it stands where a compiled node is expected."""

    hidden = False
    path_text = ""
    priority = 0
    id_text = ""
    is_error_handler = False
    error_handler = None
    awaits_writers = False
    tags: Sequence[str] = ()
    subgraphs: Sequence[Any] = ()
    triggers = (PUSH,)
    attempt = staticmethod(attempt)
    plain_node = None

    def __init__(
        self,
        func: Callable[..., Any],
        name: str,
        retry: tuple[RetryPolicy, ...],
        cache: CachePolicy[Any] | None,
        timeout: TimeoutPolicy | None,
    ) -> None:
        self.name = name
        self.retry = retry
        self.timeout = timeout
        self.node = _Description(cache)
        self.metadata: dict[str, Any] = {}
        self.is_async = is_async(func)
        self.callee = Callee(func, func, None, name)
        self.plain = False
        self.injected: Any = ()
        provided = injected_parameters(func, skip_first=False)

        def bind(given: Any, task: Task) -> Any:
            args, kwargs = given
            if provided:
                extra = [(key, get) for key, get in provided if key not in kwargs]
                kwargs = {**task.inject(tuple(extra)), **kwargs}
            return func(*args, **kwargs)

        async def abind(given: Any, task: Task) -> Any:
            return await bind(given, task)

        self.func: Callable[..., Any] | None = None if self.is_async else bind
        self.afunc: Callable[..., Any] | None = abind if self.is_async else None
        self.injected = (("task", lambda task: task),)

    def emit(self, task: Task, value: Any) -> None:
        """Note what the function returned."""
        task.writes.append((RETURN, value))

    async def aemit(self, task: Task, value: Any) -> None:
        """As `emit`."""
        task.writes.append((RETURN, value))


def call(node: CallNode, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a function as a task of the current run.

    Returns:
        A future: of asyncio on the run's event loop, else of concurrent.futures.

    Raises:
        RuntimeError: called outside of a run, or an async function from a sync run.
    """
    parent = current_task(f"task {node.name!r}")
    loop = parent.loop
    if node.is_async and not loop.is_async:
        raise RuntimeError("In an sync context async tasks cannot be called")
    if parent.progress is not None:
        parent.progress()
    child = Task(loop, node, (args, kwargs), parent.reserve_call())  # type: ignore[arg-type]
    child.parent = parent
    child.timeout = node.timeout
    with loop.lock:
        loop.calls[id(child)] = child
    if loop.pending and not loop.replaying:
        child.writes.extend(loop.outputs_of(child.id))
    if loop.stream is not None and loop.stream.wants("tasks"):
        loop.stream.emit(loop, "tasks", task_payloads((child,)))
    if not loop.is_async:
        return _call(loop, child)
    try:
        on_loop = asyncio.current_task() is not None
    except RuntimeError:
        on_loop = False
    if on_loop:
        context = copy_context()
        context.run(LANE.set, Lane(child))
        child.future = asyncio.get_running_loop().create_task(_arun(loop, child), context=context)
    else:
        child.future = asyncio.run_coroutine_threadsafe(_arun_in_lane(loop, child), loop.event_loop)
    return child.future


def _result(child: Task) -> Any:
    for key, value in child.writes:
        if key == RETURN:
            return value
    for key, value in child.writes:
        if key == ERROR:
            raise value if isinstance(value, BaseException) else Exception(value)
    return None


def _call(loop: Loop, child: Task) -> concurrent.futures.Future[Any]:
    if not child.writes and loop.cache is not None:
        match_cached(loop, (child,))
    if child.writes:
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        try:
            future.set_result(_result(child))
        except BaseException as exc:
            future.set_exception(exc)
        child.future = future
        return future
    context = copy_context()
    context.run(LANE.set, Lane(child))

    def run() -> Any:
        try:
            value = run_task(child, context)
        except BaseException as exc:
            loop.commit(child, exc)
            raise
        loop.commit(child, None)
        return value

    if loop.concurrency is None or child.parent is None or child.parent.parent is not None:
        # Calls from called tasks are not counted: their callers hold places while they wait.
        child.future = loop.graph.submit_background(run)
    else:
        child.future = _submit_bounded(loop, run, loop.concurrency)
    return child.future  # type: ignore[no-any-return]


def _submit_bounded(
    loop: Loop, run: Callable[[], Any], limit: int
) -> concurrent.futures.Future[Any]:
    """Submit a call when fewer than `limit` of the run's calls are under way."""
    future: concurrent.futures.Future[Any] = concurrent.futures.Future()

    def work() -> None:
        try:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(run())
                except BaseException as exc:
                    future.set_exception(exc)
        finally:
            with loop.lock:
                loop.calls_running -= 1
            start()

    def start() -> None:
        with loop.lock:
            if loop.calls_running >= limit or not loop.calls_queued:
                return
            loop.calls_running += 1
            following = loop.calls_queued.popleft()
        loop.graph.submit_background(following)

    with loop.lock:
        loop.calls_queued.append(work)
    start()
    return future


async def _arun_in_lane(loop: Loop, child: Task) -> Any:
    LANE.set(Lane(child))
    return await _arun(loop, child)


async def _arun(loop: Loop, child: Task) -> Any:
    if not child.writes and loop.cache is not None:
        await amatch_cached(loop, (child,))
    if child.writes:
        return _result(child)
    if loop.concurrency is None or child.parent is None or child.parent.parent is not None:
        return await _aexecute(loop, child)
    if loop.call_gate is None:
        loop.call_gate = asyncio.Semaphore(loop.concurrency)
    async with loop.call_gate:
        return await _aexecute(loop, child)


async def _aexecute(loop: Loop, child: Task) -> Any:
    try:
        if child.node.is_async:
            value = await arun_task(child)
        else:
            context = copy_context()
            running = asyncio.get_running_loop()
            value = await running.run_in_executor(
                loop.graph.node_executor, run_task, child, context
            )
    except BaseException as exc:
        loop.commit(child, exc)
        raise
    loop.commit(child, None)
    return value


def _interrupted(loop: Loop) -> None:
    asked: list[Any] = []
    for child in list(loop.calls.values()):
        if isinstance(child.error, GraphInterrupt) and child.error.args:
            asked += child.error.args[0]
    if asked:
        with loop.lock:
            loop.interrupts.extend(asked)
        raise GraphInterrupt(tuple(asked))


def wait_for_calls(loop: Loop, *, failed: bool) -> None:
    """Wait for the tasks that were called and not waited for; after a failure, drop the queued."""
    while True:
        futures = [c.future for c in list(loop.calls.values()) if c.future is not None]
        waiting = [future for future in futures if not future.done()]
        if failed:
            for future in waiting:
                future.cancel()
        waiting = [future for future in waiting if not future.done()]
        if not waiting:
            break
        concurrent.futures.wait(waiting)
    if not failed:
        _interrupted(loop)


async def await_calls(loop: Loop, *, failed: bool) -> None:
    """As `wait_for_calls`, in an async run."""
    while True:
        futures = [c.future for c in list(loop.calls.values()) if c.future is not None]
        waiting: list[asyncio.Future[Any]] = []
        for future in futures:
            if not future.done():
                if failed:
                    future.cancel()
                shared = isinstance(future, concurrent.futures.Future)
                waiting.append(asyncio.wrap_future(future) if shared else future)
            elif isinstance(future, asyncio.Future) and not future.cancelled():
                future.exception()
        if not waiting:
            break
        await asyncio.gather(*waiting, return_exceptions=True)
    if not failed:
        _interrupted(loop)
