"""One execution of a plan: its status, values and errors, and how to wait for it or stop it."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, NoReturn, Self, TypeVar, final, overload

from taskloom import _taskloom
from taskloom._taskloom import Node, Pack
from taskloom.errors import RunAborted, RunFailed, ValueFreedError
from taskloom.flow import AbortBranch, AbortRun
from taskloom.graph import Group

if TYPE_CHECKING:
    from taskloom._launch import _Limit
    from taskloom.observe.progress import RunProgress
    from taskloom.observe.trace import Trace

__all__ = ["Reason", "Run"]

R = TypeVar("R")

Mode = Literal["parallel", "serial", "auto"]
Status = Literal["running", "done", "failed", "aborted", "cancelled"]
NodeStatus = Literal["done", "failed", "skipped", "cancelled", "ended", "aborted"]

#: How a sentence about a node of this status begins, and what is said of one that was the cause.
_SAID: dict[NodeStatus, tuple[str, str]] = {
    "done": ("is done", ""),
    "failed": ("failed", ", which failed"),
    "skipped": ("was skipped", ""),
    "cancelled": ("was cancelled: the run was stopped before its end", ", which was cancelled"),
    "ended": ("ended its branch", ", which ended its branch"),
    "aborted": ("aborted the run", ", which aborted the run"),
}


@final
class Reason(NamedTuple):
    """Why a node has the status that it has; made by `Run.why`.

    `chain` leads from the node to the first cause, each node skipped because of the next; `error`
    is the error of the last one, if it failed, and `first` its status. A status is "done",
    "failed", "skipped", "cancelled", or, after `AbortBranch` or `AbortRun`, "ended" or "aborted".

    >>> import taskloom
    >>> g = taskloom.Graph()
    >>> bad = g.options(name="bad").add(int, "x")
    >>> run = taskloom.run(g, check=False)
    >>> str(run.why(bad))
    "node 'bad' failed: ValueError: invalid literal for int() with base 10: 'x'"
    """

    node: Node[Any]
    status: NodeStatus
    chain: tuple[Node[Any], ...]
    error: BaseException | None
    first: NodeStatus

    def __str__(self) -> str:
        text = f"node {self.node.name!r} {_SAID[self.status][0]}"
        if self.status == "skipped":
            text += "".join(f", because of {cause.name!r}" for cause in self.chain[1:])
            text += _SAID[self.first][1]
        if self.error is not None:
            text += f": {type(self.error).__name__}: {self.error}"
        return text


@final
class Run(_taskloom.RunCore):
    """One execution of a plan, live or over; made by `taskloom.run` and the methods of executors.

    `run[node]` is the value of a node, `run[group]` the list of a group's values. While the run
    goes on, asking for one waits for its end. A run that is dropped goes on; errors of its nodes
    that nobody asked for are then logged.

    >>> import taskloom
    >>> g = taskloom.Graph()
    >>> node = g.add(pow, 2, 10)
    >>> run = taskloom.run(g)
    >>> run.status, run.ok, run[node]
    ('done', True, 1024)
    """

    _limit: _Limit | None = None
    #: What it is a part of, by their numbers.
    _around: tuple[object, ...] = ()

    @property
    def status(self) -> Status:
        """What the run is at: "running", or how it ended.

        That is "done", "failed", "aborted" (a node raised `AbortRun`) or "cancelled".

        >>> import taskloom
        >>> taskloom.run(taskloom.Graph()).status
        'done'
        """
        if not self.done():
            return "running"
        if self.ok:
            return "done"
        if self._aborted_by() is not None:
            return "aborted"
        failed, _, cancelled = self._counts()
        return "failed" if failed or not cancelled else "cancelled"

    def _aborted_by(self) -> tuple[Node[Any], AbortRun] | None:
        """The first node that aborted the run, with what it raised."""
        for node, signal in self._signals():
            if isinstance(signal, AbortRun):
                return node, signal
        return None

    def wait(self, timeout: float | None = None) -> bool:
        """Waits for the end of the run, at most `timeout` seconds; returns whether it is over.

        >>> import taskloom
        >>> taskloom.run(taskloom.Graph()).wait()
        True
        """
        return self._wait(timeout)

    def cancel(self) -> bool:
        """Starts nothing more of this run; False if it is over already.

        What runs is asked to stop, as `Future.cancel` asks a task: checkpoints and waits raise
        `Cancelled` in it. What does not look runs to its end.

        >>> import taskloom
        >>> taskloom.run(taskloom.Graph()).cancel()
        False
        """
        return self._stop()

    def result(self, timeout: float | None = None) -> Self:
        """Waits, at most `timeout` seconds, and returns the run itself if all of it went well.

        Raises `RunFailed`, a group of the nodes' errors, if any failed; the error itself if it is
        no `Exception`, such as `KeyboardInterrupt`; `RunAborted` if a node raised `AbortRun`, with
        the `RunFailed` of those that failed before as its cause;
        `concurrent.futures.CancelledError` if the run was cancelled; and `TimeoutError` if it was
        stopped at its own timeout, or is not over within this one.

        >>> import taskloom
        >>> g = taskloom.Graph()
        >>> node = g.add(abs, -1)
        >>> taskloom.run(g).result()[node]
        1
        """
        if not self._wait(timeout):
            raise TimeoutError(f"the run was not over within {timeout} seconds")
        if self.ok:
            return self
        self._raise()

    def _raise(self) -> NoReturn:
        failures, fatal = self._failures()
        if fatal is not None:
            raise fatal
        aborted = self._aborted_by()
        if aborted is not None:
            node, signal = aborted
            text = f"node {node.name!r} aborted the run"
            error = RunAborted(f"{text}: {signal.reason}" if signal.reason else text)
            error.run = self
            raise error from (self._failed(failures) if failures else None)
        cancelled = self._counts()[2]
        if self._limit is not None and self._limit.has_passed:
            raise TimeoutError(
                f"the run took longer than its timeout of {self._limit.seconds:g} s: "
                f"{cancelled} of {len(self)} nodes did not run"
            ) from (self._failed(failures) if failures else None)
        if failures:
            raise self._failed(failures)
        raise concurrent.futures.CancelledError(
            f"the run was cancelled: {cancelled} of {len(self)} nodes did not run"
        )

    def _failed(self, failures: list[tuple[Node[Any], BaseException]]) -> RunFailed:
        failed, skipped, cancelled = self._counts()
        left_out = [f"{skipped} skipped"] * bool(skipped) + [f"{cancelled} cancelled"] * bool(
            cancelled
        )
        first, error = failures[0]
        text = f"{failed} of {len(self)} nodes failed"
        text += f" ({', '.join(left_out)})" if left_out else ""
        text += f", first {first.name!r}: {type(error).__name__}: {error}"
        return RunFailed(
            text, [error for _, error in failures if isinstance(error, Exception)], self
        )

    def exceptions(self, timeout: float | None = None) -> dict[Node[Any], BaseException]:
        """The errors of the nodes that failed; waits, at most `timeout` seconds, for the end.

        >>> import taskloom
        >>> g = taskloom.Graph()
        >>> node = g.add(int, "x")
        >>> taskloom.run(g, check=False).exceptions()[node]
        ValueError("invalid literal for int() with base 10: 'x'")
        """
        if not self._wait(timeout):
            raise TimeoutError(f"the run was not over within {timeout} seconds")
        return dict(self._failures()[0])

    def why(self, node: Node[Any] | str) -> Reason:
        """Why a node, or that of this name, has its status, down to the first cause.

        Waits for the end of the run.

        >>> import taskloom
        >>> g = taskloom.Graph()
        >>> bad = g.options(name="bad").add(int, "x")
        >>> last = g.options(name="last").add(abs, bad)
        >>> print(taskloom.run(g, check=False).why("last"))
        node 'last' was skipped, because of 'bad', which failed: ValueError: invalid literal ...
        """
        if isinstance(node, str):
            node = self.plan.graph.node(node)
        elif not isinstance(node, Node):
            raise TypeError(f"why takes a node or its name, not {node!r}")
        self._wait()
        status, cause = self._mark(node)
        chain = [node]
        last = status
        while cause is not None:
            chain.append(cause)
            last, cause = self._mark(cause)
        error = self.exceptions().get(chain[-1]) if last == "failed" else None
        return Reason(node, status, tuple(chain), error, last)

    def progress(self) -> RunProgress:
        """How many nodes are done, failed, running and so on, now.

        >>> import taskloom
        >>> g = taskloom.Graph()
        >>> _ = g.add(pow, 2, 10)
        >>> print(taskloom.run(g).progress())
        [####################] 100% 1 of 1 nodes
        """
        from taskloom.observe.progress import progress_of_run

        return progress_of_run(self)

    @property
    def trace(self) -> Trace:
        """When each node ran and where, so far; of a run that was started with `trace=True`.

        Raises `OptionError` for any other.

        >>> import taskloom
        >>> g = taskloom.Graph()
        >>> _ = g.add(pow, 2, 10)
        >>> taskloom.run(g, trace=True).trace.records[0].lane
        'caller'
        """
        from taskloom.observe._run_trace import trace_of_run

        return trace_of_run(self)

    @overload
    def __getitem__(self, node: Node[R], /) -> R: ...
    @overload
    def __getitem__(self, node: Group[R], /) -> list[R]: ...
    @overload
    def __getitem__(self, node: str | Pack, /) -> Any: ...
    def __getitem__(self, node: Any, /) -> Any:
        return super().__getitem__(node)

    def _missing_value(self, node: Any) -> Any:
        """The value of a node that is not there: waits, looks up a name, or says what is wrong."""
        if isinstance(node, str):
            return self[self.plan.graph.node(node)]
        if isinstance(node, Pack):
            return self._packed_value(node._content)
        if not isinstance(node, Node):
            raise TypeError(f"run[...] takes a node or its name, not {node!r}")
        if not self.done():
            self._mark(node)
            self._wait()
            return self[node]
        status, _ = self._mark(node)
        if status == "done" and node.index in self.plan._facts.gone:
            raise ValueFreedError(
                f"the value of node {node.name!r} was taken by its last user: have that one use "
                "copy(...) in place of take(...)"
            )
        if status == "done":
            raise ValueFreedError(
                f"the value of node {node.name!r} was freed after its last reader: keep it with "
                f"compile(keep=[node]), or all values with compile(slots='one_to_one')"
            )
        if status == "ended":
            return next(
                signal.value
                for other, signal in self._signals()
                if other is node and isinstance(signal, AbortBranch)
            )
        reason = self.why(node)
        if status == "failed" and reason.error is not None:
            raise reason.error
        raise concurrent.futures.CancelledError(str(reason)) from reason.error

    def _packed_value(self, content: Any) -> Any:
        if isinstance(content, (list, tuple)):
            return type(content)(map(self._packed_value, content))
        return self[content]

    def __await__(self) -> Generator[Any, None, Self]:
        return self._await().__await__()

    async def _await(self) -> Self:
        import asyncio

        if not self.done():
            loop = asyncio.get_running_loop()
            waiter: asyncio.Future[None] = loop.create_future()

            def wake() -> None:
                if not waiter.done():
                    waiter.set_result(None)

            def over() -> None:
                # The loop may have been closed meanwhile: then nobody waits any more.
                if not loop.is_closed():
                    loop.call_soon_threadsafe(wake)

            def errand() -> None:
                if not loop.is_closed():
                    loop.call_soon_threadsafe(self._run_errands)

            if self._needs_caller:
                # This thread does not block: it sees to what is for it in the loop's turns.
                self._set_on_errand(errand)
                errand()
            else:
                self._wait(0.0)  # raises in a forked child, where nobody ends the run
            self._when_over(over)
            try:
                await waiter
            except asyncio.CancelledError:
                self.cancel()
                raise
        return self.result()

    if not TYPE_CHECKING:  # type checkers are to say themselves that a run cannot be called

        def __call__(self, *args: object, **kwargs: object) -> NoReturn:
            raise TypeError(
                "a run is not called: run[node] is the value of a node, and run.result() waits "
                "for the end of the run"
            )

    def __del__(self) -> None:
        # Before the collector breaks the cycle of an error, its traceback and this handle.
        if not self.ok:
            self._report()

    def __repr__(self) -> str:
        return f"<run of {len(self)} nodes: {self.status}>"


def _log_unretrieved(failures: list[tuple[Node[Any] | None, BaseException]]) -> None:
    """Called when a run is gone whose errors nobody has asked for."""
    import logging

    logger = logging.getLogger("taskloom")
    for node, error in failures:
        name = "between two nodes" if node is None else f"in node {node.name!r}"
        logger.error("error %s of a run that nobody asked", name, exc_info=error)
