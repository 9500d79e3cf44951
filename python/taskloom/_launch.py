"""How a run begins: on the calling thread or the workers, watched or not, with a limit of time."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from threading import get_ident
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple, final
from weakref import ref

from taskloom import _taskloom
from taskloom._ambient import ambient
from taskloom._asynchrony import running_loop
from taskloom._modes import choice_of
from taskloom._taskloom import Node, Plan
from taskloom.access import Context, given
from taskloom.current import around
from taskloom.errors import OptionError
from taskloom.graph import Graph
from taskloom.plan import Facts
from taskloom.run import Mode, Run

if TYPE_CHECKING:
    from taskloom.observe.events import NodeEvent

__all__ = ["UNWATCHED", "Live", "TimedSubmitter", "Watch", "new_run", "run_plan", "start_plan"]

DEFAULT_BAND = 4


@final
class _Limit:
    """Stops a run that is not over when the timer calls this."""

    __slots__ = ("_run", "has_passed", "seconds")

    def __init__(
        self,
        run: Run,
        seconds: float,
        later: Callable[[float, Callable[[], object]], object] | None = None,
    ) -> None:
        self.seconds = seconds
        self.has_passed = False
        # Held, for a run that was dropped goes on; let go of when it is over.
        self._run: Run | None = run
        run._limit = self
        run._when_over(self._over)
        if later is None:
            run._set_deadline(monotonic() + seconds)
            later = _taskloom._call_later
        later(seconds, self)

    def _over(self) -> None:
        self._run = None

    def __call__(self) -> None:
        run = self._run
        if run is not None and not run.done():
            self.has_passed = True
            run.cancel()


def _as_plan(target: Graph | Plan) -> Plan:
    if isinstance(target, Plan):
        return target
    if isinstance(target, Graph):
        return target._plan()
    hint = "; a node is run with its graph: run(node.graph)[node]" * isinstance(target, Node)
    raise TypeError(f"only a graph or a plan can be run, not {target!r}{hint}")


class Watch(NamedTuple):
    """How closely a run is watched."""

    trace: bool = False
    on_event: Callable[[NodeEvent], object] | None = None
    progress: bool = False


UNWATCHED = Watch()

# Runs that go on, with the thread that called and waits for them, if one does.
Live = dict["ref[Run]", int | None]


def _made(
    plan: Plan,
    executor: _taskloom.Pool,
    *,
    shared: bool,
    serial: bool,
    band: int,
    context: Any,
    watch: Watch,
    submitter: Any,
) -> Run:
    recording = getattr(executor, "_recording", None)
    if not watch.trace and watch.on_event is None and recording is None:
        return Run(plan, executor, shared, band, context, serial=serial, submitter=submitter)
    told = None
    if watch.on_event is not None:
        if not callable(watch.on_event):
            raise OptionError(f"on_event={watch.on_event!r} must be callable with one event")
        from taskloom.observe.events import teller

        told = teller(watch.on_event)
    run = Run(
        plan,
        executor,
        shared,
        band,
        context,
        serial=serial,
        watched=True,
        on_event=told,
        submitter=TimedSubmitter(executor),
    )
    if recording is not None:
        recording._saw_run(run)
    return run


def _stop_with_task(run: Run) -> None:
    """Stops a run when what has started it is cancelled: a task, a node or a scope."""
    token = _taskloom.current_token()
    if token is not None:
        noted = token.on_cancel(run.cancel)
        if noted is None:
            run.cancel()
        else:
            run._when_over(noted.forget)


@final
class TimedSubmitter:
    """Stands in for the executor where a watched run submits nodes: their times are recorded."""

    __slots__ = ("_executor",)

    def __init__(self, executor: Any) -> None:
        self._executor = executor

    def options(self, **options: Any) -> Any:
        return self._executor._timed_options(options)


def new_run(
    executor: _taskloom.Pool,
    target: Graph | Plan,
    mode: Mode,
    *,
    shared: bool,
    band: int = DEFAULT_BAND,
    values: Context | None = None,
    watch: Watch = UNWATCHED,
    blocks: bool = False,
    submitter: Any = None,
) -> Run:
    """A run that is still to be started, in one of the ways of `RunCore`.

    `submitter` stands in for the executor where nodes are submitted.
    """
    if mode not in ("parallel", "serial"):
        raise OptionError(f"mode={mode!r} is none of 'parallel', 'serial', 'auto'")
    context = None
    if ambient.get() is not None:
        # Nodes run on this thread too, where calling a task must not add to the open graph.
        context = copy_context()
        context.run(ambient.set, None)
    loop = running_loop()
    if loop is not None:
        from taskloom.places._loop import of_run

        # Nodes placed on a loop run on this one, unless the run is about to block it.
        context = context or copy_context()
        context.run(of_run.set, None if blocks else loop)
    plan = _as_plan(target)

    def made() -> Run:
        return _made(
            plan,
            executor,
            shared=shared,
            serial=mode == "serial",
            band=band,
            context=context,
            watch=watch,
            submitter=submitter,
        )

    facts: Facts = plan._facts
    if values is None and not facts.resources:
        return made()
    if values is None:
        values = Context()
    elif not isinstance(values, Context):
        raise TypeError(f"context={values!r} must be a taskloom.Context, as Context(name=value)")
    found = values.values_for(tuple(facts.resources))
    values.admit(facts.writes_context)
    lent = [found]

    def give_back() -> None:
        lent.clear()
        values.leave(facts.writes_context)

    try:
        context = context or copy_context()
        context.run(given.set, lent)
        run = made()
    except BaseException:
        give_back()
        raise
    run._when_over(give_back)
    return run


def run_plan(
    executor: _taskloom.Pool,
    target: Graph | Plan,
    mode: Mode,
    check: bool,
    *,
    band: int = DEFAULT_BAND,
    context: Context | None = None,
    watch: Watch = UNWATCHED,
    timeout: float | None = None,
) -> Run:
    """Runs a graph or plan on this thread and, unless `mode` is "serial", on the workers."""
    if mode == "auto":
        target = _as_plan(target)
        choice = choice_of(target)
        mode = choice.pick()
        began = perf_counter()
        run = run_plan(
            executor,
            target,
            mode,
            False,
            band=band,
            context=context,
            watch=watch,
            timeout=timeout,
        )
        if run.ok:
            choice.note(mode, perf_counter() - began)
        return run if not check or run.ok else run.result()
    run = new_run(
        executor,
        target,
        mode,
        shared=mode != "serial",
        band=band,
        values=context,
        watch=watch,
        blocks=True,
    )
    if timeout is not None:
        _Limit(run, timeout)
    run._around = around()
    if run._around:
        _stop_with_task(run)
    begin = run._run_serial if mode == "serial" else run._run_shared
    live: Live = executor._live  # type: ignore[attr-defined]
    seen = ref(run)
    live[seen] = get_ident()
    try:
        if watch.progress:
            from taskloom.observe._live import LiveLine

            with LiveLine(run, executor):
                begin()
        else:
            begin()
    finally:
        live.pop(seen, None)
    return run if not check or run.ok else run.result()


def start_plan(
    executor: _taskloom.Pool,
    target: Graph | Plan,
    mode: Mode,
    *,
    band: int = DEFAULT_BAND,
    context: Context | None = None,
    watch: Watch = UNWATCHED,
    timeout: float | None = None,
) -> Run:
    """Has the workers run a graph or plan, one of them alone if `mode` is "serial"."""
    plan = _as_plan(target)
    if mode == "auto":
        mode = "parallel" if plan._has_callers else choice_of(plan).used
    if plan._has_callers and mode == "serial":
        raise OptionError(
            "mode='serial' has one worker run every node, but some have place='caller': start it "
            "in mode='parallel', or use run(..., mode='serial')"
        )
    run = new_run(executor, plan, mode, shared=True, band=band, values=context, watch=watch)
    if timeout is not None:
        _Limit(run, timeout)
    live: Live = executor._live  # type: ignore[attr-defined]
    run._around = around()
    if run._around:
        _stop_with_task(run)
    # Weakly: who drops the run is told of the errors that nobody asked for.
    seen = ref(run)
    live[seen] = None
    run._when_over(partial(live.pop, seen, None))
    run._start()
    return run
