"""Running a graph on several inputs."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

from taskloom.pregel.types import RunnableConfig

if TYPE_CHECKING:
    from concurrent.futures import Future

    from taskloom.pregel.pregel import Pregel

Configs = RunnableConfig | Sequence[RunnableConfig] | None


def _configs(config: Configs, count: int) -> list[Any]:
    if config is None or isinstance(config, dict):
        return [config] * count
    configs = list(config)
    if len(configs) != count:
        raise ValueError(f"{count} inputs, but {len(configs)} configs: give one, or one for each")
    return configs


def _limit(configs: list[Any], count: int) -> int:
    limits = [c["max_concurrency"] for c in configs if c and c.get("max_concurrency")]
    return int(min([count, *limits]))


def batch(
    graph: Pregel,
    inputs: Sequence[Any],
    config: Configs,
    return_exceptions: bool,
    options: dict[str, Any],
) -> list[Any]:
    """See `Pregel.batch`. The calling thread takes part."""
    configs = _configs(config, len(inputs))
    results: list[Any] = [None] * len(inputs)
    todo = deque(range(len(inputs)))

    def run_some() -> None:
        while todo:
            try:
                index = todo.popleft()
            except IndexError:
                return
            try:
                results[index] = graph.invoke(inputs[index], configs[index], **options)
            except Exception as exc:
                results[index] = _Failed(exc)

    helpers = []
    for _ in range(_limit(configs, len(inputs)) - 1):
        helper = _Helper(run_some)
        helper.future = graph.submit_background(partial(copy_context().run, helper))
        helpers.append(helper)
    try:
        run_some()
    except BaseException:
        todo.clear()
        for helper in helpers:
            helper.future.cancel()
        raise
    for helper in helpers:
        if not helper.dismiss():
            helper.future.result()
    return _outcomes(results, return_exceptions)


class _Helper:
    """A call that is of use only if it begins while there is work left.

    One that has not begun by then is dismissed, not cancelled: to cancel what has begun meanwhile
    would end it.
    """

    future: Future[Any]

    def __init__(self, work: Callable[[], None]) -> None:
        self.work: Callable[[], None] | None = work
        self.begun = False
        self.lock = threading.Lock()

    def __call__(self) -> None:
        with self.lock:
            work, self.work = self.work, None
            self.begun = work is not None
        if work is not None:
            work()

    def dismiss(self) -> bool:
        """Let it do nothing if it has not begun. Returns whether that is so."""
        with self.lock:
            self.work = None
            return not self.begun


class _Failed:
    def __init__(self, error: Exception) -> None:
        self.error = error


def _outcomes(results: list[Any], return_exceptions: bool) -> list[Any]:
    outcomes = []
    for result in results:
        if isinstance(result, _Failed):
            if not return_exceptions:
                raise result.error
            outcomes.append(result.error)
        else:
            outcomes.append(result)
    return outcomes


async def abatch(
    graph: Pregel,
    inputs: Sequence[Any],
    config: Configs,
    return_exceptions: bool,
    options: dict[str, Any],
) -> list[Any]:
    """See `Pregel.abatch`."""
    configs = _configs(config, len(inputs))
    if not inputs:
        return []
    gate = asyncio.Semaphore(_limit(configs, len(inputs)))

    async def run(index: int) -> Any:
        async with gate:
            return await graph.ainvoke(inputs[index], configs[index], **options)

    return await asyncio.gather(
        *(run(index) for index in range(len(inputs))), return_exceptions=return_exceptions
    )
