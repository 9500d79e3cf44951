"""A task and its process share one fate and no other: death, cancel, timeout."""

from __future__ import annotations

import concurrent.futures
import os
import signal
from pathlib import Path

import process_tasks as tasks
import pytest
from latches import Latch
from taskloom.errors import ProcessDied
from taskloom.places.process import ProcessPlace


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_process_that_exits_fails_its_task_with_a_clear_error(place: ProcessPlace) -> None:
    error = place.submit(tasks.exit_with, (3,)).exception()
    assert type(error) is ProcessDied
    assert str(error) == f"process {error.pid} exited with code 3 while it ran task 'exit_with'"
    assert (error.task, error.exit_code) == ("exit_with", 3)


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL])
def test_a_signal_that_kills_a_process_is_named(place: ProcessPlace, number: int) -> None:
    error = place.submit(tasks.die_by, (number,)).exception()
    assert type(error) is ProcessDied
    assert error.exit_code == -number
    assert signal.Signals(number).name in str(error)


def test_tasks_beside_and_behind_a_death_are_not_affected(
    place: ProcessPlace, latch: Latch
) -> None:
    beside = place.submit(tasks.hold, latch.args)
    pid = latch.pid()
    dying = place.submit(tasks.exit_with, (1,))
    behind = [place.submit(tasks.give, (number,)) for number in range(5)]
    assert type(dying.exception()) is ProcessDied
    assert [future.result() for future in behind] == list(range(5))
    latch.release()
    assert beside.result() == pid


def test_a_process_killed_while_it_sends_fails_its_task_alone(place: ProcessPlace) -> None:
    dying = place.submit(tasks.die_while_sending, (1_000_000,))
    others = [place.submit(tasks.give, (number,)) for number in range(5)]
    assert type(dying.exception()) is ProcessDied
    assert [future.result() for future in others] == list(range(5))


def test_a_death_is_noticed_though_a_child_keeps_the_stream_open(
    single: ProcessPlace, latch: Latch
) -> None:
    error = single.submit(tasks.leave_a_child_and_die, (latch.released,)).exception()
    latch.release()
    assert type(error) is ProcessDied
    assert error.exit_code == 5


def test_a_process_that_dies_idle_is_replaced(single: ProcessPlace) -> None:
    pid = single.submit(tasks.pid).result()
    os.kill(pid, signal.SIGKILL)
    outcome = single.submit(tasks.pid)
    # The task may have been sent before the death was noticed: then it shares the process's fate.
    if outcome.exception() is not None:
        outcome = single.submit(tasks.pid)
    assert outcome.result() != pid


def test_cancel_ends_a_running_task_and_its_process(single: ProcessPlace, latch: Latch) -> None:
    future = single.submit(tasks.hold, latch.args)
    pid = latch.pid()
    assert future.running()
    assert future.cancel()
    assert future.cancelled()
    with pytest.raises(concurrent.futures.CancelledError):
        future.result()
    assert single.submit(tasks.pid).result() != pid
    assert not is_running(pid)


def test_cancel_of_a_running_task_wakes_those_who_wait_for_it(
    single: ProcessPlace, latch: Latch
) -> None:
    future = single.submit(tasks.hold, latch.args)
    latch.pid()
    seen: list[concurrent.futures.Future[object]] = []
    future.add_done_callback(seen.append)
    with concurrent.futures.ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(concurrent.futures.wait, [future])
        future.cancel()
        assert waiting.result().done == {future}
    assert seen == [future]


def test_cancel_ends_what_the_task_has_started(single: ProcessPlace, tmp_path: Path) -> None:
    started = tmp_path / "started"
    os.mkfifo(started)
    future = single.submit(tasks.hold_with_child, (str(started),))
    with started.open() as pipe:
        assert pipe.readline() == "up\n"
        future.cancel()
        assert pipe.read() == ""  # the end of the stream: nobody is left who could write


def test_a_task_cancelled_in_the_queue_never_runs(
    single: ProcessPlace, latch: Latch, tmp_path: Path
) -> None:
    running = single.submit(tasks.hold, latch.args)
    pid = latch.pid()
    queued = single.submit(tasks.touch, (str(tmp_path / "ran"),))
    assert queued.cancel()
    assert queued.done()
    latch.release()
    assert running.result() == pid
    assert single.submit(tasks.pid).result() == pid
    assert not (tmp_path / "ran").exists()


def test_cancel_after_the_end_is_refused(place: ProcessPlace) -> None:
    future = place.submit(tasks.give, (1,))
    assert future.result() == 1
    assert not future.cancel()


def test_a_timeout_ends_the_task_and_its_process(single: ProcessPlace, latch: Latch) -> None:
    future = single.submit(tasks.hold, latch.args, timeout=0.05)
    error = future.exception()
    assert type(error) is TimeoutError
    assert str(error).startswith("task 'hold' ran longer than its timeout of 0.05 s; its process ")
    pid = int(str(error).split()[-3])
    assert single.submit(tasks.pid).result() != pid
    assert not is_running(pid)


def test_a_timeout_does_not_count_the_time_in_the_queue(single: ProcessPlace, latch: Latch) -> None:
    running = single.submit(tasks.hold, latch.args)
    latch.pid()
    queued = single.submit(tasks.give, (1,), timeout=60)
    assert queued.deadline is None
    latch.release()
    running.result()
    assert queued.result() == 1
    assert queued.deadline is not None


def test_a_timeout_of_zero_is_refused(place: ProcessPlace) -> None:
    with pytest.raises(ValueError, match="timeout must be more than 0 seconds, not 0"):
        place.submit(tasks.give, (1,), timeout=0)
