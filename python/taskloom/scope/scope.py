"""Scope: a block that nothing spawned in it outlives.

What a scope guarantees, however it is left:

1. Every child has ended when the block is over, also when the body raised, the scope was cancelled,
   or the code around it was. While it waits for them it cannot be interrupted, only its children
   can: they feel every cancellation that the scope feels.
2. The first error cancels the scope (unless `on_error="continue"`), and all errors come out as one
   exception group, in the order in which they happened.
3. A child that ends by being cancelled is no error.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Awaitable, Callable, Coroutine, Generator
from concurrent.futures import Executor
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, final

from taskloom import _taskloom
from taskloom._asynchrony import is_coroutine_function, running_loop
from taskloom._taskloom import Channel, Future, Receiver, Sender
from taskloom.current import around, open_scopes, place_here, scope_here
from taskloom.errors import Cancelled, OptionError
from taskloom.scope._calling import call_plainly
from taskloom.scope._child import Child
from taskloom.scope._children import (
    AsyncioHost,
    Host,
    TaskloomHost,
    cancellations_of,
    host_here,
)
from taskloom.scope._ends import spawn_at_ends
from taskloom.scope._hosts import running_trio
from taskloom.scope._start import start_child
from taskloom.scope.cancellation import CancelScope, fail_after, move_on_after
from taskloom.scope.options import ScopeOptions
from taskloom.scope.pipeline import Stage, start_pipeline

__all__ = ["Scope"]

R = TypeVar("R")
Call = Callable[..., Any]


class _Join:
    """Awaited: until no child is left. As an object, so that a scope's `join()` may be ignored."""

    __slots__ = ("_scope",)

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    def __await__(self) -> Generator[Any, Any, None]:
        return self._scope._wait_idle().__await__()


@final
class Scope(_taskloom.Nursery):
    """A block that nothing spawned in it outlives.

    Enter it with `async with` in a coroutine (on a taskloom pool, an asyncio loop or trio), or with
    `with` in plain code. `spawn(fn, *args, **kwargs)` starts a plain function on the executor, or a
    coroutine function where the scope was entered (in plain code: on the executor). Leaving the
    block waits for all of them.

    Parameters
    ----------
    executor
        Where plain functions run; by default `taskloom.default_executor()`.
    on_error
        `"cancel"`: the first error cancels the rest. `"continue"`: the others go on. Both raise all
        errors as an `ExceptionGroup` in the end.
    deadline
        A time on `taskloom.current_time()`'s clock at which the scope is cancelled.
    shield
        Keep cancellation from around the scope away from it.
    name
        For error messages.

    >>> import taskloom
    >>> async def double(n):
    ...     await taskloom.sleep(0)
    ...     return 2 * n
    >>> async def main():
    ...     async with taskloom.Scope() as scope:
    ...         futures = [scope.spawn(double, n) for n in range(3)]
    ...     return [future.result() for future in futures]
    >>> taskloom.run_coroutine(main)
    [0, 2, 4]
    """

    __slots__ = (
        "__weakref__",
        "_around",
        "_cancel_scope",
        "_executor",
        "_host",
        "_name",
        "_opened_in",
        "_outer",
        "_sync",
    )

    _executor: Executor | None
    _name: str | None
    _cancel_scope: CancelScope
    _host: Host | None
    _sync: bool

    def __new__(
        cls,
        executor: Executor | None = None,
        *,
        on_error: Literal["cancel", "continue"] = "cancel",
        deadline: float = math.inf,
        shield: bool = False,
        name: str | None = None,
    ) -> Scope:
        if on_error not in ("cancel", "continue"):
            raise OptionError(f"Scope(on_error={on_error!r}): 'cancel' or 'continue'")
        if not (executor is None or callable(getattr(executor, "submit", None))):
            raise TypeError(f"Scope({executor!r}): an executor, for plain functions to run on")
        self: Scope = super().__new__(cls, on_error == "cancel")
        self._executor = executor
        self._name = name
        self._cancel_scope = CancelScope(deadline=deadline, shield=shield)
        self._host = None
        self._sync = False
        return self

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Everything was done in __new__.
        pass

    # What is spawned

    def _spawn(
        self,
        fn: Call,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: ScopeOptions | None = None,
        named: Call | str | None = None,
    ) -> Future[Any]:
        if not callable(fn):
            made = isinstance(fn, Coroutine)
            hint = ": pass the coroutine function and its arguments apart" if made else ""
            raise TypeError(f"spawn(fn, *args): fn must be callable, not {fn!r}{hint}")
        if options is not None:
            named = options._options.get("name", named)
        child = Child(self, fn if named is None else named)
        self._begin()
        try:
            if not is_coroutine_function(fn):
                call_plainly(self, child, fn, args, kwargs, options)
            elif self._host is None:
                raise RuntimeError(
                    "a coroutine function was spawned in a scope of plain code whose executor "
                    "cannot run coroutines: use a taskloom.Executor"
                )
            elif options is None:
                self._host.spawn(child, fn, args, kwargs)
            else:
                options._spawn_coroutine(self._host, child, fn, args, kwargs)
        except BaseException:
            self._child_over()
            raise
        return child.future

    def options(
        self, *, abandon: bool = False, migrate: bool = False, **options: Any
    ) -> ScopeOptions:
        """A view of this scope whose children have options.

        abandon
            For plain functions: leaving the scope does not wait for the thread. Without it, leaving
            waits for a function whose timeout has passed too, until it returns.
        migrate
            For coroutines on a pool: each step may be another worker's.
        options
            For plain functions: what `Executor.options` takes, such as `place="process"` or
            `priority`. For coroutines: `name`, `retry`, and `timeout`, which cancels the attempt.

        >>> import taskloom, threading
        >>> release = threading.Event()
        >>> with taskloom.Scope() as scope:
        ...     future = scope.options(abandon=True).spawn(release.wait)
        >>> future.done()
        False
        >>> release.set()
        >>> future.result()
        True
        """
        return ScopeOptions(self, abandon=abandon, migrate=migrate, **options)

    async def start(self, fn: Callable[..., Awaitable[Any]], /, *args: Any, **kwargs: Any) -> Any:
        """Starts `fn(*args, **kwargs, task_status=...)` and waits until it says that it is ready.

        It does so by `task_status.started(value)`; that value is returned, and the child goes on in
        this scope. Until then it belongs to this call: cancelling the call cancels it, and its
        error is raised here. RuntimeError if it ends without having said so.

        >>> import taskloom
        >>> async def serve(host, *, task_status):
        ...     task_status.started(f"{host}:8080")
        ...     await taskloom.sleep_forever()
        >>> async def main():
        ...     async with taskloom.Scope() as scope:
        ...         address = await scope.start(serve, "localhost")
        ...         scope.cancel()
        ...     return address
        >>> taskloom.run_coroutine(main)
        'localhost:8080'
        """
        if self._host is None:
            self._begin()  # which refuses if the scope is not open
            self._child_over()
            raise RuntimeError("start() in a scope whose executor cannot run coroutines")
        return await start_child(self, self._host, fn, args, kwargs)

    def produce(
        self, channel: Channel[R], fn: Callable[[Sender[R]], object], n: int = 1
    ) -> list[Future[Any]]:
        """Spawns `n` times `fn(sender)`, each with a sending end of its own that is closed after.

        >>> import taskloom
        >>> channel = taskloom.Channel(4)
        >>> with taskloom.Scope() as scope, channel.receiver() as receiver:
        ...     _ = scope.produce(channel, lambda sender: sender.send_many_blocking("abc"))
        ...     sorted(receiver)
        ['a', 'b', 'c']
        """
        return spawn_at_ends(self, channel, Channel.sender, fn, n)

    def consume(
        self, channel: Channel[R], fn: Callable[[Receiver[R]], object], n: int = 1
    ) -> list[Future[Any]]:
        """Spawns `n` times `fn(receiver)`, each with a receiving end of its own, closed after.

        >>> import taskloom
        >>> channel = taskloom.Channel(4)
        >>> with taskloom.Scope() as scope, channel.sender() as sender:
        ...     futures = scope.consume(channel, lambda receiver: sum(receiver))
        ...     sender.send_many_blocking([1, 2, 3])
        >>> futures[0].result()
        6
        """
        return spawn_at_ends(self, channel, Channel.receiver, fn, n)

    def pipeline(self, source: Any, *stages: Stage) -> Receiver[Any]:
        """Lets the items of `source` run through the stages; returns where the results come out.

        `source` is an iterable, an async iterable, or a `Receiver`. Iterate over the result and
        close it (`with`); leaving early stops the pipeline with `BrokenResourceError` in its
        stages, so cancel the scope if that is meant. Example: `taskloom.stage`.

        >>> import taskloom
        >>> with taskloom.Scope() as scope:
        ...     with scope.pipeline(range(4), taskloom.stage(lambda n: n * n, 2)) as results:
        ...         sorted(results)
        [0, 1, 4, 9]
        """
        return start_pipeline(self, source, stages)

    def _has_threads(self) -> bool:
        """Whether plain functions may block: they have a thread."""
        host = self._host
        return not (
            self._executor is None and isinstance(host, TaskloomHost) and host.home.is_seeded
        )

    def _has_coroutines(self) -> bool:
        return self._host is not None

    # How it ends

    @property
    def token(self) -> _taskloom.Token:
        """The scope's cancel token."""
        return self._cancel_scope.token

    @property
    def cancel_scope(self) -> CancelScope:
        """The cancel scope around the body and all children."""
        return self._cancel_scope

    @property
    def deadline(self) -> float:
        """When it is cancelled by itself, on `taskloom.current_time()`'s clock; may be changed."""
        return self._cancel_scope.deadline

    @deadline.setter
    def deadline(self, value: float) -> None:
        self._cancel_scope.deadline = value

    @property
    def shield(self) -> bool:
        """Whether what happens around it is kept away; may be changed."""
        return self._cancel_scope.shield

    @shield.setter
    def shield(self, value: bool) -> None:
        self._cancel_scope.shield = value

    @property
    def cancelled(self) -> bool:
        """Whether the scope is cancelled: itself, by its deadline, or from around it."""
        token = self._cancel_scope._token
        return self._cancel_scope.cancel_called if token is None else token.cancelled

    def cancel(self, reason: str | None = None) -> None:
        """Cancels the body and all children; from any thread.

        >>> import taskloom
        >>> async def main():
        ...     async with taskloom.Scope() as scope:
        ...         future = scope.spawn(taskloom.sleep_forever)
        ...         scope.cancel("enough")
        ...     return future.cancelled()
        >>> taskloom.run_coroutine(main)
        True
        """
        self._cancel_scope.cancel(reason)

    # For a part of the body: `with scope.move_on_after(2): ...`
    move_on_after = staticmethod(move_on_after)
    fail_after = staticmethod(fail_after)

    def join(self) -> Awaitable[None]:
        """Waits until no child is left, without leaving: await it; in plain code it blocks.

        >>> import taskloom
        >>> with taskloom.Scope() as scope:
        ...     future = scope.spawn(len, "abc")
        ...     _ = scope.join()
        ...     future.done()
        True
        """
        if self._sync:
            self._wait_blocking()
        return _Join(self)

    def _wait_blocking(self) -> None:
        while (wait := self._idle_wait()) is not None:
            wait.wait()

    async def _wait_idle(self) -> None:
        while (wait := self._idle_wait()) is not None:
            await wait

    def _find_host(self, executor: Executor | None) -> None:
        if self._cancel_scope._token is not None:
            raise RuntimeError("a Scope can be entered once: make a new one")
        self._host = host_here(executor)

    def _enter(self) -> None:
        self._cancel_scope.__enter__()
        home = self._host.home if isinstance(self._host, TaskloomHost) else None
        self._open(self.token, home)
        self._around = around()
        self._opened_in = place_here()
        self._outer = scope_here.set(self)
        open_scopes.add(self)

    def _body_ended(self, error: BaseException | None) -> None:
        """Notes what the body raised, if that is for the group; its error cancels the rest."""
        if not self._is_open:
            raise RuntimeError("this Scope was not entered, or has been left")
        if error is None:
            return
        if not isinstance(error, cancellations_of(self._host)):
            self._body_failed(error)
        self._cancel_scope.cancel("the body of the scope failed")

    def _cancelled_while_waiting(self) -> Cancelled | None:
        """What a wait that is cancelled raises; leaving a scope is one, if it has to wait."""
        try:
            self.token.check()
        except Cancelled as cancelled:
            return cancelled
        return None

    def _finish(self, error: BaseException | None, interrupt: BaseException | None) -> bool:
        """Leaves the cancel scope with all that happened. True if nothing is to be raised."""
        open_scopes.discard(self)
        with contextlib.suppress(ValueError):  # left in another context than it was entered in
            scope_here.reset(self._outer)
        errors = self._take_errors()
        outcome: BaseException | None = interrupt or error
        if errors:
            where = f" of {self._name}" if self._name else ""
            outcome = BaseExceptionGroup(f"unhandled errors in a scope{where}", errors)
        try:
            kind = None if outcome is None else type(outcome)
            if self._cancel_scope.__exit__(kind, outcome, None):
                return True
            if outcome is None or outcome is error:
                return False
            if errors and isinstance(self._host, AsyncioHost):
                self._host.cancel_again()
            # A group stands for what is in it: the context would repeat one of them.
            try:
                raise outcome
            finally:
                outcome.__context__ = None
                outcome.__suppress_context__ = True
        finally:
            # The traceback of what is raised, here or by the cancel scope, refers to this frame.
            del outcome, errors, error, interrupt

    def __enter__(self) -> Self:
        self._sync = True
        self._find_host(self._executor)
        if not isinstance(self._host, TaskloomHost | None) or _taskloom.in_coroutine():
            raise RuntimeError("enter a Scope with `async with` where an event loop runs")
        self._enter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        self._body_ended(error)
        interrupt: BaseException | None = None
        waited = False
        variable = _taskloom.token_variable.set(_taskloom.Token(None))
        while True:
            try:
                while not self._close():
                    waited = True
                    self._wait_blocking()
                break
            except (
                BaseException
            ) as caught:  # Ctrl-C: cancel, and wait for the children all the same
                interrupt = caught
                self._cancel_scope.cancel(f"interrupted by {type(caught).__name__}")
        _taskloom.token_variable.reset(variable)
        if interrupt is not None and not isinstance(interrupt, Cancelled):
            self._body_failed(interrupt)
        if waited and error is None and interrupt is None:
            interrupt = self._cancelled_while_waiting()
        try:
            return self._finish(error, interrupt)
        finally:
            del error, interrupt  # the traceback of what is raised refers to this frame

    async def __aenter__(self) -> Self:
        if _taskloom.current_home() is None and running_loop() is None and not running_trio():
            raise RuntimeError("`async with Scope()` needs a running coroutine")
        self._find_host(None)
        self._enter()
        if self._host is not None:
            await self._host.enter()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        self._body_ended(error)
        interrupt: BaseException | None = None
        waited = False
        while True:
            try:
                # Shielded: the children feel a cancellation from around, this wait does not.
                with CancelScope(shield=True):
                    while not self._close():
                        waited = True
                        await self._wait_idle()
                    if not waited:
                        await _taskloom.yield_now()  # so that a loop over scopes lets others go on
                if self._host is not None:
                    await self._host.leave()
                break
            except BaseException as caught:
                # Only a foreign event loop can get in here: its cancellation goes on afterwards.
                interrupt = caught
                self._cancel_scope.cancel("the task of the scope was cancelled")
                if not isinstance(caught, cancellations_of(self._host)):
                    self._body_failed(caught)
                    break
        if waited and error is None and interrupt is None:
            interrupt = self._cancelled_while_waiting()
        try:
            return self._finish(error, interrupt)
        finally:
            del error, interrupt  # the traceback of what is raised refers to this frame

    def __repr__(self) -> str:
        state = "cancelled" if self.cancelled else "open" if self._is_open else "closed"
        return f"<Scope {self._name or ''}: {state}, {self._live} children>"
