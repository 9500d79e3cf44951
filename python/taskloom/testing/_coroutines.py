"""Coroutines under a seeded executor: steps of one loop among the moves that a seed draws from."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, final

from taskloom import _taskloom
from taskloom._resolving import Base, resolve
from taskloom.current import Apart, apart_here
from taskloom.errors import Cancelled
from taskloom.places._coroutine import Turn, _Governed
from taskloom.retry import hands
from taskloom.testing.future import SeededFuture

if TYPE_CHECKING:
    from taskloom.scheduling.resources import Resources
    from taskloom.task import Options
    from taskloom.testing.executor import SeededExecutor

__all__ = ["Coroutines"]


@final
class Coroutines:
    """Those of one seeded executor; lets those with needs start, as an executor's desk does."""

    def __init__(self, executor: SeededExecutor) -> None:
        self._executor = executor
        self.hard_deadlines = executor.config.overdue == "skip"
        self._tokens: set[_taskloom.Token] = set()

    def spawn(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: Options,
    ) -> SeededFuture[Any]:
        """Queues the first step of a coroutine."""
        executor = self._executor
        label = options.get("name") or getattr(function, "__qualname__", repr(function))
        token = _taskloom.Token(_taskloom.current_token())
        future: SeededFuture[Any] = SeededFuture(executor._conductor, label, token)
        timeout = options.get("timeout", executor.config.default_timeout)
        chosen = resolve(options, Base())
        governed = _Governed(self, chosen, (function, args, kwargs), timeout, None, future=future)

        async def begun() -> Any:
            future.set_running_or_notify_cancel()
            return await governed.run()

        def ended(value: Any, error: BaseException | None) -> None:
            executor._live -= 1
            self._tokens.discard(token)
            if future.cancelled():
                future.set_running_or_notify_cancel()
            elif error is None:
                future.set_result(value)
            elif isinstance(error, Cancelled):
                future._end_cancelled()
            else:
                future.set_exception(error)

        executor._live += 1
        self._tokens.add(token)
        context = contextvars.copy_context()
        context.run(hands.set, executor._conductor.hands)
        deadline: float | None = options.get("deadline")
        now = executor.clock.now
        ends = None if deadline is None else now() + deadline
        context.run(apart_here.set, Apart(future, ends, now, future=future))
        executor._conductor.loop.home.spawn(begun, (), None, token, context, ended, None)
        return future

    def cancel_all(self) -> bool:
        """Asks all to stop; whether there were any."""
        tokens = tuple(self._tokens)
        for token in tokens:
            token.cancel("the test is over, and this coroutine was still waiting")
        return bool(tokens)

    def admit(self, launch: Turn, needs: Resources) -> bool:
        """Whether it may start now; if not, it is started later."""
        return self._executor._offer(launch, needs)

    def withdraw(self, turn: Turn, needs: Resources) -> None:
        """It wants to start no more."""
        self._executor._take_back(turn, needs, admitted=False)

    def release(self, needs: Resources) -> None:
        """What it was admitted with is free again."""
        self._executor._release(needs)

    def hold(self, turn: Turn) -> None:
        """It waits to start: what waits is counted elsewhere."""

    def let_go(self, turn: Turn) -> None:
        """It waits no more."""
