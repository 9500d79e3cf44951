"""Runs of plans under a seeded executor: every node is a task of its own.

The plan is compiled once more, with nodes that are submitted in place of being called; everything
else about it, and the run itself, is the engine's. Whoever draws the next move takes part in the
runs first, which submits the nodes that have become ready.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, final
from weakref import WeakKeyDictionary

from taskloom import _taskloom
from taskloom._asynchrony import is_coroutine_function
from taskloom._launch import _Limit, new_run
from taskloom._taskloom import Plan
from taskloom.errors import GraphError, OptionError
from taskloom.graph import Graph
from taskloom.graph._pickling import plan_again
from taskloom.task import Options

if TYPE_CHECKING:
    from taskloom._taskloom import Node
    from taskloom.access import Context
    from taskloom.run import Run
    from taskloom.testing.executor import SeededExecutor
    from taskloom.testing.future import SeededFuture

__all__ = ["Runs", "check_place"]

_PLANS: WeakKeyDictionary[Plan, Plan] = WeakKeyDictionary()


def check_place(options: Options) -> None:
    """Raises `OptionError` for what would leave the one line of execution that a seed decides."""
    place = options.get("place", "thread")
    if place not in ("thread", "caller"):
        raise OptionError(
            f"a SeededExecutor cannot obey place={place!r}, which is outside of what a seed "
            "decides: use an Executor to test it"
        )


def _step(
    node: Node[Any], function: Callable[..., Any], options: Options, deferred: bool
) -> Callable[..., Any]:
    """What a node calls in place of its function."""
    check_place(options)
    asynchronous = is_coroutine_function(node.function)

    def submit(stepper: Stepper, /, *args: Any, **kwargs: Any) -> SeededFuture[Any]:
        given = options.without("place") if deferred else stepper.ordinary
        given = Options(name=node.name).over(given)
        if asynchronous:
            return stepper.executor._spawn(function, args, kwargs, given)
        rank = stepper.ranks[node.index] if stepper.ranks else 0.0
        # A run that is cancelled leaves what is running to end, unless it was submitted.
        return stepper.executor._submit_node(
            given, (function, args, kwargs), stepper, rank=rank, stoppable=deferred
        )

    return submit


def _stepping(target: Graph | Plan) -> Plan:
    """The plan that submits its nodes."""
    plan = target._plan() if isinstance(target, Graph) else target
    if not isinstance(plan, Plan):
        raise TypeError(f"only a graph or a plan can be run, not {target!r}")
    found = _PLANS.get(plan)
    if found is None:
        settings = plan._facts.settings
        if settings.version != plan.graph._version:
            raise GraphError(
                "the graph of this plan has grown since it was compiled: compile it again to run "
                "it under a seed"
            )
        found = _PLANS[plan] = plan_again(plan.graph, settings, _step)
    return found


@final
class Stepper:
    """Submits the nodes of one run."""

    def __init__(self, executor: SeededExecutor, plan: Plan, priority: int) -> None:
        self.executor = executor
        #: The options of a node that has none that a real run would submit it for.
        self.ordinary = Options(priority=priority, timeout=None)
        self.ranks = _ranks(plan)

    def spawned(self, plan: Plan, context: Context | None) -> Run:
        """A run that a node of this one is to start."""
        return self.executor._runs.made(plan, context, self.ordinary.get("priority"))


def _ranks(plan: Plan) -> list[float]:
    """By index, what the order of the plan prefers; empty if it does not."""
    order = plan._facts.settings.order
    if order == "registration":
        return [-float(index) for index in range(len(plan.nodes))]
    given = [node.options for node in plan.nodes]
    weighs = any(
        options and (options.get("priority") or options.get("estimated_duration"))
        for options in given
    )
    if order == "critical_path" or (order == "auto" and weighs):
        return list(plan._priorities)
    return []


@final
class Runs:
    """The runs of one seeded executor."""

    def __init__(self, executor: SeededExecutor) -> None:
        self._executor = executor
        # Runs take part with a pool in their making; this one never starts a thread.
        self._pool: _taskloom.Pool = _taskloom.Pool(1, None, "block", False, lambda *_: None)
        self._live: list[Run] = []

    def __len__(self) -> int:
        return len(self._live)

    def take_part(self) -> None:
        """Submits the nodes that have become ready."""
        for run in tuple(self._live):
            if not run.done():
                run._take_part()

    def made(self, target: Graph | Plan, context: Context | None, priority: int) -> Run:
        """A run of which this executor's tasks are the nodes."""
        plan = _stepping(target)
        stepper = Stepper(self._executor, plan, priority)
        run = new_run(self._pool, plan, "parallel", shared=True, values=context, submitter=stepper)
        self._attend(run)
        begin = run._start

        def begun() -> None:
            self._begin(run, begin)

        run._start = run._start_here = begun  # type: ignore[method-assign]
        return run

    def start(
        self,
        target: Graph | Plan,
        *,
        serial: bool,
        context: Context | None,
        priority: int,
        timeout: float | None,
    ) -> Run:
        """Starts a run and returns it at once."""
        if serial:
            plan = _stepping(target)
            stepper = Stepper(self._executor, plan, priority)
            run = new_run(
                self._pool, plan, "serial", shared=False, values=context, submitter=stepper
            )
            self._attend(run)
        else:
            run = self.made(target, context, priority)
        if timeout is not None:
            _Limit(run, timeout, self._executor._conductor.after)
        if serial:
            self._live.append(run)
            run._when_over(lambda: self._live.remove(run))
            self._executor.submit(run._run_serial)
        else:
            run._start()
        return run

    def _attend(self, run: Run) -> None:
        """Has waits for a run let others go on, and its end be noticed."""
        conductor = self._executor._conductor
        what = f"for a run of {len(run)} nodes"

        def wait(timeout: float | None = None) -> bool:
            return conductor.wait(run.done, timeout, what)

        stop = run._stop

        def stopped() -> bool:
            found = stop()
            self.take_part()
            return found

        run._wait, run._stop = wait, stopped  # type: ignore[method-assign]

    def _begin(self, run: Run, begin: Callable[[], None]) -> None:
        self._live.append(run)
        run._when_over(lambda: self._live.remove(run))
        # In a context of its own: the caller may be in the one that its tasks take copies of.
        contextvars.copy_context().run(begin)
        self.take_part()
