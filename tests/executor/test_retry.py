"""Trying submitted tasks again: by their own wish, by a Retry, within a deadline."""

from __future__ import annotations

import contextvars
import pickle
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from typing import Any

import pytest
import taskloom
from taskloom import Retry, RetryTask
from taskloom.errors import DeadlineMissed, OptionError
from taskloom.retry import Hands, hands, next_attempt


@pytest.fixture(scope="module")
def executor() -> Iterator[taskloom.Executor]:
    with taskloom.Executor(2) as executor:
        yield executor


def steps(*given: object) -> Callable[..., object]:
    """A function that raises or returns these, one each call."""
    left = iter(given)

    def step(*_: object, **__: object) -> object:
        found = next(left)
        if isinstance(found, BaseException):
            raise found
        return found

    return step


@pytest.mark.parametrize("named", [False, True])
def test_a_task_that_asks_is_called_again(executor: taskloom.Executor, named: bool) -> None:
    asking = steps(RetryTask(), RetryTask(delay=0.001), "done")
    submit = executor.options(name="x").submit if named else executor.submit
    assert submit(asking).result(60) == "done"


def test_a_waiting_worker_that_runs_the_task_itself_calls_it_again() -> None:
    with taskloom.Executor(1) as executor:

        def outer() -> object:
            return executor.submit(steps(RetryTask(), RetryTask(), "done")).result()

        assert executor.submit(outer).result(60) == "done"


def test_arguments_are_the_same_in_every_attempt(executor: taskloom.Executor) -> None:
    seen: list[tuple[object, ...]] = []

    def picky(a: object, b: object, *, c: object) -> object:
        seen.append((a, b, c))
        if len(seen) < 4:
            raise RetryTask
        return seen

    assert executor.submit(picky, 1, [2], c="3").result(60) == [(1, [2], "3")] * 4


def test_a_task_cancelled_before_it_asks_does_not_pause() -> None:
    with taskloom.Executor(1) as executor:
        for submit in (executor.submit, executor.options(name="x").submit):
            asked, cancelled = threading.Event(), threading.Event()

            def ask(asked: threading.Event = asked, go: threading.Event = cancelled) -> None:
                asked.set()
                assert go.wait(60)
                raise RetryTask(delay=3600)

            future = submit(ask)
            assert asked.wait(60)
            assert not future.cancel()
            cancelled.set()
            with pytest.raises(CancelledError):
                future.result(60)


def test_cancelling_ends_the_pause_of_a_task_that_asks() -> None:
    asked = threading.Event()

    def ask() -> None:
        asked.set()
        raise RetryTask(delay=3600)

    with taskloom.Executor(1) as executor:
        for submit in (executor.submit, executor.options(name="x").submit):
            asked.clear()
            future = submit(ask)
            assert asked.wait(60)
            future.cancel()
            with pytest.raises(CancelledError):
                future.result(60)


def test_asking_is_not_counted_against_the_attempts(executor: taskloom.Executor) -> None:
    asking = steps(RetryTask(), OSError(), RetryTask(), RetryTask(), "done")
    assert executor.options(retry=2).submit(asking).result(60) == "done"


def test_asking_beyond_the_deadline_misses_it(executor: taskloom.Executor) -> None:
    future = executor.options(deadline=60).submit(steps(RetryTask(delay=3600)))
    with pytest.raises(DeadlineMissed, match="after its deadline"):
        future.result(60)


def test_no_attempt_is_waited_for_that_would_start_after_the_deadline(
    executor: taskloom.Executor,
) -> None:
    future = executor.options(deadline=60, retry=Retry(3, delay=3600)).submit(steps(OSError("x")))
    with pytest.raises(OSError, match="x") as caught:
        future.result(60)
    assert caught.value.__notes__ == ["no attempt after 1: the deadline would pass before it"]


def test_forever_means_as_often_as_it_takes(executor: taskloom.Executor) -> None:
    flaky = steps(*[OSError()] * 50, "done")
    assert executor.options(retry=Retry(None)).submit(flaky).result(60) == "done"


def test_forever_still_lets_other_errors_pass(executor: taskloom.Executor) -> None:
    flaky = steps(OSError(), KeyError("x"))
    future = executor.options(retry=Retry(None, on=OSError)).submit(flaky)
    with pytest.raises(KeyError) as caught:
        future.result(60)
    assert caught.value.__notes__ == ["attempt 2"]


def test_a_rule_decides_by_attempt_and_error(executor: taskloom.Executor) -> None:
    asked: list[tuple[int, str]] = []

    def rule(attempt: int, error: BaseException) -> float | None:
        asked.append((attempt, str(error)))
        return 0.0 if attempt < 3 else None

    future = executor.options(retry=Retry(None, rule=rule)).submit(
        steps(OSError("a"), ValueError("b"), OSError("c"))
    )
    with pytest.raises(OSError, match="c"):
        future.result(60)
    assert asked == [(1, "a"), (2, "b"), (3, "c")]


def test_a_rule_that_raises_is_the_tasks_error(executor: taskloom.Executor) -> None:
    def rule(attempt: int, error: BaseException) -> float | None:
        raise LookupError("no such rule")

    future = executor.options(retry=Retry(rule=rule)).submit(steps(OSError()))
    with pytest.raises(LookupError, match="no such rule"):
        future.result(60)


def test_the_last_error_is_passed_by_keyword(executor: taskloom.Executor) -> None:
    seen: list[object] = []

    def picky(x: int, *, y: int = 0, error: BaseException | None = None) -> str:
        seen.append(None if error is None else str(error))
        if len(seen) < 3:
            raise OSError(f"attempt {len(seen)}")
        return f"{x} {y}"

    future = executor.options(retry=Retry(3, pass_error="error")).submit(picky, 1, y=2)
    assert future.result(60) == "1 2"
    assert seen == [None, "attempt 1", "attempt 2"]


def test_a_task_finds_its_last_error_and_attempt(executor: taskloom.Executor) -> None:
    seen: list[tuple[int, object]] = []

    def curious() -> None:
        task = taskloom.current_task()
        assert task is not None
        seen.append((task.attempt, task.last_error))
        if len(seen) < 3:
            raise OSError

    future = executor.options(retry=3).submit(curious)
    future.result(60)
    assert seen[0] == (1, None)
    assert [(attempt, type(error)) for attempt, error in seen[1:]] == [(2, OSError), (3, OSError)]


def fail_there(path: str, error: BaseException | None = None) -> str:
    if error is None:
        raise OSError("first")
    return f"{path}: {error}"


def test_a_process_task_is_passed_its_last_error(executor: taskloom.Executor) -> None:
    view = executor.options(place="process", retry=Retry(2, pass_error="error"))
    assert view.submit(fail_there, "x").result(60) == "x: first"


def ask_once(path: Any) -> str:
    if path.exists():
        return "done"
    path.touch()
    raise RetryTask


def test_a_process_task_that_asks_is_called_again(
    executor: taskloom.Executor, tmp_path: Any
) -> None:
    assert executor.options(place="process").submit(ask_once, tmp_path / "x").result(60) == "done"


def test_jitter_takes_a_share_of_the_delay() -> None:
    token = hands.set(Hands(jitter=lambda: 0.5))
    try:
        retry = Retry(9, delay=4.0, backoff=1.0, jitter=0.5)
        assert retry.again(OSError(), 1) == 3.0
    finally:
        hands.reset(token)


def test_delays_grow_up_to_a_bound() -> None:
    retry = Retry(None, delay=1.0, backoff=10.0, max_delay=50.0)
    assert [retry.again(OSError(), n) for n in (1, 2, 3, 4000)] == [1.0, 10.0, 50.0, 50.0]


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"attempts": 0}, "at least 1, or None"),
        ({"delay": -1}, "seconds, 0 or more"),
        ({"jitter": 2}, "a share from 0 to 1"),
        ({"max_delay": -1}, "seconds, 0 or more, or None"),
        ({"rule": 3}, "a function of the attempt and the error"),
        ({"rule": print, "delay": 1}, "decides the delay"),
        ({"pass_error": "not a name"}, "the name of a parameter"),
    ],
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, Any], text: str) -> None:
    with pytest.raises(OptionError, match=text):
        Retry(**wrong)


def test_a_retry_can_be_pickled() -> None:
    retry = Retry(None, delay=1, jitter=0.5, max_delay=9, give_up=KeyError, pass_error="error")
    assert pickle.loads(pickle.dumps(retry)) == retry


def test_an_asking_task_without_a_retry_is_not_delayed() -> None:
    assert next_attempt(None, RetryTask(), 0) == 0.0


def test_an_attempt_out_of_time_is_tried_again_if_that_is_safe() -> None:
    release = threading.Event()
    seen: list[tuple[int, str]] = []
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="?")

    def slow_at_first() -> str:
        task = taskloom.current_task()
        assert task is not None
        seen.append((task.attempt, type(task.last_error).__name__))
        if len(seen) < 3:
            assert release.wait(60)
        return variable.get()

    variable.set("mine")
    with taskloom.Executor(1) as executor:
        view = executor.options(timeout=0.01, retry=3, retry_safe=True, name="slow")
        assert view.submit(slow_at_first).result(60) == "mine"
        release.set()
    assert seen == [(1, "NoneType"), (2, "TimeoutError"), (3, "TimeoutError")]


def test_an_attempt_out_of_time_is_not_tried_again_otherwise() -> None:
    release = threading.Event()
    with taskloom.Executor(1) as executor:
        future = executor.options(timeout=0.01, retry=3).submit(release.wait, 60)
        with pytest.raises(TimeoutError, match="ran longer than its timeout"):
            future.result(60)
        release.set()


def test_the_last_attempt_out_of_time_ends_the_task() -> None:
    release = threading.Event()
    with taskloom.Executor(1) as executor:
        view = executor.options(timeout=0.01, retry=2, retry_safe=True)
        future = view.submit(release.wait, 60)
        with pytest.raises(TimeoutError) as caught:
            future.result(60)
        assert caught.value.__notes__ == ["attempt 2 of 2"]
        release.set()


def test_a_node_out_of_time_is_tried_again_if_that_is_safe() -> None:
    release = threading.Event()
    calls: list[int] = []

    def slow_at_first() -> int:
        calls.append(1)
        if len(calls) == 1:
            assert release.wait(60)
        return len(calls)

    g = taskloom.Graph()
    node = g.options(timeout=0.01, retry=2, retry_safe=True).add(slow_at_first)
    with taskloom.Executor(1) as executor:
        assert executor.run(g)[node] == 2
        release.set()


def test_a_spawned_function_that_asks_is_called_again() -> None:
    with taskloom.Scope() as scope:
        future = scope.spawn(steps(RetryTask(), RetryTask(delay=0.001), "done"))
    assert future.result() == "done"


def test_cancelling_a_scope_ends_the_pause_of_its_child() -> None:
    asked = threading.Event()

    def ask() -> None:
        asked.set()
        raise RetryTask(delay=3600)

    with taskloom.Scope() as scope:
        future = scope.spawn(ask)
        assert asked.wait(60)
        scope.cancel()
    assert future.cancelled()
