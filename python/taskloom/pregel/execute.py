"""Running one task: its attempts, its time limits, commands that come up from its subgraph."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from contextvars import Context
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from taskloom.errors import Cancelled
from taskloom.pregel.config import recast_ns
from taskloom.pregel.errors import (
    GraphBubbleUp,
    NodeCancelledError,
    NodeTimeoutError,
    ParentCommand,
)
from taskloom.pregel.node import SYNC_TIMEOUT
from taskloom.pregel.policy import RetryPolicy, TimeoutPolicy
from taskloom.pregel.types import Command

if TYPE_CHECKING:
    from taskloom.pregel.tasks import Task

logger = logging.getLogger("taskloom.pregel")


def attempt(task: Task) -> Any:
    """One attempt of a task by a sync driver: call its node, write what it returns."""
    node = task.node
    if node.plain:
        func = node.func
        value = task.input if func is None else func(task.input)
        if value.__class__ is not dict and value is not None:
            value = _resolve(task, value)
    else:
        if node.func is None:
            if node.callee is not None:
                raise node.callee.missing_sync()
            value = task.input
        else:
            value = node.func(task.input, **task.inject(node.injected))
        value = _resolve(task, value)
    node.emit(task, value)
    return value


def finish_attempt(task: Task, value: Any) -> Any:
    """The rest of an attempt whose node returned something else than a dict or None."""
    value = _resolve(task, value)
    task.node.emit(task, value)
    return value


def _resolve(task: Task, value: Any) -> Any:
    """What a node returned; a graph or runnable that it returned is run with its input."""
    if type(value) is dict or value is None or not hasattr(value, "invoke"):
        return value
    return value.invoke(task.input, task.config) if not _is_call(task) else value


def _is_call(task: Task) -> bool:
    return task.parent is not None


async def aattempt(task: Task) -> Any:
    """One attempt of a task whose node, or writers, are async."""
    node = task.node
    writes = task.writes
    if node.afunc is not None:
        value = await node.afunc(task.input, **task.inject(node.injected))
    elif node.func is None:
        value = task.input
    else:
        value = node.func(task.input, **task.inject(node.injected))
    if type(value) is not dict and hasattr(value, "ainvoke") and not _is_call(task):
        value = await value.ainvoke(task.input, task.config)
    if task.writes is not writes:  # timed out, but the node did not stop
        return None
    await node.aemit(task, value)
    return value


def addressed(task: Task, error: ParentCommand) -> bool:
    """Whether a command that came up from a subgraph is for the graph of this task.

    One that asks for the parent is marked for the task around the run it was raised in.
    """
    command = error.args[0]
    target = command.graph
    if getattr(error, "target", None) is task or target in (task.name, recast_ns(task.ns)):
        return True
    if target == Command.PARENT and task.loop.parent is not None:
        outer = task.loop.parent
        error.target = outer  # type: ignore[attr-defined]
        error.args = (replace(command, graph=outer.ns),)
    return False


def policies_of(task: Task) -> tuple[RetryPolicy, ...]:
    """The retry policies of a task: its node's, or the graph's."""
    return task.node.retry or task.loop.graph.retry_policy


def delay_before_retry(task: Task, error: Exception, attempts: int) -> float:
    """Seconds until the next attempt.

    Raises:
        Exception: `error`, when there is to be no other attempt.
    """
    error.add_note(f"During task with name '{task.name}' and id '{task.id}'")
    policy = next((p for p in policies_of(task) if p.matches(error)), None)
    if policy is None or attempts >= policy.max_attempts:
        raise error
    delay = min(
        policy.max_interval, policy.initial_interval * policy.backoff_factor ** (attempts - 1)
    )
    if policy.jitter:
        delay += random.uniform(0, 1)
    logger.info(
        "Retrying task %s after %.2f seconds (attempt %d) after %s %s",
        task.name,
        delay,
        attempts,
        type(error).__name__,
        error,
        exc_info=error,
    )
    return delay


def run_task(task: Task, context: Context, failed: BaseException | None = None) -> Any:
    """Run a task to its end in `context`: attempts, until one succeeds or there are no more.

    Args:
        task: what to run.
        context: where.
        failed: what the first attempt raised, if that is over.

    Returns:
        What its node returned.
    """
    if task.timeout is not None:
        raise ValueError(SYNC_TIMEOUT.format(kind="Node", name=task.name))
    tracing = task.loop.tracing
    call: Callable[[Task], Any] = task.node.attempt
    if tracing is not None:
        call = partial(tracing.attempt, call=call)
    attempts = 0
    while True:
        try:
            if failed is not None and attempts == 0:
                raise failed
            return context.run(call, task)
        except ParentCommand as exc:
            if not addressed(task, exc):
                raise
            task.writes = []
            task.node.emit(task, replace(exc.args[0], graph=None))
            return None
        except GraphBubbleUp:
            raise
        except asyncio.CancelledError as exc:
            raise NodeCancelledError(task.name) from exc
        except Exception as exc:
            attempts += 1
            time.sleep(delay_before_retry(task, exc, attempts))
        begin_retry(task, attempts)


def begin_retry(task: Task, attempts: int) -> None:
    """Prepare the next attempt of a task that has failed `attempts` times."""
    task.restart()
    task.retried = True
    task.attempt = attempts + 1


async def arun_task(task: Task, call: Callable[[Task], Any] = aattempt) -> Any:
    """As `run_task`, on an event loop, in the context of the calling coroutine."""
    if task.loop.tracing is not None:
        call = partial(task.loop.tracing.aattempt, call=call)
    attempts = 0
    while True:
        try:
            if task.timeout is not None:
                return await _timed(task, task.timeout, call)
            return await call(task)
        except ParentCommand as exc:
            if not addressed(task, exc):
                raise
            task.writes = []
            await task.node.aemit(task, replace(exc.args[0], graph=None))
            return None
        except (GraphBubbleUp, Cancelled):
            raise
        except asyncio.CancelledError as exc:
            current = asyncio.current_task()
            if current is not None and current.cancelling() == 0:
                raise NodeCancelledError(task.name) from exc
            raise
        except Exception as exc:
            attempts += 1
            delay = delay_before_retry(task, exc, attempts)
        await asyncio.sleep(delay)
        begin_retry(task, attempts)


class _Attempt:
    """A timed attempt: when it last made progress, and whether what it does still counts."""

    def __init__(self, refresh_on: str) -> None:
        self.active = True
        self.auto = refresh_on == "auto"
        self.last_progress = time.monotonic()

    def touch(self) -> None:
        """The node is alive."""
        self.last_progress = time.monotonic()

    def guard(self, write: Callable[[Any], None]) -> Callable[[Any], None]:
        """A stream writer that counts as progress, and is dumb once the attempt is over."""

        def guarded(chunk: Any) -> None:
            if not self.active:
                return
            if self.auto:
                self.touch()
            write(chunk)

        return guarded


async def _timed(task: Task, policy: TimeoutPolicy, call: Callable[[Task], Any]) -> Any:
    run_limit: Any = policy.run_timeout
    idle_limit: Any = policy.idle_timeout
    state = _Attempt(policy.refresh_on)
    task.stream_guard = state.guard
    if idle_limit is not None:
        task.heartbeat = state.touch
    task._runtime = task._config = None
    task.progress = state.touch if state.auto else None
    started = time.monotonic()
    running = asyncio.ensure_future(call(task))
    try:
        while True:
            now = time.monotonic()
            waits = []
            if run_limit is not None:
                waits.append((started + run_limit - now, "run"))
            if idle_limit is not None:
                waits.append((state.last_progress + idle_limit - now, "idle"))
            left, kind = min(waits)
            if left <= 0:
                state.active = False
                task.writes = []
                running.cancel()
                running.add_done_callback(_retrieve)
                raise NodeTimeoutError(
                    task.name,
                    now - started,
                    kind="idle" if kind == "idle" else "run",
                    idle_timeout=idle_limit,
                    run_timeout=run_limit,
                )
            done, _ = await asyncio.wait({running}, timeout=left)
            if done:
                return await running
    except asyncio.CancelledError:
        running.cancel()
        running.add_done_callback(_retrieve)
        raise
    finally:
        state.active = False


def _retrieve(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()
