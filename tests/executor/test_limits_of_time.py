"""What a task whose time is up still holds, what others get meanwhile, and until when."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from gates import Gate
from taskloom import Executor, Limit, Resources
from taskloom.errors import DeadlineMissed


@pytest.fixture
def release() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def test_resources_stay_held_until_the_thread_leaves(release: threading.Event) -> None:
    one = Limit("one", 1)
    with Executor(2) as executor:
        view = executor.options(resources=Resources(one))
        late = view.options(timeout=0.01).submit(release.wait, 30)
        assert isinstance(late.exception(), TimeoutError)
        following = view.submit(int, "7")
        assert one.in_use == 1
        assert not following.running()
        release.set()
        assert following.result() == 7
    assert one.in_use == 0


def test_task_whose_time_is_up_counts_as_blocked_until_its_thread_leaves(
    release: threading.Event,
) -> None:
    with Executor(1) as executor:
        late = executor.options(timeout=0.01).submit(release.wait, 30)
        assert isinstance(late.exception(), TimeoutError)
        stats = executor.stats()
        assert (stats.blocked_workers, stats.timed_out, stats.running) == (1, 0, 1)
        release.set()
    stats = executor.stats()
    assert (stats.blocked_workers, stats.timed_out, stats.running) == (0, 1, 0)


def test_spares_for_hung_workers_are_bounded(release: threading.Event) -> None:
    with Executor(1, spare_workers=1) as executor:
        hung = [executor.options(timeout=0.01).submit(release.wait, 30) for _ in range(2)]
        assert all(isinstance(future.exception(), TimeoutError) for future in hung)
        queued = executor.submit(int, "7")
        stats = executor.stats()
        assert (stats.blocked_workers, stats.started_workers, stats.queued) == (2, 2, 1)
        release.set()
        assert queued.result() == 7


def test_call_raises_at_the_timeout_of_its_options(release: threading.Event) -> None:
    with Executor(1) as executor:
        with pytest.raises(TimeoutError, match="ran longer than its timeout"):
            executor.options(timeout=0.01).call(release.wait, 30)
        release.set()


def test_call_has_the_default_timeout(release: threading.Event) -> None:
    with Executor(1, default_timeout=0.01) as executor:
        with pytest.raises(TimeoutError, match="ran longer than its timeout"):
            executor.call(release.wait, 30)
        release.set()


def test_deadline_of_a_call_covers_its_wait_in_the_queue() -> None:
    with Executor(1) as executor:
        gate = Gate(executor)
        future = executor.options(deadline=1e-9).submit(int)
        gate.open()
        with pytest.raises(DeadlineMissed):
            future.result()


def test_wait_that_times_out_leaves_the_task_alone(release: threading.Event) -> None:
    with Executor(1) as executor:
        future = executor.submit(release.wait, 30)
        with pytest.raises(TimeoutError):
            future.result(0)
        release.set()
        assert future.result() is True


def test_shutdown_that_times_out_counts_what_it_leaves_behind(release: threading.Event) -> None:
    executor = Executor(1)
    gate = Gate(executor)
    executor.submit(int)
    executor.options(after=[gate.future]).submit(int)
    report = executor.shutdown(timeout=0.0)
    assert (report.finished, report.abandoned, report.submitted) == (0, 3, 3)
    gate.open()
    report = executor.shutdown()
    assert (report.finished, report.abandoned, report.submitted) == (3, 0, 3)
