"""What tasks of worker processes find there, and what they tell: as those of threads do."""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from taskloom import Executor, Graph, Resources
from taskloom.errors import BrokenExecutor


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module that processes can import, with a context variable."""
    code = (
        "import contextvars\n"
        "TENANT = contextvars.ContextVar('tenant', default='nobody')\n"
        "begun = []\n"
    )
    (tmp_path / "settings_of_a_test.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    return importlib.import_module("settings_of_a_test")


@pytest.fixture
def executor() -> Iterator[Executor]:
    with Executor(1) as executor:
        yield executor


def about_me() -> Any:
    import taskloom

    task = taskloom.current_task()
    assert task is not None
    task.checkpoint()
    return task.name, task.attempt, task.deadline, task.cancelled, task.future


def tenant() -> str:
    from settings_of_a_test import TENANT  # type: ignore[import-not-found]

    found: str = TENANT.get()
    return found


def test_a_task_of_a_process_knows_its_name_attempt_and_deadline(executor: Executor) -> None:
    before = time.monotonic()
    future = executor.options(place="process", name="job", deadline=600).submit(about_me)
    name, attempt, deadline, cancelled, here = future.result()
    assert (name, attempt, cancelled, here) == ("job", 1, False, None)
    assert before + 600 <= deadline <= time.monotonic() + 600


def test_a_node_of_a_process_knows_its_name(executor: Executor) -> None:
    graph = Graph()
    node = graph.options(place="process", name="node").add(about_me)
    assert executor.run(graph)[node][:3] == ("node", 1, None)


def test_another_attempt_in_a_process_knows_its_number_and_the_error_before(
    executor: Executor,
) -> None:
    def flaky() -> Any:
        import taskloom

        task = taskloom.current_task()
        assert task is not None
        if task.attempt < 3:
            raise ValueError(f"number {task.attempt}")
        return task.attempt, str(task.last_error)

    future = executor.options(place="process", retry=3).submit(flaky)
    assert future.result() == (3, "number 2")


def test_the_last_progress_of_a_process_is_there_before_the_value(executor: Executor) -> None:
    def work() -> int:
        import taskloom

        task = taskloom.current_task()
        assert task is not None
        for done in range(1000):
            task.progress(done + 1, 1000)
        return 1

    future = executor.options(place="process").submit(work)
    assert future.result() == 1
    assert future.progress == (1000.0, 1000.0)


def test_what_a_process_says_of_its_progress_is_listed(executor: Executor, tmp_path: Path) -> None:
    import os

    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    def work(pipe: Path) -> None:
        import taskloom

        task = taskloom.current_task()
        assert task is not None
        task.progress(1, 4)
        pipe.read_text()  # until the test has looked

    future = executor.options(place="process", name="load").submit(work, pipe)
    with pipe.open("w"):  # the process is at its end of the pipe: it has told by now
        while future.progress is None:
            time.sleep(0)  # what it told is on its way here
        assert "task load [#####               ]  25%" in str(executor.progress())
    future.result()


def test_context_variables_that_are_named_travel_as_of_the_submit(settings: Any) -> None:
    with Executor(1, process_context=["settings_of_a_test:TENANT"]) as executor:
        gate = executor.options(resources=Resources(cpu=0.1)).submit(time.monotonic)
        settings.TENANT.set("acme")
        future = executor.options(place="process", after=[gate]).submit(tenant)
        settings.TENANT.set("later")
        assert future.result() == "acme"


def test_context_variables_reach_the_nodes_of_a_run(settings: Any) -> None:
    graph = Graph()
    node = graph.options(place="process").add(tenant)
    with Executor(1, process_context=[settings.TENANT]) as executor:
        settings.TENANT.set("acme")
        assert executor.run(graph)[node] == "acme"


def test_context_variables_that_nobody_named_stay_here(settings: Any, executor: Executor) -> None:
    settings.TENANT.set("acme")
    assert executor.options(place="process").submit(tenant).result() == "nobody"


def test_a_name_that_is_no_context_variable_is_refused(settings: Any) -> None:
    with Executor(1, process_context=["settings_of_a_test:begun"]) as executor:
        in_process = executor.options(place="process")
        with pytest.raises(ValueError, match=r"'settings_of_a_test:begun', a list, not a context"):
            in_process.submit(tenant)


def test_the_initializer_runs_in_each_process_before_its_first_task(settings: Any) -> None:
    def begin(word: str) -> None:
        import settings_of_a_test  # type: ignore[import-not-found]

        settings_of_a_test.begun.append(word)

    def begun() -> list[str]:
        import settings_of_a_test

        found: list[str] = settings_of_a_test.begun
        return found

    with Executor(1, initializer=begin, initargs=("hello",)) as executor:
        in_process = executor.options(place="process")
        assert [in_process.submit(begun).result() for _ in range(2)] == [["hello"], ["hello"]]


def test_an_initializer_that_fails_breaks_the_processes_and_not_the_threads() -> None:
    def begin(parent: int) -> None:
        import os

        if os.getpid() != parent:
            raise ValueError("not here")

    import os

    with Executor(1, initializer=begin, initargs=(os.getpid(),)) as executor:
        error = executor.options(place="process").submit(int).exception()
        assert isinstance(error, BrokenExecutor)
        assert isinstance(error.__cause__, ValueError)
        assert executor.submit(int).result() == 0


def test_an_initializer_that_cannot_be_sent_says_so() -> None:
    import threading

    lock = threading.Lock()

    def begin() -> None:
        lock.locked()

    with Executor(1, initializer=begin) as executor:
        with pytest.raises(TypeError) as caught:
            executor.options(place="process").submit(int)
        assert any("could not be sent" in note for note in caught.value.__notes__)
        assert executor.submit(int).result() == 0
