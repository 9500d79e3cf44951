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

from taskloom.places import failure, wire

_GRACE: Final = 5.0  # seconds that an orphan may take to end by itself

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
            function, args, kwargs, values = message.load()
            del message
        except BaseException as error:
            error.add_note("the task could not be loaded in its process")
            self.send(wire.ERROR, failure.pack(error, hidden=_HIDDEN))
            return
        try:
            # A context of its own, so that no task sees what the one before it has set.
            context = contextvars.copy_context()
            for address, value in values:
                context.run(self.variable(address).set, value)
            value = context.run(function, *args, **kwargs)
            del function, args, kwargs
        except BaseException as error:
            self.flush()
            self.send(wire.ERROR, failure.pack(error, hidden=_HIDDEN))
            error.__traceback__ = None  # its frames hold the task's variables
            return
        self.flush()
        self.send(wire.VALUE, value)

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
