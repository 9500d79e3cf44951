from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from latches import Latch
from taskloom.places.process import ProcessPlace


@pytest.fixture
def latch(tmp_path: Path) -> Latch:
    return Latch(tmp_path)


@pytest.fixture
def two_latches(tmp_path: Path) -> tuple[Latch, Latch]:
    folders = tmp_path / "one", tmp_path / "two"
    for folder in folders:
        folder.mkdir()
    return Latch(folders[0]), Latch(folders[1])


@pytest.fixture(scope="session")
def place() -> Iterator[ProcessPlace]:
    """A place of two processes that tests share; they may kill its processes but not break it."""
    with ProcessPlace(2) as place:
        yield place


@pytest.fixture
def single() -> Iterator[ProcessPlace]:
    """A place of one process for one test."""
    place = ProcessPlace(1)
    yield place
    place.shutdown(kill=True)
