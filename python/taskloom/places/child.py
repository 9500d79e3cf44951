"""One worker process as its parent sees it: started, written to, read from, killed, reaped."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Final

from taskloom.places import wire
from taskloom.scheduling.native import limited

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskloom.places.process_task import ProcessTask

_REAP_WITHIN: Final = 2.0  # seconds from the end of its stream to the end of the process


class Child:
    """A worker process and this side of its socket.

    `task`, `ready` and `killed` belong to the place, which guards them with its lock. `send` may be
    called from any thread, by one at a time; `receive`, `reap` and `close` by the manager alone.
    """

    __slots__ = (
        "_outbox",
        "_process",
        "_receiver",
        "_sending",
        "connection",
        "death",
        "exit_code",
        "killed",
        "pid",
        "ready",
        "task",
    )

    def __init__(self, setup: Sequence[wire.Buffer], native_threads: int | None = None) -> None:
        """Start the process and hand it its setup. Raises OSError where there can be no more.

        Numeric libraries may start so many threads there; as many as they like if None.
        """
        self.connection, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = _start(theirs, native_threads)
            except BaseException:
                self.connection.close()
                raise
        self.pid = self._process.pid
        self.connection.setblocking(False)
        self._receiver = wire.Receiver(self.connection)
        self._sending = threading.Lock()
        self._outbox: list[memoryview] = []
        self.death = _death_descriptor(self.pid)
        self.exit_code: int | None = None
        self.task: ProcessTask | None = None
        self.ready = False
        self.killed = False
        self.send(setup)

    def send(self, frame: Sequence[wire.Buffer]) -> bool:
        """Send a frame as far as it goes without blocking; return whether all of it went."""
        with self._sending:
            self._outbox = [memoryview(piece) for piece in frame]
        return self.send_more()

    def send_more(self) -> bool:
        """Go on where `send` stopped. A process that is gone takes everything: its death tells."""
        with self._sending:
            outbox = self._outbox
            try:
                while outbox:
                    count = self.connection.send(outbox[0])
                    if count == outbox[0].nbytes:
                        del outbox[0]
                    else:
                        outbox[0] = outbox[0][count:]
            except BlockingIOError:
                return False
            except OSError:
                outbox.clear()
            return True

    def receive(self) -> wire.Message | None:
        """Return a message if one is complete; EOFError or OSError when the child is gone."""
        return self._receiver.receive()

    def kill(self) -> None:
        """End the process and what it has started, now and without its consent."""
        self.killed = True
        if self._process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if sys.platform == "win32":
                self._process.kill()
            else:
                os.killpg(self.pid, signal.SIGKILL)

    def reap(self, timeout: float = _REAP_WITHIN) -> int:
        """Wait for the process to end, kill it if it does not, and return its exit code."""
        try:
            self.exit_code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            self.exit_code = self._process.wait()
        return self.exit_code

    def hang_up(self) -> None:
        """Tell an idle process that there will be no more tasks."""
        with self._sending:
            self._outbox.clear()
            self.connection.close()

    def close(self) -> None:
        """Give back the descriptors."""
        self.hang_up()
        if self.death is not None:
            os.close(self.death)
            self.death = None

    def disown(self) -> None:
        """In a forked child: let go of a process that belongs to the parent."""
        self._sending = threading.Lock()
        self.close()
        self._process.returncode = 0  # so that nobody here waits for it


def describe_exit(exit_code: int) -> str:
    """Say how a process ended."""
    if exit_code >= 0:
        return f"exited with code {exit_code}"
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:
        name = "unknown"
    hint = ", by hand or by the system when memory ran out" if name == "SIGKILL" else ""
    return f"was killed by signal {-exit_code} ({name}{hint})"


def _death_descriptor(pid: int) -> int | None:
    """A descriptor that becomes readable when the process ends, where the system has them.

    Elsewhere the end of the stream tells; that comes late if the process left children behind.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            return os.pidfd_open(pid)
    return None


def _start(theirs: socket.socket, native_threads: int | None) -> subprocess.Popen[bytes]:
    environment = None if native_threads is None else limited(native_threads, os.environ)
    descriptor = theirs.fileno()
    program = (
        f"import sys; sys.path[:] = {sys.path!r}; "
        f"from taskloom.places.worker import main; main({descriptor})"
    )
    flags: list[str] = getattr(subprocess, "_args_from_interpreter_flags", list)()
    executable = os.fsdecode(sys.executable)
    command = [executable, *flags, "-c", program]
    if sys.platform != "win32":
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            pass_fds=(descriptor,),
            process_group=0,
            env=environment,
        )
    process = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment)
    if process.stdin is not None:
        with process.stdin as stdin:
            stdin.write(theirs.share(process.pid))
    return process
