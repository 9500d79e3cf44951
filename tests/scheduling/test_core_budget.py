"""Two levels of parallelism share the processors: nested executors and numeric libraries."""

from __future__ import annotations

import os
import sys
import threading
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from taskloom import Executor, ExecutorConfig
from taskloom.errors import OptionError
from taskloom.places.process import ProcessPlace
from taskloom.scheduling import cpus, native


class Library:
    """What threadpoolctl says of a library: its number of threads, for all or for each thread."""

    def __init__(self, user_api: str, threads: int) -> None:
        self.user_api = user_api
        self.filepath = f"/lib/{user_api}.so"
        self._before = threads
        self._all = threads
        self._own = threading.local()

    @property
    def num_threads(self) -> int:
        if self.user_api == "openmp":
            return getattr(self._own, "threads", self._before)
        return self._all

    def set_num_threads(self, threads: int) -> None:
        if self.user_api == "openmp":
            self._own.threads = threads
        self._all = threads


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[Library]:
    """The libraries that a threadpoolctl finds, which stands in for the real one."""
    libraries = [Library("blas", 8), Library("openmp", 8)]
    module: Any = ModuleType("threadpoolctl")
    module.ThreadpoolController = lambda: SimpleNamespace(lib_controllers=list(libraries))
    monkeypatch.setitem(sys.modules, "threadpoolctl", module)
    return libraries


@pytest.fixture
def eight(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of eight processors."""
    monkeypatch.setattr(cpus, "cpu_count", lambda _among=None: 8)


def widths(executor: Executor) -> int:
    return executor._max_workers


@pytest.mark.usefixtures("eight")
def test_an_executor_made_by_a_task_has_the_share_of_its_worker() -> None:
    with Executor(2) as outer:
        assert outer.submit(lambda: widths(Executor())).result() == 4


@pytest.mark.usefixtures("eight")
def test_the_share_is_shared_further_in() -> None:
    def middle() -> int:
        with Executor() as executor:  # 4 of 8 processors, 1 for each worker
            return executor.submit(lambda: widths(Executor())).result()

    with Executor(2) as outer:
        assert outer.submit(middle).result() == 1


@pytest.mark.usefixtures("eight")
def test_a_number_of_workers_that_is_asked_for_stands() -> None:
    with Executor(8) as outer:
        assert outer.submit(lambda: widths(Executor(3))).result() == 3


@pytest.mark.usefixtures("eight")
def test_libraries_get_the_share_of_a_worker_while_it_lives(loaded: list[Library]) -> None:
    blas, openmp = loaded
    with Executor(2, native_threads="share") as executor:
        seen = executor.submit(lambda: (blas.num_threads, openmp.num_threads)).result()
    assert seen == (4, 4)
    assert (blas.num_threads, openmp.num_threads) == (8, 8)


@pytest.mark.usefixtures("eight")
def test_a_nested_executors_libraries_get_a_share_of_the_share(loaded: list[Library]) -> None:
    blas, _ = loaded

    def inside() -> int:
        with Executor(2, native_threads="share") as executor:
            return executor.submit(lambda: blas.num_threads).result()

    with Executor(2, native_threads="share") as outer:
        assert outer.submit(inside).result() == 2
    assert blas.num_threads == 8


def test_the_least_that_is_asked_for_holds_until_its_workers_have_left(
    loaded: list[Library],
) -> None:
    blas, _ = loaded
    with Executor(1, native_threads=3) as three:
        three.submit(int).result()
        with Executor(1, native_threads=2) as two:
            assert two.submit(lambda: blas.num_threads).result() == 2
            assert three.submit(lambda: blas.num_threads).result() == 2
        assert blas.num_threads == 3
    assert blas.num_threads == 8


def test_a_library_is_never_given_more_threads_than_it_had(loaded: list[Library]) -> None:
    blas, _ = loaded
    blas.set_num_threads(1)
    with Executor(1, native_threads=4) as executor:
        assert executor.submit(lambda: blas.num_threads).result() == 1
    assert blas.num_threads == 1


def test_a_library_that_is_loaded_later_is_told_by_the_next_worker(loaded: list[Library]) -> None:
    late = Library("blas", 6)
    late.filepath = "/lib/late.so"
    with Executor(1, native_threads=2) as first:
        first.submit(int).result()
        loaded.append(late)
        with Executor(1, native_threads=2) as second:
            assert second.submit(lambda: late.num_threads).result() == 2
        assert late.num_threads == 2
    assert late.num_threads == 6


def test_a_failing_initializer_puts_the_number_back(loaded: list[Library]) -> None:
    blas, _ = loaded

    def fail() -> None:
        raise OSError

    executor = Executor(1, initializer=fail, native_threads=2)
    assert executor.submit(int).exception() is not None
    executor.shutdown()
    assert blas.num_threads == 8


def test_without_threadpoolctl_the_setting_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    with pytest.raises(OptionError, match=r"taskloom\[numeric\]"):
        Executor(1, native_threads=1)


def test_a_wrong_number_of_threads_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 'share', or a whole number"):
        ExecutorConfig(native_threads=0)


def test_the_real_library_is_told_and_put_back() -> None:
    threadpoolctl = pytest.importorskip("threadpoolctl")
    pytest.importorskip("numpy")

    def blas() -> list[int]:
        libraries = threadpoolctl.ThreadpoolController().select(user_api="blas").info()
        return [library["num_threads"] for library in libraries]

    before = blas()
    with Executor(1, native_threads=1) as executor:
        assert set(executor.submit(blas).result()) <= {1}
    assert blas() == before


def test_nothing_is_left_behind(loaded: list[Library]) -> None:
    with Executor(2, native_threads=2) as executor:
        executor.submit(int).result()
    assert not native._asked
    assert not native._told


def told(name: str) -> str | None:
    return os.environ.get(name)


@pytest.mark.usefixtures("loaded", "eight")
@pytest.mark.parametrize(("workers", "threads", "expected"), [(2, "share", "4"), (2, 3, "3")])
def test_libraries_in_worker_processes_are_told_too(
    workers: int, threads: Any, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    with Executor(workers, native_threads=threads) as executor:
        there = executor.options(place="process")
        assert there.submit(told, "OMP_NUM_THREADS").result() == expected
        assert there.submit(told, "OPENBLAS_NUM_THREADS").result() == "1"


def test_worker_processes_are_told_nothing_unless_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    with Executor(1) as executor:
        assert executor.options(place="process").submit(told, "OMP_NUM_THREADS").result() is None


def width_of_another() -> int:
    return widths(Executor())


@pytest.mark.usefixtures("eight")
def test_an_executor_made_in_a_worker_process_has_the_share_of_that_process() -> None:
    with Executor(8) as outer:
        assert outer.options(place="process").submit(width_of_another).result() == 1


@pytest.mark.parametrize("name", ["cpus", "native_threads"])
def test_a_process_without_any_share_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at least 1, not 0"):
        ProcessPlace(1, **{name: 0})
