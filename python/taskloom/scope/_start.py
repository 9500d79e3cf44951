"""Children that say when they are ready: what `Scope.start` waits for.

Until a child has called `started()` it belongs to whoever waits in `start`: a cancellation around
that call reaches it, one of the scope does not, and its error comes out of the call. From then on
it is a child of the scope like any other. If the call was cancelled before, `started()` moves
nothing any more, and the call waits for the child's end: if that ends well all the same, without an
await, the call returns its value.

So the child's token is below neither of the two: it is told by the one that it belongs to.
The rules are those of trio's nurseries.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar, final

from taskloom import _taskloom
from taskloom.errors import Cancelled
from taskloom.scope._child import Child
from taskloom.scope._frames import between, from_the_call
from taskloom.scope.cancellation import shield
from taskloom.scope.primitives import Event

if TYPE_CHECKING:
    from taskloom.scope._children import Host
    from taskloom.scope.scope import Scope

__all__ = ["TASK_STATUS_IGNORED", "TaskStatus", "start_child"]

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)
Call = Callable[..., Any]


@final
class TaskStatus(Generic[T_contra]):
    """What a function started by `Scope.start` says that it is ready with.

    >>> import taskloom
    >>> async def serve(*, task_status=taskloom.TASK_STATUS_IGNORED):
    ...     task_status.started(8080)
    ...     await taskloom.sleep(0)
    >>> taskloom.run_coroutine(serve)
    """

    __slots__ = ("_child",)

    def __init__(self, child: _StartingChild | None = None) -> None:
        self._child = child

    def started(self: TaskStatus[T | None], value: T | None = None) -> None:
        """Lets `start` return `value`. RuntimeError if it was called before."""
        child = self._child
        if child is not None:
            child.started(value)


TASK_STATUS_IGNORED: TaskStatus[Any] = TaskStatus()
"""A default for `task_status`, for when nobody waits: its `started()` does nothing."""


@final
class _StartingChild(Child):
    """A child that belongs to the call of `start` until it has said that it is ready."""

    __slots__ = (
        "_given_up",
        "_guard",
        "_own",
        "_registration",
        "answered",
        "error",
        "moved",
        "said",
        "status",
        "value",
    )

    def __init__(self, scope: Scope, named: Call) -> None:
        super().__init__(scope, named)
        self._guard = threading.Lock()
        self._given_up = False
        self.said = Event()  # that it is ready, or has ended
        self.status: TaskStatus[Any] = TaskStatus(self)
        self.answered = False  # it has called started()
        self.moved = False  # to its scope
        self.value: Any = None
        self.error: BaseException | None = None
        self._own = _taskloom.Token()
        self._registration = self._listen(_taskloom.current_token())

    @property
    def token(self) -> _taskloom.Token:
        return self._own

    def _listen(self, token: _taskloom.Token | None) -> _taskloom.TokenCallback | None:
        """Has the child cancelled with `token`."""
        if token is None:
            return None
        registration = token.on_cancel(lambda: self._own.cancel(token.reason))
        if registration is None:
            self._own.cancel(token.reason)
        return registration

    def started(self, value: Any) -> None:
        with self._guard:
            if self.answered:
                raise RuntimeError("started() was called before: a child is ready once")
            self.answered, self.value = True, value
            if self._given_up or self._own.cancelled:
                return
            if self._registration is not None and not self._registration.forget():
                return  # the call is being cancelled, and waits for the child's end
            self.moved = True
            self._registration = self._listen(self.scope.token)
        self.said.set()

    def give_up(self) -> None:
        """The call of `start` was interrupted."""
        with self._guard:
            if self.moved:
                return
            self._given_up = True
        self._own.cancel("the call that started it was cancelled")

    def ended(self, value: Any, error: BaseException | None) -> None:
        with self._guard:
            self.over = True
            self.handle = None
            self.status._child = None  # an error's traceback refers to the status
            moved = self.moved
        if self._registration is not None:
            self._registration.forget()
        if moved:
            super().ended(value, error)
            return
        self.error = None if error is None else from_the_call(error)
        _taskloom._settle(self.future, "cancelled", None)
        self.scope._child_over()
        self.said.set()


@between
async def _call(fn: Call, args: tuple[Any, ...], kwargs: dict[str, Any], status: Any) -> Any:
    returned = fn(*args, **kwargs, task_status=status)
    if not inspect.isawaitable(returned):
        raise TypeError(
            f"start(fn): fn must be a coroutine function that takes task_status; "
            f"{_name_of(fn)}() returned {returned!r}"
        )
    return await returned


def _name_of(fn: Call) -> str:
    return getattr(fn, "__qualname__", None) or repr(fn)


async def start_child(
    scope: Scope, host: Host, fn: Call, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """What `Scope.start` does."""
    scope._begin()
    child = _StartingChild(scope, fn)
    try:
        host.spawn(child, _call, (fn, args, kwargs, child.status), {})
    except BaseException:
        scope._child_over()
        raise
    interrupt: BaseException | None = None
    try:
        await child.said.wait()
    except BaseException as error:
        interrupt = error
        child.give_up()
    while not child.said.is_set():
        try:
            with shield():
                await child.said.wait()
        except BaseException as error:  # an event loop's own cancellation
            interrupt = error
    failure, child.error = child.error, None
    try:
        if not (failure is None or isinstance(failure, Cancelled)):
            raise failure
        ended_well = child.answered and failure is None
        if interrupt is not None and not (ended_well and isinstance(interrupt, Cancelled)):
            raise interrupt
        if not child.answered:
            how = "exited" if failure is None else "was cancelled"
            raise RuntimeError(
                f"{_name_of(fn)}(): child {how} without calling task_status.started()"
            )
        if failure is not None:
            raise failure
        return child.value
    finally:
        del failure, interrupt
