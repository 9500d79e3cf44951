"""Tasks, task graphs, scopes and state graphs at native speed, inside one Python process.

    errors      every exception
    task        what to call and with which options
    graph       the builder of task graphs; compiled to a plan, a plan is run
    executor    runs tasks and plans on a pool of native threads
    scope       structured concurrency; channel joins its tasks by streams
    pregel      state graphs in supersteps, checkpoints, vertex programs
    places      where else a task runs: a process
    scheduling  settings, resources, admission, processors
    observe     statistics and reports

A name is imported when it is first used, so that `import taskloom` stays light. To export a name,
add it to `_HOME` and to the imports for type checkers above it, then run `make api`.
"""

import sys
from types import ModuleType

TYPE_CHECKING = False  # typing's own costs an import; type checkers know the name
if TYPE_CHECKING:
    from taskloom import errors as errors
    from taskloom._default import default_executor as default_executor
    from taskloom._default import run as run
    from taskloom._taskloom import Future as Future
    from taskloom._taskloom import Node as Node
    from taskloom._taskloom import Plan as Plan
    from taskloom._taskloom import __version__ as __version__
    from taskloom.access import Context as Context
    from taskloom.access import Copy as Copy
    from taskloom.access import Forward as Forward
    from taskloom.access import Read as Read
    from taskloom.access import Take as Take
    from taskloom.access import Write as Write
    from taskloom.access import copy as copy
    from taskloom.access import forward as forward
    from taskloom.access import read as read
    from taskloom.access import take as take
    from taskloom.access import write as write
    from taskloom.catch import catch as catch
    from taskloom.channel import Channel as Channel
    from taskloom.channel import ChannelStats as ChannelStats
    from taskloom.channel import Receiver as Receiver
    from taskloom.channel import Selected as Selected
    from taskloom.channel import Sender as Sender
    from taskloom.channel import select as select
    from taskloom.current import current_task as current_task
    from taskloom.errors import AliasingWarning as AliasingWarning
    from taskloom.errors import Cancelled as Cancelled
    from taskloom.executor import Executor as Executor
    from taskloom.executor import worker_count as worker_count
    from taskloom.executor import worker_index as worker_index
    from taskloom.flow import AbortBranch as AbortBranch
    from taskloom.flow import AbortRun as AbortRun
    from taskloom.flow import RetryTask as RetryTask
    from taskloom.graph import Graph as Graph
    from taskloom.graph import Group as Group
    from taskloom.graph import Subgraph as Subgraph
    from taskloom.graph import Tree as Tree
    from taskloom.retry import Retry as Retry
    from taskloom.run import Run as Run
    from taskloom.scheduling.config import ExecutorConfig as ExecutorConfig
    from taskloom.scheduling.resources import Limit as Limit
    from taskloom.scheduling.resources import Resources as Resources
    from taskloom.scope._start import TASK_STATUS_IGNORED as TASK_STATUS_IGNORED
    from taskloom.scope._start import TaskStatus as TaskStatus
    from taskloom.scope.aio import aio as aio
    from taskloom.scope.aio import aio_loop as aio_loop
    from taskloom.scope.cancellation import CancelScope as CancelScope
    from taskloom.scope.cancellation import cancelled as cancelled
    from taskloom.scope.cancellation import checkpoint as checkpoint
    from taskloom.scope.cancellation import (
        current_effective_deadline as current_effective_deadline,
    )
    from taskloom.scope.cancellation import current_time as current_time
    from taskloom.scope.cancellation import fail_after as fail_after
    from taskloom.scope.cancellation import move_on_after as move_on_after
    from taskloom.scope.cancellation import shield as shield
    from taskloom.scope.combinators import as_completed as as_completed
    from taskloom.scope.combinators import first_completed as first_completed
    from taskloom.scope.combinators import gather as gather
    from taskloom.scope.combinators import timeout as timeout
    from taskloom.scope.coroutines import maybe_yield as maybe_yield
    from taskloom.scope.coroutines import run_coroutine as run_coroutine
    from taskloom.scope.coroutines import sleep as sleep
    from taskloom.scope.coroutines import sleep_forever as sleep_forever
    from taskloom.scope.coroutines import yield_now as yield_now
    from taskloom.scope.limits import CapacityLimiter as CapacityLimiter
    from taskloom.scope.limits import Semaphore as Semaphore
    from taskloom.scope.options import ScopeOptions as ScopeOptions
    from taskloom.scope.pipeline import Stage as Stage
    from taskloom.scope.pipeline import stage as stage
    from taskloom.scope.primitives import Condition as Condition
    from taskloom.scope.primitives import Event as Event
    from taskloom.scope.primitives import Lock as Lock
    from taskloom.scope.primitives import WaitStats as WaitStats
    from taskloom.scope.scope import Scope as Scope
    from taskloom.spawn import Spawn as Spawn
    from taskloom.task import Task as Task
    from taskloom.task import task as task

# Public name: the module that defines it.
_HOME = {
    "AbortBranch": "flow",
    "AbortRun": "flow",
    "AliasingWarning": "errors",
    "CancelScope": "scope.cancellation",
    "Cancelled": "errors",
    "CapacityLimiter": "scope.limits",
    "Channel": "channel",
    "ChannelStats": "channel",
    "Condition": "scope.primitives",
    "Context": "access",
    "Copy": "access",
    "Event": "scope.primitives",
    "Executor": "executor",
    "ExecutorConfig": "scheduling.config",
    "Forward": "access",
    "Future": "_taskloom",
    "Graph": "graph",
    "Group": "graph",
    "Limit": "scheduling.resources",
    "Lock": "scope.primitives",
    "Node": "_taskloom",
    "Plan": "_taskloom",
    "Read": "access",
    "Receiver": "channel",
    "Resources": "scheduling.resources",
    "Retry": "retry",
    "RetryTask": "flow",
    "Run": "run",
    "Scope": "scope.scope",
    "ScopeOptions": "scope.options",
    "Selected": "channel",
    "Semaphore": "scope.limits",
    "Sender": "channel",
    "Spawn": "spawn",
    "Stage": "scope.pipeline",
    "Subgraph": "graph",
    "TASK_STATUS_IGNORED": "scope._start",
    "Take": "access",
    "Task": "task",
    "TaskStatus": "scope._start",
    "WaitStats": "scope.primitives",
    "Tree": "graph",
    "Write": "access",
    "__version__": "_taskloom",
    "aio": "scope.aio",
    "aio_loop": "scope.aio",
    "as_completed": "scope.combinators",
    "cancelled": "scope.cancellation",
    "catch": "catch",
    "checkpoint": "scope.cancellation",
    "copy": "access",
    "current_effective_deadline": "scope.cancellation",
    "current_task": "current",
    "current_time": "scope.cancellation",
    "default_executor": "_default",
    "fail_after": "scope.cancellation",
    "first_completed": "scope.combinators",
    "forward": "access",
    "gather": "scope.combinators",
    "maybe_yield": "scope.coroutines",
    "move_on_after": "scope.cancellation",
    "read": "access",
    "run": "_default",
    "run_coroutine": "scope.coroutines",
    "select": "channel",
    "shield": "scope.cancellation",
    "sleep": "scope.coroutines",
    "sleep_forever": "scope.coroutines",
    "stage": "scope.pipeline",
    "take": "access",
    "task": "task",
    "timeout": "scope.combinators",
    "worker_count": "executor",
    "worker_index": "executor",
    "write": "access",
    "yield_now": "scope.coroutines",
}

# Public modules that are reached as attributes without an import of their own.
_MODULES: frozenset[str] = frozenset({"errors"})

if not TYPE_CHECKING:
    __all__ = [*sorted({*_HOME, *_MODULES})]  # noqa: PLE0604

    def _module(name: str) -> ModuleType:
        # Not by importlib, which would have to be imported for it.
        __import__(name)
        return sys.modules[name]

    def __getattr__(name: str) -> object:
        if name in _HOME:
            value = getattr(_module(f"taskloom.{_HOME[name]}"), name)
            globals()[name] = value
            return value
        if name in _MODULES:
            return _module(f"taskloom.{name}")
        problem = f"module 'taskloom' has no attribute {name!r}"
        if not name.startswith("_") and hasattr(_module("taskloom.errors"), name):
            problem += f": it is taskloom.errors.{name}"
        raise AttributeError(problem)

    def __dir__() -> list[str]:
        return __all__


class _FrontDoor(ModuleType):
    """Keeps `taskloom.task` the function when an import would bind the module of that name."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (isinstance(value, ModuleType) and name in _HOME):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _FrontDoor
