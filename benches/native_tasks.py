"""Tasks of about 100 µs that release the GIL, on two workers: how near to twice as fast.

Each sample runs the same tasks serially first; the ideal is half of that. On a machine that does
other things as well, all contenders fall short together.
"""

from __future__ import annotations

import hashlib
import time
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import taskloom
from harness import Contender, Workload

TASKS = 1_000
SECONDS = 100e-6


def buffer_for(function: Callable[[bytes], object]) -> bytes:
    """A buffer on which the function works for about 100 µs."""
    probe = bytes(1 << 20)
    best = min(spent(lambda: function(probe)) for _ in range(5))
    return bytes(max(4096, int(len(probe) * SECONDS / best)))


def spent(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def sha256(data: bytes) -> object:
    return hashlib.sha256(data)


def crc32(data: bytes) -> object:
    return zlib.crc32(data)


def share_of_ideal(
    task: Callable[[Any], object], argument: Any, everything: Callable[[Iterable[Any]], object]
) -> Callable[[], float]:
    """Per cent of the ideal that `everything`, given all the arguments, reaches."""
    arguments = [argument] * TASKS

    def sample() -> float:
        serial = spent(lambda: [task(each) for each in arguments])
        return 100 * (serial / 2) / spent(lambda: everything(arguments))

    return sample


def add_contenders(
    workload: Workload, task: Callable[[Any], object], make: Callable[[], Any]
) -> None:
    @workload.contender("taskloom.submit_many")
    def batch() -> Contender:
        with taskloom.Executor(2) as executor:

            def everything(arguments: Iterable[Any]) -> None:
                for future in executor.submit_many(task, arguments):
                    future.result()

            yield share_of_ideal(task, make(), everything)

    @workload.contender("taskloom.map")
    def mapped() -> Contender:
        with taskloom.Executor(2) as executor:
            yield share_of_ideal(task, make(), lambda given: list(executor.map(task, given)))

    @workload.contender("ThreadPoolExecutor.map")
    def threads() -> Contender:
        with ThreadPoolExecutor(2) as executor:
            yield share_of_ideal(task, make(), lambda given: list(executor.map(task, given)))

    @workload.contender("joblib, threading")
    def joblib() -> Contender:
        from joblib import Parallel, delayed

        with Parallel(n_jobs=2, backend="threading") as parallel:
            yield share_of_ideal(
                task, make(), lambda given: parallel(delayed(task)(each) for each in given)
            )


sleeping = Workload(
    "native-sleep",
    "1,000 sleeps of 100 µs, 2 workers",
    "% of ideal",
    aim=95,
    more_is_better=True,
    repeats=9,
)
add_contenders(sleeping, time.sleep, lambda: SECONDS)

hashing = Workload(
    "native-sha256",
    "1,000 SHA-256 of 100 µs, 2 workers",
    "% of ideal",
    aim=95,
    more_is_better=True,
    repeats=9,
)
add_contenders(hashing, sha256, lambda: buffer_for(sha256))

summing = Workload(
    "native-zlib",
    "1,000 CRC-32 of 100 µs, 2 workers",
    "% of ideal",
    aim=95,
    more_is_better=True,
    repeats=9,
)
add_contenders(summing, crc32, lambda: buffer_for(crc32))
