"""How errors travel between a worker process and its parent.

An error arrives as it would from a thread: of its own type, with its arguments, attributes, notes,
cause and context, and with a traceback whose entries name the user's files, functions and lines.
Frames cannot be sent, so the parent rebuilds each entry around a stand-in frame without variables.
An error that cannot be pickled, or not read back, arrives as a `RemoteError` that quotes it.
"""

from __future__ import annotations

import pickle
import traceback
from types import TracebackType
from typing import NamedTuple

from taskloom.errors import RemoteError
from taskloom.places.wire import dumps

_DEEPEST = 32  # links of a chain of causes that are sent


class Failure(NamedTuple):  # not a dataclass: that import is 7 ms more for each process
    """An error on its way: everything but the pickle in `error` can surely be loaded."""

    error: bytes | None
    summary: str
    lines: list[tuple[str, str, int]]  # file, function, line; outermost first
    cause: Failure | None
    context: Failure | None
    suppress_context: bool


def pack(error: BaseException, *, hidden: frozenset[str] = frozenset()) -> Failure:
    """Make an error ready to be sent. Frames of the files in `hidden` are left out."""
    return _pack(error, hidden, set())


def _pack(error: BaseException, hidden: frozenset[str], seen: set[int]) -> Failure:
    seen.add(id(error))

    def linked(other: BaseException | None) -> Failure | None:
        if other is None or id(other) in seen or len(seen) > _DEEPEST:
            return None
        return _pack(other, hidden, seen)

    return Failure(
        error=_portable(error),
        summary=_summary(error),
        lines=[
            (frame.f_code.co_filename, frame.f_code.co_name, line)
            for frame, line in traceback.walk_tb(error.__traceback__)
            if frame.f_code.co_filename not in hidden
        ],
        cause=linked(error.__cause__),
        context=linked(error.__context__),
        suppress_context=error.__suppress_context__,
    )


def _summary(error: BaseException) -> str:
    kind = type(error)
    name = kind.__qualname__
    if kind.__module__ not in ("builtins", "__main__"):
        name = f"{kind.__module__}.{name}"
    try:
        text = str(error)
    except Exception:
        text = "<an error whose str() failed>"
    return f"{name}: {text}" if text else name


def _portable(error: BaseException) -> bytes | None:
    """Pickle an error in a form that was seen to load; None if there is none."""
    for form in (error, _ByState(type(error), error.args, error.__dict__)):
        try:
            data = dumps(form)
            back = pickle.loads(data)
        except Exception:
            continue
        if type(back) is type(error) and len(back.args) == len(error.args):
            return data
    return None


class _ByState:
    """Pickles as an error that is rebuilt without its `__init__`.

    Many exception classes take other arguments than they hand to `Exception`, and so fail to load.
    """

    def __init__(self, kind: type[BaseException], args: tuple[object, ...], state: object) -> None:
        self.parts = (kind, args, state)

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuilt, self.parts


def _rebuilt(
    kind: type[BaseException], args: tuple[object, ...], state: dict[str, object]
) -> BaseException:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


def unpack(failure: Failure, *, origin: str) -> BaseException:
    """Return the error that was sent; `origin` says in a note where it was raised."""
    error = _unpack(failure)
    error.add_note(f"raised in {origin}")
    return error


def _unpack(failure: Failure) -> BaseException:
    error: BaseException | None = None
    if failure.error is not None:
        try:
            error = pickle.loads(failure.error)
        except Exception as problem:  # its module, say, exists only over there
            error = RemoteError(failure.summary)
            error.add_note(f"the error itself could not be loaded: {_summary(problem)}")
    if not isinstance(error, BaseException):
        error = RemoteError(failure.summary)
    if failure.context is not None:
        error.__context__ = _unpack(failure.context)
    if failure.cause is not None:
        error.__cause__ = _unpack(failure.cause)
    error.__suppress_context__ = failure.suppress_context
    return error.with_traceback(_traceback(failure.lines))


class _FrameWanted(Exception):
    """Raised in a stand-in so that it has a frame."""


def _traceback(lines: list[tuple[str, str, int]]) -> TracebackType | None:
    result: TracebackType | None = None
    for file, function, line in reversed(lines):
        code = compile("raise FrameWanted", file, "exec")
        code = code.replace(co_name=function, co_qualname=function, co_firstlineno=line)
        try:
            exec(code, {"__name__": function, "FrameWanted": _FrameWanted})
        except _FrameWanted as wanted:
            here = wanted.__traceback__
            entry = here.tb_next if here is not None else None
            if entry is not None:
                # No instruction is given: the stand-in's columns are not those of the user's line.
                result = TracebackType(result, entry.tb_frame, -1, line)
    return result
