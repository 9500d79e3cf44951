"""LangGraph's public suite for savers passes on ours.

It brings some thirty packages, not all of which exist for every Python build that this package
supports, so it has a dependency group of its own: `pip install --group conformance`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from .conftest import MakeSaver

suite = pytest.importorskip(
    "langgraph.checkpoint.conformance",
    reason="install the dependency group 'conformance' to run LangGraph's suite for savers",
)


def test_the_public_suite_passes(make_saver: MakeSaver) -> None:
    async def fresh() -> AsyncIterator[Any]:
        saver = make_saver()
        yield saver
        for found in list(saver.list(None)):
            saver.delete_thread(found.config["configurable"]["thread_id"])

    registered = suite.checkpointer_test(name="ours")(fresh)
    report = asyncio.run(suite.validate(registered))
    failures = {name: result.failures for name, result in report.results.items()}
    assert not any(failures.values()), failures
    assert report.conformance_level() == "FULL"
    assert all(result.detected for result in report.results.values())
