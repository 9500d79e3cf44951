from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from taskloom.pregel.checkpoint.base import BaseCheckpointSaver
from taskloom.pregel.checkpoint.memory import InMemorySaver

MakeSaver = Callable[..., BaseCheckpointSaver[Any]]


@pytest.fixture(params=["memory"])
def make_saver(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeSaver]:
    """A function that makes an empty saver of each kind, with options."""
    with ExitStack() as stack:

        def make(**options: Any) -> BaseCheckpointSaver[Any]:
            return stack.enter_context(InMemorySaver(**options))

        yield make


@pytest.fixture
def saver(make_saver: MakeSaver) -> BaseCheckpointSaver[Any]:
    return make_saver()
