"""Every exception that taskloom raises, and the warnings that have a class of their own.

Every error derives from `TaskloomError`, except `Cancelled`, which no `except Exception` must
swallow. Where Python has an exception for the same situation, ours is a subclass of it.
"""

from __future__ import annotations

import concurrent.futures
from collections.abc import Sequence

from taskloom._typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from typing import Self

    from taskloom.run import Run

__all__ = [
    "AliasingWarning",
    "BrokenExecutor",
    "BrokenResourceError",
    "Cancelled",
    "ClosedResourceError",
    "CycleError",
    "DeadlineMissed",
    "EndOfStream",
    "GraphError",
    "LoopLimitError",
    "OptionError",
    "ProcessDied",
    "QueueFull",
    "RemoteError",
    "RunAborted",
    "RunFailed",
    "TaskloomError",
    "ValueFreedError",
    "WouldBlock",
]


class TaskloomError(Exception):
    """Base of every error that taskloom raises by itself.

    >>> import taskloom
    >>> issubclass(taskloom.errors.QueueFull, taskloom.errors.TaskloomError)
    True
    """


class GraphError(TaskloomError, ValueError):
    """A graph cannot be built or compiled as asked; the message names the nodes.

    >>> import taskloom
    >>> taskloom.Graph().add(len)
    Traceback (most recent call last):
    taskloom.errors.GraphError: node 'len#0': missing a required argument: 'obj'
    """


@final
class CycleError(GraphError):
    """Nodes of a graph wait for each other in a circle; `nodes` has them in the order of waiting.

    >>> import taskloom
    >>> g = taskloom.Graph()
    >>> a, b = g.add(int), g.add(int)
    >>> _ = a.after(b), b.after(a)
    >>> g.compile()
    Traceback (most recent call last):
    taskloom.errors.CycleError: the graph has a cycle: int#0 -> int#1 -> int#0
    """

    nodes: tuple[object, ...] = ()


@final
class LoopLimitError(TaskloomError, RuntimeError):
    """A loop of a graph was not over after its last iteration; `state` is what that one gave.

    >>> import taskloom
    >>> g = taskloom.Graph()
    >>> node = g.loop(abs, 1, until=lambda state: False, max_iterations=3)
    >>> error = taskloom.run(g, check=False).exceptions()[node]
    >>> error, error.state
    (LoopLimitError('the loop was not over after max_iterations=3 iterations'), 1)
    """

    state: object = None


@final
class OptionError(TaskloomError, TypeError):
    """An option is unknown, has a wrong value, or does not apply here.

    >>> import taskloom
    >>> taskloom.task(len, timeuot=1)
    Traceback (most recent call last):
    taskloom.errors.OptionError: task() has no option 'timeuot'; did you mean 'timeout'?
    """


@final
class RunFailed(TaskloomError, ExceptionGroup[Exception]):
    """Nodes of a run failed: a group of their errors that carries the run as `run`.

    >>> import taskloom
    >>> g = taskloom.Graph()
    >>> node = g.add(int, "x")
    >>> try:
    ...     taskloom.run(g)
    ... except* ValueError as failed:
    ...     print(failed.run.status)
    failed
    """

    run: Run | None

    def __new__(cls, message: str, exceptions: Sequence[Exception], run: Run | None = None) -> Self:
        self = super().__new__(cls, message, exceptions)
        self.run = run
        return self

    def __init__(
        self, message: str, exceptions: Sequence[Exception], run: Run | None = None
    ) -> None:
        super().__init__(message, exceptions)

    def derive(self, excs: Sequence[Exception], /) -> RunFailed:  # type: ignore[override]
        """A group of some of these errors that carries the same run, as `except*` and `split` need.

        >>> import taskloom
        >>> group = taskloom.errors.RunFailed("2 nodes failed", [KeyError(1), ValueError(2)])
        >>> group.subgroup(KeyError)
        RunFailed('2 nodes failed', [KeyError(1)])
        """
        return RunFailed(self.message, excs, self.run)


@final
class RunAborted(TaskloomError):
    """A node asked for the end of its run, by `AbortRun`; `run` is the run.

    >>> import taskloom
    >>> raise taskloom.errors.RunAborted("node 'check' aborted the run")
    Traceback (most recent call last):
    taskloom.errors.RunAborted: node 'check' aborted the run
    """

    run: Run | None = None


@final
class QueueFull(TaskloomError):
    """A bounded queue had no room and was told not to wait for it.

    >>> import taskloom
    >>> raise taskloom.errors.QueueFull("the queue holds 10 tasks, its bound")
    Traceback (most recent call last):
    taskloom.errors.QueueFull: the queue holds 10 tasks, its bound
    """


@final
class BrokenExecutor(TaskloomError, concurrent.futures.BrokenExecutor):
    """The executor can run nothing more, or lost the task in a fork.

    >>> import concurrent.futures, taskloom
    >>> issubclass(taskloom.errors.BrokenExecutor, concurrent.futures.BrokenExecutor)
    True
    """


@final
class ValueFreedError(TaskloomError, LookupError):
    """The value of a node was freed after its last reader; the message says how to keep it.

    >>> import taskloom
    >>> g = taskloom.Graph()
    >>> first = g.add(int, "1")
    >>> last = g.add(abs, first)
    >>> run = taskloom.run(g.compile(keep=[first]))
    >>> run[first], run[last]
    (1, 1)
    """


@final
class DeadlineMissed(TaskloomError, TimeoutError):
    """A deadline passed before the task could end.

    >>> import taskloom
    >>> issubclass(taskloom.errors.DeadlineMissed, TimeoutError)
    True
    """


@final
class ProcessDied(TaskloomError):
    """The process of a task ended before the task did; no other task is affected.

    `task` is the task's name, `pid` the process, `exit_code` what it exited with, negative for the
    signal that killed it.

    >>> import os
    >>> from taskloom.places.process import ProcessPlace
    >>> with ProcessPlace(1) as place:
    ...     error = place.submit(os._exit, (3,)).exception()
    >>> type(error), error.exit_code
    (<class 'taskloom.errors.ProcessDied'>, 3)
    """

    task: str = ""
    pid: int = 0
    exit_code: int = 0


@final
class RemoteError(TaskloomError):
    """Stands for an error of another process that could not be sent: its type and text, quoted.

    >>> from taskloom.places.process import ProcessPlace
    >>> def fail():
    ...     error = ValueError("carries a lock")
    ...     error.lock = __import__("threading").Lock()
    ...     raise error
    >>> with ProcessPlace(1) as place:
    ...     place.submit(fail).result()
    Traceback (most recent call last):
    taskloom.errors.RemoteError: ValueError: carries a lock
    """


@final
class EndOfStream(TaskloomError):
    """A channel is drained and its last sender was closed. From `select`, `index` says which.

    >>> import taskloom
    >>> send, receive = taskloom.Channel(1).split()
    >>> send.close()
    >>> with receive:
    ...     receive.receive_nowait()
    Traceback (most recent call last):
    taskloom.errors.EndOfStream: the channel's last sender was closed
    """

    index: int | None = None


@final
class ClosedResourceError(TaskloomError):
    """This end of the channel was closed.

    >>> import taskloom
    >>> send, receive = taskloom.Channel(1).split()
    >>> receive.close()
    >>> send.close()
    >>> send.send_nowait(1)
    Traceback (most recent call last):
    taskloom.errors.ClosedResourceError: this sender is closed
    """


@final
class BrokenResourceError(TaskloomError):
    """A channel's last receiver was closed. From `select`, `index` says which.

    >>> import taskloom
    >>> send, receive = taskloom.Channel(1).split()
    >>> receive.close()
    >>> with send:
    ...     send.send_nowait(1)
    Traceback (most recent call last):
    taskloom.errors.BrokenResourceError: the channel's last receiver was closed
    """

    index: int | None = None


@final
class WouldBlock(TaskloomError):
    """What was asked for cannot be done at once.

    >>> import taskloom
    >>> send, receive = taskloom.Channel(1).split()
    >>> with send, receive:
    ...     receive.receive_nowait()
    Traceback (most recent call last):
    taskloom.errors.WouldBlock: the channel is empty
    """


@final
class Cancelled(BaseException):
    """Raised inside a task that was cancelled; let it pass, as `asyncio.CancelledError`.

    Waiters see `concurrent.futures.CancelledError` instead.

    >>> import taskloom
    >>> issubclass(taskloom.errors.Cancelled, Exception)
    False
    """


@final
class AliasingWarning(UserWarning):
    """A node returned an object that is in use elsewhere, and another node changes or takes it.

    Issued by runs of a plan that was compiled with `check_aliasing=True`.

    >>> import taskloom, warnings
    >>> shared = [3, 1, 2]
    >>> g = taskloom.Graph()
    >>> numbers = g.options(name="numbers").add(lambda: shared)
    >>> ordered = g.options(name="ordered").add(list.sort, taskloom.forward(numbers))
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     run = taskloom.run(g.compile(check_aliasing=True), mode="serial")
    >>> caught[0].category
    <class 'taskloom.errors.AliasingWarning'>
    """
