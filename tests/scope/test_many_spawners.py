"""Threads and coroutines that spawn into one scope at the same time."""

from __future__ import annotations

import threading

import taskloom
from taskloom import Scope


def test_a_pool_ends_after_threads_have_spawned_side_by_side() -> None:
    # The scope's children come and go: it is often left with none, by one thread or the other.
    async def nothing() -> None:
        pass

    executor = taskloom.Executor(2)
    with executor, Scope(executor) as scope:

        def spawn() -> None:
            for _ in range(3_000):
                scope.spawn(nothing).result()

        threads = [threading.Thread(target=spawn) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    # Waits for ever if the pool was retained more often than released.
    executor.shutdown(wait=True)
