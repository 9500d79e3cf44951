"""Scopes under trio, by way of anyio."""

from __future__ import annotations

import pytest
import taskloom
from taskloom import (
    Cancelled,
    CancelScope,
    Channel,
    Scope,
    move_on_after,
    shield,
    sleep,
)


def test_a_scope_under_trio() -> None:
    trio = pytest.importorskip("trio")

    async def child(n: int) -> int:
        await trio.sleep(0)
        await sleep(0)
        return n

    async def main() -> tuple[list[int], bool]:
        async with Scope() as scope:
            futures = [scope.spawn(child, n) for n in range(3)]
        with move_on_after(0.01) as limit:
            sender, receiver = Channel[int](0).split()
            with sender, receiver:
                await receiver.receive()
        return [future.result() for future in futures], limit.cancelled_caught

    assert trio.run(main) == ([0, 1, 2], True)


def test_a_scopes_cancellation_reaches_trio_code_in_its_body() -> None:
    trio = pytest.importorskip("trio")

    async def fails() -> None:
        await trio.sleep(0)
        raise ValueError

    async def main() -> tuple[bool, bool]:
        with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012
            async with Scope() as scope:
                scope.spawn(fails)
                await trio.sleep(60)
        with move_on_after(0.01) as limit:
            await trio.sleep(60)
        return caught.group_contains(ValueError), limit.cancelled_caught

    assert trio.run(main) == (True, True)


def test_a_shield_keeps_a_scopes_cancellation_from_trio_code() -> None:
    trio = pytest.importorskip("trio")

    async def main() -> list[str]:
        log = []
        with CancelScope() as scope:
            scope.cancel()
            try:
                await trio.sleep(60)
            finally:
                with shield():
                    await trio.sleep(0)
                    log.append("cleaned up")
        return log

    assert trio.run(main) == ["cleaned up"]


def test_our_awaits_raise_our_cancelled_under_trio() -> None:
    trio = pytest.importorskip("trio")

    async def main() -> type[BaseException] | None:
        async with Scope() as scope:

            async def cancel() -> None:
                scope.cancel()

            scope.spawn(cancel)
            try:
                await taskloom.sleep_forever()
            except BaseException as error:
                return type(error)
        return None

    assert trio.run(main) is Cancelled


def test_a_cancellation_of_trios_alone_comes_out_as_trios() -> None:
    trio = pytest.importorskip("trio")

    async def main() -> bool:
        with trio.move_on_after(0.01) as limit:
            await taskloom.sleep_forever()
        return bool(limit.cancelled_caught)

    assert trio.run(main)


def test_a_scope_under_trio_that_ends_in_time_has_caught_nothing() -> None:
    trio = pytest.importorskip("trio")

    async def main() -> tuple[bool, bool]:
        with move_on_after(60) as limit:
            await sleep(0)
        with CancelScope() as cancelled:
            cancelled.cancel()
        return limit.cancelled_caught, cancelled.cancelled_caught

    assert trio.run(main) == (False, False)
