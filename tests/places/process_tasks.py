"""What the tests of the process place run in processes; light, for every process imports it."""

from __future__ import annotations

import contextvars
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="none")


def give(value: Any) -> Any:
    return value


def pid() -> int:
    return os.getpid()


def hold(started: str, release: str) -> int:
    """Tell the process id through one pipe, and wait until the other is opened and closed."""
    Path(started).write_text(str(os.getpid()))
    Path(release).read_text()
    return os.getpid()


def hold_with_child(started: str) -> None:
    """Start a process that keeps the pipe open, then wait for it without end."""
    with open(started, "w") as pipe:
        program = "import signal; print('up', flush=True); signal.pause()"
        subprocess.run([sys.executable, "-c", program], stdout=pipe, check=False)


def touch(path: str) -> None:
    Path(path).touch()


def exit_with(code: int) -> None:
    os._exit(code)


def die_by(number: int) -> None:
    os.kill(os.getpid(), number)


def die_while_sending(size: int) -> bytes:
    """Return a value of so many bytes and be killed when a part of it is on its way."""
    from taskloom.places import worker

    def send(self: Any, kind: int, value: object) -> None:
        frame = worker.wire.encode(kind, value)
        self.connection.sendall(frame[0][: len(frame[0]) // 2])
        os.kill(os.getpid(), signal.SIGKILL)

    worker._Worker.send = send
    return bytes(size)


def leave_a_child_and_die(release: str) -> None:
    """Fork a child that keeps every descriptor open until released, then end."""
    if os.fork() == 0:
        Path(release).read_text()
        os._exit(0)
    os._exit(5)


def raise_key_error_from_here() -> None:
    try:
        {}["missing"]
    except KeyError as error:
        raise ValueError("no such entry") from error


class Awkward(Exception):
    """Takes other arguments than it hands on, so a plain pickle of it does not load."""

    def __init__(self, code: int, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code


def raise_awkward() -> None:
    raise Awkward(7, "seven")


def raise_unpicklable() -> None:
    error = ValueError("carries a lock")
    error.lock = __import__("threading").Lock()  # type: ignore[attr-defined]
    raise error


def leave(code: int) -> None:
    sys.exit(code)


def generator() -> Any:
    return (number for number in range(3))


class LoadsOnlyInItsProcess:
    def __reduce__(self) -> tuple[Any, ...]:
        return _load_in, (os.getpid(),)


def _load_in(pid: int) -> str:
    if os.getpid() != pid:
        raise LookupError("loaded elsewhere")
    return "loaded"


def value_that_does_not_load() -> LoadsOnlyInItsProcess:
    return LoadsOnlyInItsProcess()


def add_one(array: Any) -> Any:
    array += 1
    return array


def is_writable(array: Any) -> bool:
    return bool(array.flags.writeable)


def log_to(path: str) -> None:
    with open(path, "a") as file:
        file.write(f"{os.getpid()}\n")


def fail_to_start() -> None:
    raise RuntimeError("no database")


def get_request_id() -> str:
    return request_id.get()


def set_request_id(value: str) -> None:
    request_id.set(value)


def write(text: str) -> None:
    sys.stdout.write(text)


def note(path: str, number: int) -> int:
    with open(path, "a") as file:
        file.write(f"{number}\n")
    return number


def note_and_exit(path: str, number: int) -> None:
    note(path, number)
    os._exit(1)
