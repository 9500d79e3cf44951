"""Drives a run from a coroutine or async generator."""

from __future__ import annotations

import asyncio
import types
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Generator
from contextlib import aclosing
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any

from taskloom.pregel.cached import amatch_cached
from taskloom.pregel.context import LANE, Lane
from taskloom.pregel.drive_sync import Closed, Result, ask
from taskloom.pregel.effect import DRAIN, RUN, Effect
from taskloom.pregel.errors import GraphBubbleUp, GraphInterrupt, is_invalid_resume
from taskloom.pregel.execute import aattempt, arun_task, run_task
from taskloom.pregel.loop import Loop
from taskloom.pregel.persist import AsyncStrand, is_memory

if TYPE_CHECKING:
    from taskloom.pregel.effect import Steps
    from taskloom.pregel.tasks import Task


@types.coroutine
def in_context(context: Context, coro: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """Await `coro` in `context`, without a task of its own."""
    try:
        waiting = context.run(coro.send, None)
        while True:
            try:
                value = yield waiting
            except GeneratorExit:
                context.run(coro.close)
                raise
            except BaseException as exc:
                waiting = context.run(coro.throw, exc)
            else:
                waiting = context.run(coro.send, value)
    except StopIteration as stop:
        return stop.value


async def adrive(loop: Loop) -> AsyncIterator[None]:
    """Run to the end; yields whenever the loop's stream may have something to show.

    Raises:
        BaseException: what the run ends with.
    """
    steps = loop.steps()
    context = copy_context()
    streaming = loop.stream is not None
    try:
        effect = next(steps)
        while True:
            value: Any = None
            try:
                if effect is RUN:
                    tasks = loop.tasks
                    if len(tasks) == 1 and not loop.threaded and loop.plain_step:
                        if not tasks[0].writes:
                            await _one(loop, tasks[0], context)
                    else:
                        async with aclosing(_run(loop, context)) as running:
                            async for _ in running:
                                yield
                else:
                    value = await aperform(loop, effect)
            except GeneratorExit:
                raise
            except BaseException as exc:
                effect = steps.throw(exc)
            else:
                effect = steps.send(value)
            if streaming:
                yield
    except StopIteration:
        return
    except GeneratorExit:
        await _close(loop, steps)
        raise


async def _close(loop: Loop, steps: Steps) -> None:
    try:
        effect = steps.throw(Closed())
        while True:
            effect = steps.send(await aperform(loop, effect))
    except (StopIteration, Closed):
        return


async def aperform(loop: Loop, effect: Effect) -> Any:
    """Do what the loop asks for, if it is not running tasks."""
    persistence = loop.persistence
    if effect is DRAIN:
        strand = None if persistence is None else persistence.strand
        if isinstance(strand, AsyncStrand):
            await strand.wait()
        return None
    if effect.name == "tell" and loop.listeners is not None:
        return await loop.listeners.atell(*effect.arguments)
    return await aask(loop.saver, effect)


async def aask(saver: Any, effect: Effect) -> Any:
    """Make a call of a saver."""
    if is_memory(saver, True):
        return ask(saver, effect)
    options = effect.options or {}
    result = getattr(saver, "a" + effect.name)(*effect.arguments, **options)
    if effect.name == "list":
        return [item async for item in result]
    return await result


async def aanswer(saver: Any, steps: Generator[Effect, Any, Result]) -> Result:
    """Run a generator that asks only the saver, and return what it returns."""
    try:
        effect = next(steps)
        while True:
            if effect.name == "emit":
                task, value = effect.arguments
                await task.node.aemit(task, value)
                effect = steps.send(None)
            else:
                effect = steps.send(await aask(saver, effect))
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]


async def _execute(loop: Loop, task: Task, context: Context) -> Any:
    """Run a task where it belongs: on the event loop, or, if it is sync, in a thread."""
    context.run(LANE.set, Lane(task))
    node = task.node
    if node.is_async or node.func is None:
        return await in_context(context, arun_task(task))
    if node.awaits_writers or task.timeout is not None:
        return await in_context(context, arun_task(task, _in_thread(loop, context)))
    running = asyncio.get_running_loop()
    return await running.run_in_executor(loop.graph.node_executor, run_task, task, context)


def _in_thread(loop: Loop, context: Context) -> Any:
    async def call(task: Task) -> Any:
        func = task.node.func
        if func is None:
            return await aattempt(task)
        arguments = task.inject(task.node.injected)
        own = context.copy()

        def run() -> Any:
            return own.run(func, task.input, **arguments)

        running = asyncio.get_running_loop()
        value = await running.run_in_executor(loop.graph.node_executor, run)
        await task.node.aemit(task, value)
        return value

    return call


async def _one(loop: Loop, task: Task, context: Context) -> None:
    try:
        await _execute(loop, task, context)
    except Exception as exc:
        loop.commit(task, exc)
        handler = loop.handler_for(task, exc)
        if handler is None:
            await loop.await_calls(failed=True)
            raise
        if not handler.writes:
            await _one(loop, handler, context)
        return
    loop.commit(task, None)
    if loop.calls:
        await loop.await_calls(failed=False)


async def _run(  # noqa: PLR0915 (the tasks of a superstep, start to end)
    loop: Loop, context: Context
) -> AsyncGenerator[None]:
    if loop.cache is not None:
        await amatch_cached(loop, loop.tasks)
    todo = [task for task in loop.tasks if not task.writes]
    stream = loop.stream
    if not todo:
        yield
        return
    running_loop = asyncio.get_running_loop()
    wake = asyncio.Event()
    gate = None if loop.concurrency is None else asyncio.Semaphore(loop.concurrency)

    async def run(task: Task) -> None:
        if gate is None:
            await _execute(loop, task, context.copy())
        else:
            async with gate:
                await _execute(loop, task, context.copy())

    inflight: dict[asyncio.Task[None], Task] = {}

    def start(task: Task) -> None:
        job = running_loop.create_task(run(task), name=task.name)
        job.add_done_callback(lambda _: wake.set())
        inflight[job] = task

    if stream is not None:
        stream.notify = lambda: _wake(running_loop, wake)
    failure: BaseException | None = None
    interrupts: list[GraphInterrupt] = []
    timeout = loop.graph.step_timeout
    deadline = None if timeout is None else running_loop.time() + timeout
    try:
        for task in todo:
            start(task)
        while inflight and (failure is None or _lets_others_end(failure)):
            await _wait(wake, deadline)
            wake.clear()
            for job in [job for job in inflight if job.done()]:
                task = inflight.pop(job)
                error = _error_of(job)
                loop.commit(task, error)
                if error is None:
                    for following in loop.follow(task):
                        start(following)
                    continue
                handler = loop.handler_for(task, error)
                if handler is not None:
                    start(handler)
                elif isinstance(error, GraphInterrupt):
                    interrupts.append(error)
                elif failure is None or _lets_others_end(failure):
                    failure = error
            yield
    finally:
        if stream is not None:
            stream.notify = None
        await _cancel(loop, inflight)
        if loop.calls:
            await loop.await_calls(failed=failure is not None)
    if failure is not None:
        raise failure
    if interrupts:
        asked = tuple(i for exc in interrupts for i in (exc.args[0] if exc.args else ()))
        raise GraphInterrupt(asked)


def _error_of(job: asyncio.Task[None]) -> BaseException | None:
    """What a task has ended with; of a cancelled one, the very error that it was cancelled by."""
    try:
        job.result()
    except BaseException as error:
        return error
    return None


def _lets_others_end(failure: BaseException) -> bool:
    """Whether the other tasks of the superstep go on: an answer that does not fit can be given
    again, and theirs must not be used twice."""
    return isinstance(failure, GraphBubbleUp) or is_invalid_resume(failure)


def _wake(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    try:
        on_loop = asyncio.get_running_loop() is loop
    except RuntimeError:
        on_loop = False
    if on_loop:
        event.set()
    else:
        loop.call_soon_threadsafe(event.set)


async def _wait(event: asyncio.Event, deadline: float | None) -> None:
    if deadline is None:
        await event.wait()
    else:
        left = deadline - asyncio.get_running_loop().time()
        try:
            await asyncio.wait_for(event.wait(), max(0.0, left))
        except TimeoutError:
            raise TimeoutError("Timed out") from None


async def _cancel(loop: Loop, inflight: dict[asyncio.Task[None], Task]) -> None:
    for job in inflight:
        job.cancel()
    if inflight:
        await asyncio.gather(*inflight, return_exceptions=True)
        for job, task in inflight.items():
            error = _error_of(job)
            if error is None or isinstance(error, asyncio.CancelledError):
                loop.commit(task, error)
