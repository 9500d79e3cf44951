"""Where nodes run that are not run by the calling thread."""

# ruff: noqa: PLC0414 (names that this module exports)
from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

from taskloom._default import default_executor as default_executor


def submit(executor: Executor | None, call: Callable[..., Any], *arguments: Any) -> Future[Any]:
    """Submit a call to `executor`, or to the default one."""
    return (executor or default_executor()).submit(call, *arguments)
