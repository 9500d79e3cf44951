"""How many threads numeric libraries may start beside an executor's workers.

A matrix product that starts a thread for each processor, called by as many workers, makes threads
by the square. threadpoolctl knows how to tell the libraries otherwise. BLAS libraries have one
number for the whole process: it is set while workers of an executor that asked for it live, to the
least that was asked for, and put back when the last of them has left. OpenMP has one for each
thread, which each worker sets for itself. Worker processes load libraries anew, and these are told
by the environment.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, Literal, final

from taskloom.errors import OptionError

__all__ = ["NativeThreads", "beside", "limited"]

# By which libraries are told how many threads to start, when they are loaded.
_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)

_lock = threading.Lock()
#: How many workers live that asked for so many threads at most.
_asked: Counter[int] = Counter()
#: The libraries that were told, by their files, with the numbers that they had before.
_told: dict[str, tuple[Any, int]] = {}


@final
class NativeThreads:
    """At most so many threads of numeric libraries for each worker of an executor.

    It counts for what is loaded when a worker starts: import numpy before the first submit.

    Raises `OptionError` if threadpoolctl is not installed.

    >>> import taskloom
    >>> from taskloom.scheduling.native import NativeThreads
    >>> try:
    ...     NativeThreads(2).threads
    ... except taskloom.errors.OptionError as error:
    ...     print(2)
    2
    """

    __slots__ = ("_controller", "threads")

    def __init__(self, threads: int) -> None:
        try:
            found = import_module("threadpoolctl")
        except ModuleNotFoundError as error:
            raise OptionError(
                f"native_threads={threads} needs threadpoolctl, which is not installed: "
                "pip install 'taskloom[numeric]'"
            ) from error
        self._controller = found.ThreadpoolController
        self.threads = threads

    def enter(self) -> None:
        """A worker begins, on this thread."""
        with _lock:
            _asked[self.threads] += 1
            for library in self._controller().lib_controllers:
                if library.user_api == "openmp":
                    library.set_num_threads(self.threads)
                elif library.filepath not in _told:
                    _told[library.filepath] = library, library.num_threads
            _tell()

    def leave(self) -> None:
        """The worker of this thread has left."""
        with _lock:
            _asked[self.threads] -= 1
            if not _asked[self.threads]:
                del _asked[self.threads]
            _tell()
            if not _asked:
                _told.clear()


def beside(
    prepare: Callable[[int], object] | None, threads: int | Literal["share"], share: int
) -> tuple[Callable[[int], None], Callable[[], None]]:
    """What each worker calls when it begins, with its number, and when it leaves.

    >>> import taskloom
    >>> from taskloom.scheduling.native import beside
    >>> try:
    ...     begin, leave = beside(None, "share", 2)
    ... except taskloom.errors.OptionError as error:
    ...     assert "threadpoolctl" in str(error)
    """
    native = NativeThreads(share if threads == "share" else threads)

    def begin(index: int) -> None:
        if prepare is not None:
            prepare(index)
        native.enter()

    return begin, native.leave


def limited(threads: int, environment: Mapping[str, str]) -> dict[str, str]:
    """An environment in which libraries start so many threads at most, or fewer as it said before.

    >>> from taskloom.scheduling.native import limited
    >>> limited(2, {"MKL_NUM_THREADS": "1", "OMP_NUM_THREADS": "8"})["MKL_NUM_THREADS"]
    '1'
    """

    def least(before: str) -> str:
        return before if before.isdecimal() and 0 < int(before) < threads else str(threads)

    return {**environment, **{name: least(environment.get(name, "")) for name in _VARIABLES}}


def _tell() -> None:
    """Sets the numbers that hold for the whole process, or puts them back."""
    least = min(_asked, default=None)
    for library, before in _told.values():
        library.set_num_threads(before if least is None else min(least, before))


def after_fork() -> None:
    """In a forked child, where no worker lives."""
    global _lock  # noqa: PLW0603
    _lock = threading.Lock()
    _asked.clear()
    _tell()
    _told.clear()
