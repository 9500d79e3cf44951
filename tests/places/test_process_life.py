"""Processes start when needed and end with their place, at exit, after a fork and on Ctrl-C."""

from __future__ import annotations

import concurrent.futures
import gc
import os
import signal
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import process_tasks as tasks
import pytest
from latches import Latch
from taskloom.errors import BrokenExecutor
from taskloom.places.process import ProcessPlace

HEAD = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import process_tasks as tasks
from taskloom.places.process import ProcessPlace
"""


def script(body: str, *args: str) -> subprocess.Popen[str]:
    """Start an interpreter that runs the body; its place is in no `if __name__ == "__main__":`."""
    return subprocess.Popen(
        [sys.executable, "-c", HEAD + body, *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_no_process_and_no_thread_is_started_before_the_first_task() -> None:
    before = threading.active_count()
    with ProcessPlace(1) as place:
        assert place.pids == ()
        assert threading.active_count() == before


def test_no_more_processes_are_started_than_asked_for(latch: Latch) -> None:
    with ProcessPlace(2) as place:
        futures = [place.submit(tasks.pid) for _ in range(20)]
        assert {future.result() for future in futures} <= set(place.pids)
        assert len(place.pids) <= 2


def test_shutdown_waits_for_what_was_submitted(latch: Latch) -> None:
    place = ProcessPlace(1)
    running = place.submit(tasks.hold, latch.args)
    queued = place.submit(tasks.give, (1,))
    latch.pid()
    place.shutdown(wait=False)
    assert not queued.done()
    latch.release()
    place.shutdown()
    assert running.done()
    assert queued.result(timeout=0) == 1


def test_shutdown_with_cancel_drops_the_queue_and_lets_the_running_task_end(latch: Latch) -> None:
    place = ProcessPlace(1)
    running = place.submit(tasks.hold, latch.args)
    queued = place.submit(tasks.give, (1,))
    pid = latch.pid()
    place.shutdown(wait=False, cancel=True)
    assert queued.cancelled()
    latch.release()
    place.shutdown()
    assert running.result() == pid


def test_shutdown_with_kill_ends_the_running_task(latch: Latch) -> None:
    place = ProcessPlace(1)
    running = place.submit(tasks.hold, latch.args)
    latch.pid()
    place.shutdown(kill=True)
    assert running.cancelled()


def test_submit_after_shutdown_is_refused() -> None:
    place = ProcessPlace(1)
    place.shutdown()
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        place.submit(tasks.pid)


def test_a_place_that_nobody_holds_finishes_and_ends() -> None:
    place = ProcessPlace(1)
    future = place.submit(tasks.pid)
    manager = place._manager
    gone = weakref.ref(place)
    del place
    gc.collect()
    assert gone() is None
    future.result()
    assert manager.join(30)


def test_a_task_lets_go_of_its_value_when_its_future_is_dropped(place: ProcessPlace) -> None:
    class Value:
        pass

    value = place.submit(Value).result()
    gone = weakref.ref(value)
    del value
    gc.collect()
    assert gone() is None


def test_starting_and_ending_leaves_no_descriptors_open() -> None:
    def once() -> None:
        with ProcessPlace(2) as place:
            place.submit(tasks.pid).result()

    once()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        once()
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_initializer_runs_once_in_each_process(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with ProcessPlace(2, initializer=tasks.log_to, initargs=(str(log),)) as place:
        for future in [place.submit(tasks.pid) for _ in range(10)]:
            future.result()
        pids = place.pids
    logged = [int(line) for line in log.read_text().splitlines()]
    assert len(logged) == len(set(logged))
    assert set(pids) <= set(logged)


def test_an_initializer_that_raises_breaks_the_place() -> None:
    with ProcessPlace(1, initializer=tasks.fail_to_start) as place:
        error = place.submit(tasks.pid).exception()
        assert isinstance(error, BrokenExecutor)
        assert str(error.__cause__) == "no database"
        with pytest.raises(BrokenExecutor, match="no database"):
            place.submit(tasks.pid)


def test_processes_that_die_while_starting_are_not_started_for_ever() -> None:
    with ProcessPlace(1, initializer=tasks.exit_with, initargs=(4,)) as place:
        error = place.submit(tasks.pid).exception()
    assert isinstance(error, BrokenExecutor)
    assert "exited with code 4" in str(error)


def test_a_missing_cloudpickle_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'taskloom\[process\]'"):
        ProcessPlace(1)


def test_importing_taskloom_imports_nothing_of_the_place() -> None:
    program = (
        "import sys, taskloom; "
        "print([name for name in ('taskloom.places', 'cloudpickle', 'multiprocessing', 'pickle') "
        "if name in sys.modules])"
    )
    command = [sys.executable, "-c", program]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.stdout == "[]\n"


def test_a_script_needs_no_main_guard_and_its_classes_travel() -> None:
    body = """
class Point:
    def __init__(self, x): self.x = x
def step(point): return Point(point.x + 1)
place = ProcessPlace(1)
back = place.submit(step, (Point(1),)).result()
print(type(back) is Point, back.x)
"""
    assert ended(script(body)) == (0, "True 2\n", "")


def test_what_a_task_prints_is_seen_before_its_value() -> None:
    body = """
place = ProcessPlace(1)
place.submit(tasks.write, ("from the task\\n",)).result()
print("after", flush=True)
"""
    assert ended(script(body)) == (0, "from the task\nafter\n", "")


def test_exit_waits_for_running_and_queued_tasks(latch: Latch, tmp_path: Path) -> None:
    body = """
place = ProcessPlace(1)
place.submit(tasks.hold, sys.argv[1:3])
place.submit(tasks.touch, sys.argv[3:])
print("main is done", flush=True)
"""
    process = script(body, *latch.args, str(tmp_path / "ran"))
    latch.pid()
    assert process.stdout is not None
    assert process.stdout.readline() == "main is done\n"
    assert process.poll() is None
    latch.release()
    assert ended(process) == (0, "", "")
    assert (tmp_path / "ran").exists()


def test_exit_timeout_kills_the_tasks_that_go_on_and_names_them(latch: Latch) -> None:
    body = """
place = ProcessPlace(1, exit_timeout=0.05)
place.submit(tasks.hold_with_child, sys.argv[1:2])
open(sys.argv[1]).readline()
"""
    code, out, err = ended(script(body, *latch.args))
    assert (code, out) == (0, "")
    assert err.startswith("interpreter exit kills process tasks: 'hold_with_child' (process ")


def test_ctrl_c_ends_a_script_that_waits_for_a_task(latch: Latch) -> None:
    body = """
place = ProcessPlace(1)
place.submit(tasks.hold_with_child, sys.argv[1:2]).result()
"""
    process = script(body, *latch.args)
    with open(latch.started) as pipe:
        assert pipe.readline() == "up\n"
        os.killpg(process.pid, signal.SIGINT)
        code, _, err = ended(process)
        assert code == -signal.SIGINT
        assert err.rstrip().endswith("KeyboardInterrupt")
        assert pipe.read() == ""  # the process and what it had started are gone


def test_a_task_ends_when_the_parent_is_killed(latch: Latch) -> None:
    body = """
place = ProcessPlace(1)
place.submit(tasks.hold_with_child, sys.argv[1:2]).result()
"""
    process = script(body, *latch.args)
    with open(latch.started) as pipe:
        assert pipe.readline() == "up\n"
        process.kill()
        assert pipe.read() == ""
    ended(process)


def test_a_forked_child_has_processes_of_its_own_and_the_parent_keeps_its(latch: Latch) -> None:
    body = """
import concurrent.futures
place = ProcessPlace(1)
running = place.submit(tasks.hold, sys.argv[1:3])
queued = place.submit(tasks.give, (1,))
pid = int(open(sys.argv[1]).read())
child = os.fork()
if child == 0:
    lost = [isinstance(f.exception(), concurrent.futures.BrokenExecutor) for f in (running, queued)]
    fresh = place.submit(tasks.pid).result()
    print("child", lost, fresh != pid, place.pids == (fresh,), flush=True)
    sys.exit()
print("parent", os.waitpid(child, 0)[1], running.done(), flush=True)
open(sys.argv[2], "w").close()
print("parent", running.result() == pid, queued.result(), place.pids == (pid,))
"""
    # 3.12 and later warn that a process with threads forks: it is what this is about.
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", HEAD + body, *latch.args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert ended(process) == (
        0,
        "child [True, True] True True\nparent 0 False\nparent True 1 True\n",
        "",
    )


def test_asyncio_awaits_and_cancels_a_task(single: ProcessPlace, latch: Latch) -> None:
    import asyncio

    async def main() -> None:
        assert await asyncio.wrap_future(single.submit(tasks.give, (1,))) == 1
        future = single.submit(tasks.hold, latch.args)
        waiting = asyncio.wrap_future(future)
        pid = await asyncio.to_thread(latch.pid)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await asyncio.to_thread(concurrent.futures.wait, [future])
        assert await asyncio.wrap_future(single.submit(tasks.pid)) != pid

    asyncio.run(main())
