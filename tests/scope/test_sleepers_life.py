"""Sleeping coroutines and the life of the process: exit, fork, Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

LINK_CHECKER = Path(__file__).resolve().parents[2] / "examples" / "link_checker.py"


def python(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_exit_waits_for_a_sleeping_coroutine_and_is_clean() -> None:
    ended = python("""
        import taskloom
        from taskloom import _taskloom
        async def late():
            await taskloom.sleep(0.05)
            print("late")
        home = _taskloom.pool_home(taskloom.default_executor())
        home.spawn(late, (), None, _taskloom.Token(), None, lambda *_: None, None)
    """)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "late\n", "")


def test_exit_with_deadlines_pending_is_clean() -> None:
    ended = python("""
        import taskloom
        async def main():
            await taskloom.sleep(0)
            taskloom.move_on_after(0.001).__enter__()
        try:
            taskloom.run_coroutine(main)
        except RuntimeError:  # it ends inside of the scope
            pass
        taskloom.CancelScope(deadline=taskloom.current_time() + 0.01).__enter__()
    """)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_can_sleep() -> None:
    ended = python("""
        import os, taskloom
        async def nap():
            await taskloom.sleep(0.001)
        taskloom.run_coroutine(nap)
        if pid := os.fork():
            os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        taskloom.run_coroutine(nap)
        os._exit(7)
    """)
    assert ended.returncode == 7, ended.stderr


@pytest.mark.skipif(not hasattr(signal, "SIGINT") or sys.platform == "win32", reason="needs kill")
def test_ctrl_c_ends_the_link_checker_with_a_report() -> None:
    program = f"""
        import os, runpy, signal, sys, threading
        sys.argv = ["link_checker.py"]
        example = runpy.run_path({str(LINK_CHECKER)!r})
        asked = []
        class Site(example["_Site"]):
            def do_GET(self):
                asked.append(self.path)
                if len(asked) == 20:
                    os.kill(os.getpid(), signal.SIGINT)
                super().do_GET()
        example["local_site"].__wrapped__.__globals__["_Site"] = Site
        example["main"]()
    """
    ended = python(program)
    assert ended.returncode == 0, ended.stderr
    assert "interrupted: not everything was checked" in ended.stdout
