"""What a worker process runs: one task after the other, until its parent lets go of the socket.

The process is started as a fresh interpreter that imports this module and nothing of the user's,
so scripts need no `if __name__ == "__main__":` guard, and it is safe beside the parent's threads,
which a plain fork is not. It leads a process group of its own: Ctrl-C at the terminal is the
parent's affair, and killing a task also kills what the task has started.
"""

from __future__ import annotations

import contextlib
import contextvars
import os
import signal
import socket
import sys
import threading
import time
from typing import Any, Final

from taskloom._remote import RemoteTask, remote_here
from taskloom.places import failure, wire

_GRACE: Final = 5.0  # seconds that an orphan may take to end by itself

_TELL_EVERY: Final = 0.05  # seconds between two reports of progress; the last one always goes

_HIDDEN: Final = frozenset({__file__, wire.__file__})


def main(descriptor: int) -> None:
    """Serve the parent at the other end of the socket with this descriptor."""
    connection = _connect(descriptor)
    worker = _Worker(connection)
    if hasattr(os, "killpg"):
        threading.Thread(target=worker.outlive_no_parent, daemon=True).start()
    worker.serve()


def _connect(descriptor: int) -> socket.socket:
    if sys.platform == "win32":  # descriptors are not inherited there; the socket comes by stdin
        return socket.fromshare(sys.stdin.buffer.read())
    os.set_inheritable(descriptor, False)
    return socket.socket(fileno=descriptor)


class _Worker:
    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.receiver = wire.Receiver(connection)
        self.busy = True  # until the initializer is through
        self.variables: dict[str, contextvars.ContextVar[Any]] = {}
        # Guards what follows: threads of a task may report, too.
        self.telling = threading.Lock()
        self.task: RemoteTask | None = None
        self.told_at = 0.0
        self.untold: tuple[float, float | None] | None = None

    def serve(self) -> None:
        try:
            if self.set_up():
                self.send(wire.HELLO, None)
                while True:
                    self.busy = False
                    self.run(self.receive())
        except (EOFError, ConnectionError):
            pass  # the parent needs no more, or is gone

    def set_up(self) -> bool:
        try:
            initializer, initargs, cpus = self.receive().load()
            if cpus is not None:
                from taskloom.scheduling.cpus import take_share

                take_share(cpus)
            if initializer is not None:
                initializer(*initargs)
        except BaseException as error:
            self.send(wire.REFUSED, failure.pack(error, hidden=_HIDDEN))
            return False
        return True

    def run(self, message: wire.Message) -> None:
        self.busy = True
        try:
            function, args, kwargs, values, about = message.load()
            task = self.begin(*about)
            del message, about
        except BaseException as error:
            error.add_note("the task could not be loaded in its process")
            self.send(wire.ERROR, failure.pack(error, hidden=_HIDDEN))
            return
        try:
            # A context of its own, so that no task sees what the one before it has set.
            context = contextvars.copy_context()
            context.run(remote_here.set, task)
            for address, value in values:
                context.run(self.variable(address).set, value)
            value = context.run(function, *args, **kwargs)
            del function, args, kwargs
        except BaseException as error:
            self.flush()
            self.end()
            self.send(wire.ERROR, failure.pack(error, hidden=_HIDDEN))
            error.__traceback__ = None  # its frames hold the task's variables
            return
        self.flush()
        self.end()
        self.send(wire.VALUE, value)

    def begin(
        self, name: str, attempt: int, deadline: float | None, before: failure.Failure | None
    ) -> RemoteTask:
        """What the task that begins may ask."""
        error = None if before is None else failure.unpack(before, origin="the attempt before")
        task = RemoteTask(name, attempt, deadline, error, lambda said: self.tell(task, said))
        with self.telling:
            self.task, self.told_at, self.untold = task, 0.0, None
        return task

    def tell(self, task: RemoteTask, said: tuple[float, float | None]) -> None:
        """Tells the parent how far the task is, unless it was told just now."""
        with self.telling:
            if task is not self.task:
                return  # a thread that the task has left behind
            now = time.monotonic()
            if now - self.told_at < _TELL_EVERY:
                self.untold = said
                return
            self.told_at, self.untold = now, None
            self.send(wire.PROGRESS, said)

    def end(self) -> None:
        """The task has ended: nothing more is told of it than what it said last."""
        with self.telling:
            self.task = None
            if self.untold is not None:
                self.send(wire.PROGRESS, self.untold)

    def variable(self, address: str) -> contextvars.ContextVar[Any]:
        known = self.variables.get(address)
        if known is None:
            known = self.variables[address] = wire.at_address(address)
        return known

    @staticmethod
    def flush() -> None:
        """What a task printed is seen before its value is, even if the process is killed later."""
        for stream in (sys.stdout, sys.stderr):
            # Closed or replaced by the user, or a reader that left: not the task's failure.
            with contextlib.suppress(OSError, ValueError, AttributeError):
                stream.flush()

    def receive(self) -> wire.Message:
        while True:
            message = self.receiver.receive()
            if message is not None:
                return message

    def send(self, kind: int, value: object) -> None:
        try:
            frame = wire.encode(kind, value)
        except BaseException as error:
            error.add_note("the task's value could not be sent from its process")
            frame = wire.encode(wire.ERROR, failure.pack(error, hidden=_HIDDEN))
        for piece in frame:
            self.connection.sendall(piece)

    def outlive_no_parent(self) -> None:
        """End the process when the parent has died in the middle of a task."""
        import select

        poll = select.poll()
        poll.register(self.connection, 0)  # a hang-up is reported without being asked for
        poll.poll()
        if self.busy:
            if os.getpgrp() == os.getpid():
                os.killpg(0, signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(_GRACE)  # idle: `serve` sees the end of the stream and the interpreter exits
        os._exit(1)
