"""Nodes that run elsewhere than on the thread that comes to them: by place and by resources."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from typing import Any

from taskloom.task import Options


def check_options(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The executor's options among what a node was given.

    Raises:
        OptionError: an option has a wrong value.
    """
    found = {key: value for key, value in given.items() if value is not None}
    Options(f"node {name!r}", **found)
    return found


def placed(
    func: Callable[..., Any], options: Mapping[str, Any], executor: Callable[[], Executor]
) -> Callable[..., Any]:
    """A function that has `func` run on an executor with these options, and waits for it."""
    given = {key: value for key, value in options.items() if key != "priority"}
    if not given:
        return func

    def call(value: Any, **injected: Any) -> Any:
        view: Any = executor()
        return view.options(**given).submit(func, value, **injected).result()

    return call
