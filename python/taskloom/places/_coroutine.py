"""Coroutines as tasks: `async def` nodes of a graph, and what is placed on an event loop.

A coroutine with limits, retries, needs or a place of its own is run by another one around it, which
keeps to them by what coroutines have: awaits and cancel tokens. Its future ends when it has ended,
so what it was given is its own until then, also after a timeout.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, final

from taskloom import _taskloom
from taskloom._taskloom import Future, TaskOptions
from taskloom.current import attempt_here
from taskloom.errors import Cancelled, DeadlineMissed
from taskloom.flow import RetryTask
from taskloom.retry import Retry, next_attempt

if TYPE_CHECKING:
    import asyncio
    from concurrent.futures import Future as StandardFuture

    from taskloom.scheduling.resources import Resources

__all__ = ["Turn", "spawn"]

# A function with its positional and keyword arguments.
Call = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]


class Desk(Protocol):
    """What is asked of the executor's side that lets tasks with needs start."""

    hard_deadlines: bool

    def admit(self, launch: Any, needs: Resources) -> bool:
        """Whether it may start now; if not, its `start` is called later."""
        ...

    def withdraw(self, turn: Turn, needs: Resources) -> None:
        """It wants to start no more."""

    def release(self, needs: Resources) -> None:
        """What it was admitted with is free again."""

    def hold(self, turn: Turn) -> None:
        """It is waiting to start."""

    def let_go(self, turn: Turn) -> None:
        """It waits no more."""


def spawn(
    pool: _taskloom.Pool,
    desk: Desk,
    chosen: TaskOptions,
    call: Call,
    *,
    timeout: float | None,
    named: Callable[..., Any],
    of_run: bool,
) -> Future[Any]:
    """Runs a coroutine function, or what is placed on a loop, with options."""
    loop = None
    if chosen.given.get("place") == "loop":
        from taskloom.places._loop import chosen_loop

        loop = chosen_loop(for_node=of_run)
    # What a node does is stopped with its run; what is submitted, also with whoever submits it.
    token = _taskloom.token_variable.get(None) if of_run else _taskloom.current_token()
    governed = _Governed(desk, chosen, call, timeout, loop)
    return _taskloom._spawn(pool, governed.run, (), None, options=chosen, token=token, named=named)


@final
class Turn:
    """A coroutine in the line of those who need resources."""

    __slots__ = (
        "_admitted",
        "_desk",
        "_given_up",
        "_lock",
        "_setter",
        "_wait",
        "band",
        "future",
        "needs",
    )

    def __init__(self, band: int, future: StandardFuture[Any]) -> None:
        self.band = band
        self.future = future
        self.needs: Resources | None = None
        self._desk: Desk | None = None
        self._wait = _taskloom.Wait()
        # Set by another thread: not asked of the wait, which the coroutine is in by then.
        self._setter = self._wait.setter
        # Who admits it and who gives up waiting may meet: the later one gives back what was taken.
        self._lock = threading.Lock()
        self._admitted = False
        self._given_up = False

    def start(self) -> None:
        """It has been admitted."""
        with self._lock:
            self._admitted = True
            comes_late = self._given_up
        if not comes_late:
            self._setter.set()
        elif self._desk is not None and self.needs is not None:
            self._desk.release(self.needs)

    async def come(self, desk: Desk, needs: Resources) -> None:
        """Waits until it is admitted."""
        self._desk, self.needs = desk, needs
        if desk.admit(self, needs):
            return
        desk.hold(self)
        try:
            await self._wait
        except BaseException:
            with self._lock:
                self._given_up = True
                admitted = self._admitted
            if admitted:
                desk.release(needs)
            else:
                desk.withdraw(self, needs)
            raise
        finally:
            desk.let_go(self)


@final
class _Governed:
    """One coroutine and what it is to keep to."""

    __slots__ = ("_begun", "_call", "_chosen", "_desk", "_future", "_loop", "_timeout")

    def __init__(
        self,
        desk: Desk,
        chosen: TaskOptions,
        call: Call,
        timeout: float | None,
        loop: asyncio.AbstractEventLoop | None,
        *,
        future: StandardFuture[Any] | None = None,
    ) -> None:
        self._timeout = timeout
        self._desk = desk
        self._chosen = chosen
        self._call = call
        self._loop = loop
        self._begun = _taskloom.clock()
        # Given where the engine does not know it.
        self._future = future

    async def run(self) -> Any:
        if self._future is None:
            self._future = _taskloom.current_handle()
        given = self._chosen.given
        deadline: float | None = given.get("deadline")
        if deadline is None or not self._desk.hard_deadlines:
            return await self._admitted()
        missed = DeadlineMissed(f"{self._name()} was not done by its deadline, after {deadline} s")
        return await _limited(self._admitted, self._begun + deadline, missed)

    async def _admitted(self) -> Any:
        given = self._chosen.given
        prerequisites = given.get("after", ())
        if prerequisites:
            await _done(prerequisites)
        needs: Resources | None = given.get("resources")
        if needs is None:
            return await self._attempts()
        assert self._future is not None
        await Turn(self._chosen.band, self._future).come(self._desk, needs)
        try:
            return await self._attempts()
        finally:
            self._desk.release(needs)

    async def _attempts(self) -> Any:
        retry: Retry | None = self._chosen.given.get("retry")
        timeout = self._timeout
        attempt = failed = 0
        last_error: BaseException | None = None
        while True:
            attempt += 1
            if isinstance(self._future, Future):
                _taskloom._set_attempts(self._future, attempt, last_error)
            elif self._future is not None:
                attempt_here.set((self._future, attempt, last_error))
            try:
                if timeout is None:
                    return await self._once()
                late = TimeoutError(f"{self._name()} ran longer than its timeout of {timeout} s")
                return await _limited(self._once, _taskloom.clock() + timeout, late)
            except Cancelled:
                raise
            except BaseException as error:
                asked = isinstance(error, RetryTask)
                failed += not asked
                wait = next_attempt(retry, error, failed, self._left())
                if wait is None:
                    raise
                if not asked:
                    last_error = error
                    if retry is not None and retry.pass_error is not None:
                        function, args, kwargs = self._call
                        self._call = function, args, {**kwargs, retry.pass_error: error}
            await _taskloom.sleep(wait)

    def _left(self) -> float | None:
        deadline: float | None = self._chosen.given.get("deadline")
        if deadline is None or not self._desk.hard_deadlines:
            return None
        return self._begun + deadline - _taskloom.clock()

    async def _once(self) -> Any:
        function, args, kwargs = self._call
        if self._loop is None:
            return await function(*args, **kwargs)
        from taskloom.places._loop import call_on

        assert isinstance(self._future, Future)
        return await call_on(self._loop, function, args, kwargs, self._future)

    def _name(self) -> str:
        name = self._chosen.given.get("name")
        return "the task" if name is None else f"task {name!r}"


async def _limited(call: Callable[[], Any], until: float, late: BaseException) -> Any:
    """Awaits a call that is cancelled at a time of the clock; then raises `late`."""
    around = _taskloom.current_token()
    token = _taskloom.Token(around)
    before = _taskloom.replace_token(token)
    timer = None
    if until <= _taskloom.clock():
        token.cancel("deadline")
    else:
        timer = token.cancel_at(until)
    try:
        token.check()
        return await call()
    except Cancelled as cancelled:
        if token.asked and not (around is not None and around.cancelled):
            raise late from cancelled
        raise
    finally:
        if timer is not None:
            timer.forget()
        if before is not None:
            _taskloom.replace_token(before)


async def _done(prerequisites: tuple[StandardFuture[Any], ...]) -> None:
    """Waits for futures; Cancelled as soon as one has failed that must not."""
    wait = _taskloom.Wait()
    end = wait.setter
    lock = threading.Lock()
    left = len(prerequisites)

    def after(prerequisite: StandardFuture[Any]) -> None:
        nonlocal left
        failed = prerequisite.cancelled() or prerequisite.exception() is not None
        if failed and not _taskloom._lets_go_on(prerequisite):
            end.set(prerequisite)
        with lock:
            left -= 1
            last = left == 0
        if last:
            end.set()

    for prerequisite in prerequisites:
        prerequisite.add_done_callback(after)
    if await wait is not None:
        raise Cancelled("a task that it was to come after has failed or was cancelled")
