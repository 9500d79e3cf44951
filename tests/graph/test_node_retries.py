"""Nodes that are tried again, plain and `async def`: how often, and what they are told."""

from __future__ import annotations

from typing import Any

import pytest
import taskloom
from taskloom import Graph, Retry
from taskloom.errors import RunFailed

MODES: list[Any] = ["serial", "parallel"]

pytestmark = [
    pytest.mark.parametrize("asynchronous", [False, True], ids=["plain", "async"]),
    pytest.mark.parametrize("mode", MODES),
]


def failing(asynchronous: bool, errors: list[BaseException]) -> Any:
    """A function that raises these errors one after the other, then returns what it was given."""

    def plain(value: str = "done", error: BaseException | None = None) -> tuple[str, object]:
        if errors:
            raise errors.pop(0)
        return value, error

    async def awaited(value: str = "done", error: BaseException | None = None) -> Any:
        await taskloom.sleep(0)
        return plain(value, error)

    return awaited if asynchronous else plain


def outcome(asynchronous: bool, mode: Any, errors: list[BaseException], retry: Any) -> Any:
    g = Graph()
    node = g.options(retry=retry).add(failing(asynchronous, errors), "given")
    return taskloom.run(g, mode=mode)[node]


def test_a_fixed_number_of_attempts(asynchronous: bool, mode: Any) -> None:
    assert outcome(asynchronous, mode, [OSError(), OSError()], 3) == ("given", None)
    with pytest.raises(RunFailed) as caught:
        outcome(asynchronous, mode, [OSError("1"), OSError("2"), OSError("3")], 3)
    (error,) = caught.value.exceptions
    assert str(error) == "3"
    assert "attempt 3 of 3" in error.__notes__


def test_attempts_for_ever(asynchronous: bool, mode: Any) -> None:
    errors: list[BaseException] = [OSError() for _ in range(50)]
    assert outcome(asynchronous, mode, errors, Retry(None)) == ("given", None)


def test_the_last_error_is_passed_on(asynchronous: bool, mode: Any) -> None:
    errors: list[BaseException] = [OSError("first"), OSError("last")]
    retry = Retry(None, pass_error="error")
    value, error = outcome(asynchronous, mode, errors, retry)
    assert (value, str(error)) == ("given", "last")


def test_a_rule_of_the_users(asynchronous: bool, mode: Any) -> None:
    asked: list[tuple[int, str]] = []

    def rule(attempt: int, error: BaseException) -> float | None:
        asked.append((attempt, str(error)))
        return None if str(error) == "enough" else 0.0

    errors: list[BaseException] = [OSError("busy"), OSError("enough"), OSError("never raised")]
    with pytest.raises(RunFailed):
        outcome(asynchronous, mode, errors, Retry(None, rule=rule))
    assert asked == [(1, "busy"), (2, "enough")]
    assert len(errors) == 1


def test_only_the_errors_that_are_named(asynchronous: bool, mode: Any) -> None:
    retry = Retry(5, on=OSError, give_up=FileNotFoundError)
    assert outcome(asynchronous, mode, [OSError()], retry) == ("given", None)
    for error in (ValueError(), FileNotFoundError()):
        with pytest.raises(RunFailed):
            outcome(asynchronous, mode, [error], retry)
