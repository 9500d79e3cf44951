"""Running a graph on several inputs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

from taskloom.pregel.types import RunnableConfig

if TYPE_CHECKING:
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
    todo = iter(range(len(inputs)))

    def run_some() -> None:
        for index in todo:
            try:
                results[index] = graph.invoke(inputs[index], configs[index], **options)
            except Exception as exc:
                results[index] = _Failed(exc)

    helpers = []
    for _ in range(_limit(configs, len(inputs)) - 1):
        context = copy_context()
        helpers.append(graph.submit_background(partial(context.run, run_some)))
    run_some()
    for helper in helpers:
        if not helper.cancel():
            helper.result()
    return _outcomes(results, return_exceptions)


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
