from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from taskloom.pregel.checkpoint.base import BaseCheckpointSaver
from taskloom.pregel.checkpoint.memory import InMemorySaver
from taskloom.pregel.checkpoint.sqlite import SqliteSaver

MakeSaver = Callable[..., BaseCheckpointSaver[Any]]


@pytest.fixture(params=["memory", "sqlite"])
def make_saver(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeSaver]:
    """A function that makes an empty saver of each kind, with options."""
    with ExitStack() as stack:

        def make(**options: Any) -> BaseCheckpointSaver[Any]:
            if request.param == "memory":
                return stack.enter_context(InMemorySaver(**options))
            path = tmp_path / "checkpoints.sqlite"
            return stack.enter_context(SqliteSaver.from_conn_string(path, **options))

        yield make


@pytest.fixture
def saver(make_saver: MakeSaver) -> BaseCheckpointSaver[Any]:
    return make_saver()
