"""Tasks, task graphs, scopes and state graphs at native speed, inside one Python process.

    errors      every exception
    task        what to call and with which options
    graph       the builder of task graphs; compiled to a plan, a plan is run
    executor    runs tasks and plans on a pool of native threads

A name is imported when it is first used, so that `import taskloom` stays light. To export a name,
add it to `_HOME` and to the imports for type checkers above it, then run `make api`.
"""

import sys
from types import ModuleType

TYPE_CHECKING = False  # typing's own costs an import; type checkers know the name
if TYPE_CHECKING:
    from taskloom import errors as errors
    from taskloom._taskloom import Future as Future
    from taskloom._taskloom import Node as Node
    from taskloom._taskloom import Plan as Plan
    from taskloom._taskloom import __version__ as __version__
    from taskloom.executor import Executor as Executor
    from taskloom.executor import default_executor as default_executor
    from taskloom.executor import worker_count as worker_count
    from taskloom.executor import worker_index as worker_index
    from taskloom.graph import Graph as Graph
    from taskloom.retry import Retry as Retry
    from taskloom.run import Run as Run
    from taskloom.run import run as run
    from taskloom.task import Task as Task
    from taskloom.task import task as task

# Public name: the module that defines it.
_HOME = {
    "Executor": "executor",
    "Future": "_taskloom",
    "Graph": "graph",
    "Node": "_taskloom",
    "Plan": "_taskloom",
    "Retry": "retry",
    "Run": "run",
    "Task": "task",
    "__version__": "_taskloom",
    "default_executor": "executor",
    "run": "run",
    "task": "task",
    "worker_count": "executor",
    "worker_index": "executor",
}

# Public modules that are reached as attributes without an import of their own.
_MODULES: frozenset[str] = frozenset({"errors"})

if not TYPE_CHECKING:
    __all__ = [*sorted({*_HOME, *_MODULES})]  # noqa: PLE0604

    def __getattr__(name: str) -> object:
        from importlib import import_module

        if name in _HOME:
            value = getattr(import_module(f"taskloom.{_HOME[name]}"), name)
            globals()[name] = value
            return value
        if name in _MODULES:
            return import_module(f"taskloom.{name}")
        raise AttributeError(f"module 'taskloom' has no attribute {name!r}")

    def __dir__() -> list[str]:
        return __all__


class _FrontDoor(ModuleType):
    """Keeps `taskloom.task` the function when an import would bind the module of that name."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (isinstance(value, ModuleType) and name in _HOME):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _FrontDoor
