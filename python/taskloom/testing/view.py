"""A seeded executor seen through options."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, final

from taskloom._taskloom import Plan
from taskloom.access import Context
from taskloom.errors import OptionError
from taskloom.graph import Graph
from taskloom.run import Mode, Run
from taskloom.task import Options
from taskloom.testing.future import SeededFuture

if TYPE_CHECKING:
    from taskloom.testing.executor import SeededExecutor

__all__ = ["SeededView"]

P = ParamSpec("P")
R = TypeVar("R")

# What a view may ask for; the others would need processes, loops or graphs.
OBEYED = (
    "name",
    "priority",
    "deadline",
    "timeout",
    "retry",
    "after",
    "on_error",
    "resources",
    "isolate_context",
)


def obeyed(options: Options) -> Options:
    """The options, if a seeded executor can obey them all; else `OptionError`."""
    for name in options.as_dict():
        if name not in OBEYED:
            raise OptionError(
                f"a SeededExecutor cannot obey {name!r}; it knows {', '.join(OBEYED)}: use an "
                f"Executor to test the others"
            )
    return options


@final
class SeededView:
    """A `SeededExecutor` seen through options; made by `SeededExecutor.options`.

    >>> from taskloom.testing import SeededExecutor
    >>> executor = SeededExecutor(seed=1)
    >>> first = executor.submit(int)
    >>> executor.options(after=[first], name="second").submit(first.done).result()
    True
    """

    def __init__(self, executor: SeededExecutor, options: Options) -> None:
        self._executor = executor
        self._options = options

    def options(self, **options: Any) -> SeededView:
        """A view with these options, and those of this view that are not among them.

        >>> from taskloom.testing import SeededExecutor
        >>> SeededExecutor(seed=1).options(priority=1).options(name="x").submit(int).result()
        0
        """
        given = Options("options", **options)
        return SeededView(self._executor, obeyed(given).over(self._options))

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> SeededFuture[R]:
        """As `SeededExecutor.submit`, with the view's options.

        >>> from taskloom.testing import SeededExecutor
        >>> SeededExecutor(seed=1).options(priority=1).submit(pow, 2, 5).result()
        32
        """
        return self._executor._submit(self._options, fn, args, kwargs)

    def run(
        self,
        target: Graph | Plan,
        *,
        mode: Mode = "parallel",
        check: bool = True,
        context: Context | None = None,
    ) -> Run:
        """As `SeededExecutor.run`, with the view's priority and timeout.

        >>> import taskloom
        >>> from taskloom.testing import SeededExecutor
        >>> SeededExecutor(seed=1).options(timeout=5).run(taskloom.Graph()).ok
        True
        """
        return self._executor._run(self._options, target, mode=mode, check=check, context=context)

    def start(
        self, target: Graph | Plan, *, mode: Mode = "parallel", context: Context | None = None
    ) -> Run:
        """As `SeededExecutor.start`, with the view's priority and timeout.

        >>> import taskloom
        >>> from taskloom.testing import SeededExecutor
        >>> SeededExecutor(seed=1).options(priority=2).start(taskloom.Graph()).result().ok
        True
        """
        return self._executor._start(self._options, target, mode=mode, context=context)
