"""Every setting of an executor has its effect, from wherever it comes."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
import taskloom
from taskloom import Executor, ExecutorConfig, Resources, worker_index
from taskloom.errors import OptionError, QueueFull


def test_keyword_config_environment_file_and_default_win_in_this_order(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("[executor]\nmax_workers=1\naging=1\nmax_queue_depth=1\nspare_workers=1\n")
    monkeypatch.setenv("TASKLOOM_CONFIG", str(file))
    monkeypatch.setenv("TASKLOOM_WORKERS", "2")
    monkeypatch.setenv("TASKLOOM_AGING", "2")
    monkeypatch.setenv("TASKLOOM_QUEUE_DEPTH", "2")
    config = ExecutorConfig(max_workers=3, aging=3)
    with Executor(4, config=config) as executor:
        found = executor.config
    assert found == ExecutorConfig(max_workers=4, aging=3, max_queue_depth=2, spare_workers=1)
    assert found.deadline_lead == 0.1


def test_the_environment_sets_the_default_executor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taskloom._default._default", None)
    monkeypatch.setenv("TASKLOOM_WORKERS", "3")
    with taskloom.default_executor() as executor:
        assert executor.submit(taskloom.worker_count).result() == 3


def test_a_variable_that_sets_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKLOOM_WORKER", "3")
    with pytest.raises(OptionError, match="did you mean 'TASKLOOM_WORKERS'"):
        Executor()


def test_an_unknown_keyword_is_refused_with_the_nearest_setting() -> None:
    with pytest.raises(OptionError, match="no setting 'max_queue'; did you mean 'max_queue_depth'"):
        Executor(max_queue=3)  # type: ignore[call-arg]


def test_a_config_must_be_one() -> None:
    with pytest.raises(TypeError, match="must be an ExecutorConfig"):
        Executor(config={"max_workers": 2})  # type: ignore[arg-type]


def test_tasks_held_for_prerequisites_count_as_queued() -> None:
    before: taskloom.Future[None] = taskloom.Future()
    with Executor(1, max_queue_depth=2, when_full="reject") as executor:
        after = executor.options(after=[before])
        held = [after.submit(int) for _ in range(2)]
        try:
            with pytest.raises(QueueFull, match="max_queue_depth=2"):
                after.submit(int)
            with pytest.raises(QueueFull, match="max_queue_depth=2"):
                executor.submit(int)
        finally:
            before.set_result(None)
        assert [future.result() for future in held] == [0, 0]
        assert executor.submit(int).result() == 0


def test_a_held_task_that_is_cancelled_makes_room() -> None:
    before: taskloom.Future[None] = taskloom.Future()
    with Executor(1, max_queue_depth=1, when_full="reject") as executor:
        assert executor.options(after=[before]).submit(int).cancel()
        assert executor.submit(int).result() == 0


def test_a_task_without_room_beside_held_ones_is_dropped() -> None:
    before: taskloom.Future[None] = taskloom.Future()
    with Executor(1, max_queue_depth=1, when_full="drop_oldest") as executor:
        after = executor.options(after=[before])
        held, dropped = after.submit(int), after.submit(int)
        over = dropped.done()
        before.set_result(None)
        assert over
        assert isinstance(dropped.exception(), QueueFull)
        assert held.result() == 0
        assert executor.stats().dropped == 1


def test_a_submit_waits_until_a_held_task_gets_its_turn() -> None:
    before: taskloom.Future[None] = taskloom.Future()
    with Executor(1, max_queue_depth=1) as executor:
        held = executor.options(after=[before]).submit(int)
        waiting = threading.Thread(target=lambda: results.append(executor.submit(int).result()))
        results: list[int] = []
        waiting.start()
        before.set_result(None)
        waiting.join()
        assert (held.result(), results) == (0, [0])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_process_task_counts_as_queued_until_it_begins(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with Executor(1, max_queue_depth=1) as executor:
        process = executor.options(place="process")
        reading = process.submit(Path.read_text, pipe)
        # Waits for room, which comes when the first begins and long before it ends.
        second = process.submit(abs, -1)
        pipe.write_text("done")
        assert (reading.result(), second.result()) == ("done", 1)


@pytest.mark.parametrize(("spares", "ran_on"), [(0, 0), (1, 1)])
def test_spare_workers_bounds_who_stands_in_for_a_blocked_worker(spares: int, ran_on: int) -> None:
    gate: taskloom.Future[None] = taskloom.Future()
    with Executor(1, spare_workers=spares) as executor:
        entered = threading.Event()

        def block() -> None:
            entered.set()
            gate.result()

        blocked = executor.submit(block)
        entered.wait()
        other = executor.submit(worker_index)
        if spares:
            other.exception(timeout=None)
        gate.set_result(None)
        blocked.result()
        assert other.result() == ran_on


def test_tasks_share_the_memory_that_a_limit_names() -> None:
    with Executor(1, memory_limit="1 MiB") as executor:
        with pytest.raises(ValueError, match="memory"):
            executor.options(resources=Resources(memory="2 MiB")).submit(int)
        assert executor.options(resources=Resources(memory="1 MiB")).submit(int).result() == 0


def test_custom_resources_can_be_needed() -> None:
    with Executor(1, resources={"gpu": 1}) as executor:
        assert executor.options(resources=Resources(gpu=1)).submit(int).result() == 0
        with pytest.raises(ValueError, match="gpu"):
            executor.options(resources=Resources(gpu=2)).submit(int)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="needs processor affinity")
def test_workers_run_on_the_processors_named() -> None:
    chosen = min(os.sched_getaffinity(0))
    with Executor(2, cpu_affinity=[chosen]) as executor:
        assert executor.submit(os.sched_getaffinity, 0).result() == {chosen}
    assert len(os.sched_getaffinity(0)) >= 1


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="needs processor affinity")
def test_compact_ties_each_worker_to_a_processor_of_its_own() -> None:
    both = threading.Barrier(2)

    def where() -> frozenset[int]:
        both.wait()
        return frozenset(os.sched_getaffinity(0))

    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two processors")
    with Executor(2, cpu_affinity="compact") as executor:
        seen = {executor.submit(where), executor.submit(where)}
        places = {future.result() for future in seen}
    assert len(places) == 2
    assert all(len(place) == 1 for place in places)


def test_workers_ask_for_the_real_time_class(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int, str]] = []

    def note(pid: int, policy: int, parameters: os.sched_param) -> None:
        asked.append((policy, parameters.sched_priority, threading.current_thread().name))

    monkeypatch.setattr(os, "sched_setscheduler", note, raising=False)
    with Executor(1, realtime="rr:7", thread_name_prefix="fast") as executor:
        executor.submit(int).result()
    ((policy, priority, thread),) = asked
    assert policy & ~getattr(os, "SCHED_RESET_ON_FORK", 0) == os.SCHED_RR
    assert (priority, thread) == (7, "fast_0")


def test_an_executor_made_by_a_task_has_its_share_of_the_processors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("taskloom.scheduling.cpus.usable_cpus", lambda: tuple(range(8)))
    monkeypatch.setattr("taskloom.scheduling.container.ControlGroup.cpu_quota", lambda _: None)

    def workers_inside(**settings: int) -> int:
        with Executor(**settings) as inner:  # type: ignore[arg-type]
            count = inner.submit(taskloom.worker_count).result()
            assert count is not None
            return count

    assert workers_inside() == 12
    with Executor(4) as outer:
        assert outer.submit(workers_inside).result() == 2
        assert outer.submit(workers_inside, max_workers=5).result() == 5
    with Executor(100) as outer:
        assert outer.submit(workers_inside).result() == 1


def test_the_default_executor_takes_no_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taskloom._default._default", None)

    def count() -> int | None:
        with taskloom.default_executor() as executor:
            return executor.submit(taskloom.worker_count).result()

    expected = ExecutorConfig().worker_count()
    with Executor(100) as outer:
        assert outer.submit(count).result() == expected
