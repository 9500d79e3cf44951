"""What a task asks for by raising it: another attempt, the end of its branch, the end of its run.

None of these is a failure, and none is an `Exception`, so that no `except Exception` between the
place that asks and the engine swallows it.
"""

from __future__ import annotations

from taskloom._typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from typing import Any, ClassVar


__all__ = ["AbortBranch", "AbortRun", "FlowSignal", "NotTaken", "Passed", "RetryTask"]


class FlowSignal(BaseException):
    """Base of what directs the flow when a task raises it.

    >>> import taskloom
    >>> from taskloom.flow import FlowSignal
    >>> issubclass(taskloom.AbortRun, FlowSignal), issubclass(taskloom.AbortRun, Exception)
    (True, False)
    """

    _kind: ClassVar[int]


@final
class RetryTask(FlowSignal):
    """Raised by a task that wants to be called again, with the same arguments.

    It does not count against the `attempts` of a `Retry`, and needs none: a task may ask as often
    as it likes, until its deadline, or until it or its run is cancelled. Works for nodes, for
    submitted tasks and for what is spawned in a scope; there a coroutine needs some
    `scope.options(retry=...)`, by which its arguments are kept for another call. A node that takes
    an argument cannot ask: the argument is gone.

    Parameters
    ----------
    delay
        Seconds before the next call; None leaves it to the task's `Retry`, and is 0 without one.

    >>> import taskloom
    >>> queue = [None, None, "ready"]
    >>> def poll():
    ...     item = queue.pop(0)
    ...     if item is None:
    ...         raise taskloom.RetryTask(delay=0.001)
    ...     return item
    >>> g = taskloom.Graph()
    >>> node = g.add(poll)
    >>> taskloom.run(g)[node]
    'ready'
    """

    _kind = 0

    def __init__(self, delay: float | None = None) -> None:
        super().__init__(delay)
        if delay is not None and not delay >= 0:
            raise ValueError(f"RetryTask(delay={delay!r}) must be seconds, 0 or more, or None")
        self.delay = delay

    def __str__(self) -> str:
        return (
            "the task asks for another attempt, which a coroutine spawned in a scope has with "
            "scope.options(retry=...)"
        )


@final
class AbortBranch(FlowSignal):
    """Raised by a node that has nothing to hand on: what depends on it is skipped, quietly.

    The run goes on and is `ok`. `run[node]` is `value`, and `run.why(node).status` is "ended". A
    node that only comes `after` this one is skipped too, unless this one has
    `on_error="continue"`.

    A task that is no node has no branch: there it is the error of its future.

    Parameters
    ----------
    value
        What `run[node]` gives.

    >>> import taskloom
    >>> def check(text):
    ...     if not text:
    ...         raise taskloom.AbortBranch("nothing to parse")
    ...     return text
    >>> g = taskloom.Graph()
    >>> checked = g.add(check, "")
    >>> parsed = g.add(int, checked)
    >>> run = taskloom.run(g)
    >>> run.ok, run[checked], run.why(parsed).status
    (True, 'nothing to parse', 'skipped')
    """

    _kind = 1

    def __init__(self, value: Any = None) -> None:
        super().__init__(value)
        self.value = value

    def __str__(self) -> str:
        return "the end of its branch"


@final
class AbortRun(FlowSignal):
    """Raised by a node that wants nothing more of its run to start.

    What runs is asked to stop; the rest is cancelled. `run.status` is "aborted", and `Executor.run`
    and `Run.result()` raise `taskloom.errors.RunAborted` with the reason.

    A task that is no node has no run: there it is the error of its future.

    Parameters
    ----------
    reason
        What `RunAborted` says.

    >>> import taskloom
    >>> def check(size):
    ...     if size > 10:
    ...         raise taskloom.AbortRun("too large")
    >>> g = taskloom.Graph()
    >>> node = g.options(name="check").add(check, 11)
    >>> taskloom.run(g)
    Traceback (most recent call last):
    taskloom.errors.RunAborted: node 'check' aborted the run: too large
    """

    _kind = 2

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason


@final
class Passed(FlowSignal):
    """Raised by a node of the library that has nothing to do because of one of its arguments.

    `cause` is the place of that argument, whose node has given no value.

    >>> from taskloom.flow import Passed
    >>> Passed(1).cause
    1
    """

    _kind = 3

    def __init__(self, cause: int) -> None:
        super().__init__(cause)
        self.cause = cause


@final
class NotTaken(FlowSignal):
    """Raised by a node of the library before the nodes of a case that is not taken.

    They are skipped as after `AbortBranch`, but count as if they were not there: the objects that
    they were to write to are left as they are, for whoever uses them later.

    >>> from taskloom.flow import NotTaken
    >>> issubclass(NotTaken, Exception)
    False
    """

    _kind = 4
