"""Drives a run from a plain function or generator."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, TypeVar

from taskloom._taskloom import checkpoint_if_cancelled
from taskloom.pregel.cached import match_cached
from taskloom.pregel.context import LANE, Lane
from taskloom.pregel.crew import Crew
from taskloom.pregel.effect import DRAIN, RUN, Effect
from taskloom.pregel.execute import run_task
from taskloom.pregel.loop import Loop
from taskloom.pregel.persist import Strand

if TYPE_CHECKING:
    from contextvars import Context

    from taskloom.pregel.effect import Steps


Result = TypeVar("Result")


class Closed(GeneratorExit):
    """The stream's reader has left."""


def drive(loop: Loop) -> Iterator[None]:
    """Run to the end; yields whenever the loop's stream may have something to show.

    Raises:
        Cancelled: this runs in a task that was cancelled; looked at before each superstep.
        BaseException: what the run ends with.
    """
    steps = loop.steps()
    context = copy_context()
    lane = Lane()
    context.run(LANE.set, lane)
    streaming = loop.stream is not None
    try:
        effect = next(steps)
        while True:
            value: Any = None
            try:
                if effect is RUN:
                    checkpoint_if_cancelled()
                    tasks = loop.tasks
                    plain = loop.cache is None and loop.release is None
                    if plain and len(tasks) == 1 and not loop.threaded:
                        if not tasks[0].writes:
                            _inline(loop, tasks[0], context, lane)
                    else:
                        yield from _run(loop, context, lane)
                else:
                    value = perform(loop, effect)
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
        _close(loop, steps)
        raise


def _close(loop: Loop, steps: Steps) -> None:
    try:
        effect = steps.throw(Closed())
        while True:
            effect = steps.send(perform(loop, effect))
    except (StopIteration, Closed):
        return


def perform(loop: Loop, effect: Effect) -> Any:
    """Do what the loop asks for, if it is not running tasks."""
    persistence = loop.persistence
    if effect is DRAIN:
        strand = None if persistence is None else persistence.strand
        if isinstance(strand, Strand):
            strand.wait()
        return None
    if effect.name == "tell" and loop.listeners is not None:
        return loop.listeners.tell(*effect.arguments)
    return ask(loop.saver, effect)


def ask(saver: Any, effect: Effect) -> Any:
    """Make a call of a saver."""
    result = getattr(saver, effect.name)(*effect.arguments, **(effect.options or {}))
    return list(result) if effect.name == "list" else result


def answer(saver: Any, steps: Generator[Effect, Any, Result]) -> Result:
    """Run a generator that asks only the saver, and return what it returns."""
    try:
        effect = next(steps)
        while True:
            if effect.name == "emit":
                task, value = effect.arguments
                task.node.emit(task, value)
                effect = steps.send(None)
            else:
                effect = steps.send(ask(saver, effect))
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]


def _inline(loop: Loop, task: Any, context: Context, lane: Lane) -> None:
    lane.task = task
    try:
        if task.timeout is None and loop.tracing is None:
            try:
                context.run(task.node.attempt, task)
            except BaseException as failed:
                run_task(task, context, failed)
        else:
            run_task(task, context)
    except Exception as exc:
        loop.commit(task, exc)
        handler = loop.handler_for(task, exc)
        if handler is None:
            loop.wait_for_calls(failed=True)
            raise
        if not handler.writes:
            _inline(loop, handler, context, lane)
        return
    loop.commit(task, None)
    if loop.calls:
        loop.wait_for_calls(failed=False)


def _run(loop: Loop, context: Context, lane: Lane) -> Iterator[None]:
    if loop.cache is not None:
        match_cached(loop, loop.tasks)
    tasks = [task for task in loop.tasks if not task.writes]
    graph = loop.graph
    if not tasks:
        yield
        return
    alone = len(tasks) == 1 and not loop.threaded and loop.release is None
    if alone and graph.step_timeout is None:
        _inline(loop, tasks[0], context, lane)
        return
    live = loop.threaded or (loop.stream is not None and loop.parent is None)
    crew = Crew(
        loop,
        tasks,
        context,
        lane,
        submit=graph.submit_background,
        limit=loop.concurrency,
        live=live,
        timeout=graph.step_timeout,
    )
    failed = True
    try:
        yield from crew.run()
        failed = False
    finally:
        if loop.calls:
            loop.wait_for_calls(failed=failed)
