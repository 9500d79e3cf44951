"""catch turns exceptions by their type into values or flow, and leaves the function what it was."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import taskloom
from taskloom import AbortBranch, AbortRun, RetryTask, Write, catch
from taskloom.errors import GraphError, OptionError, RunAborted

MODES: list[Any] = ["serial", "parallel"]


def half(text: str, /) -> float:
    return 1 / int(text)


def test_exceptions_become_values_by_type() -> None:
    careful = catch(half, {ValueError: "no number", ZeroDivisionError: None})
    g = taskloom.Graph()
    nodes = [g.add(careful, text) for text in ("2", "x", "0")]
    run = taskloom.run(g)
    assert [run[node] for node in nodes] == [0.5, "no number", None]


@pytest.mark.parametrize("mode", MODES)
def test_exceptions_direct_the_flow_by_type(mode: Any) -> None:
    g = taskloom.Graph()
    ended = g.add(catch(half, {ValueError: AbortBranch}), "x")
    child = g.add(str, ended)
    run = taskloom.run(g, mode=mode)
    assert [run.why(node).status for node in (ended, child)] == ["ended", "skipped"]
    g.add(catch(half, {ZeroDivisionError: AbortRun}), "0")
    with pytest.raises(RunAborted, match="ZeroDivisionError: division by zero"):
        taskloom.run(g, mode=mode)


def test_a_rule_can_ask_for_another_attempt() -> None:
    answers = iter(["x", "y", "4"])
    careful = catch(lambda: half(next(answers)), {ValueError: RetryTask(delay=0.0)})
    g = taskloom.Graph()
    node = g.add(careful)
    assert taskloom.run(g)[node] == 0.25


def test_the_nearest_class_decides_and_a_function_gets_the_error() -> None:
    rules = {ArithmeticError: "arithmetic", Exception: lambda error: type(error).__name__}
    careful = catch(half, rules)
    assert (careful("0"), careful("x")) == ("arithmetic", "ValueError")


def test_what_no_rule_names_passes() -> None:
    with pytest.raises(ZeroDivisionError):
        catch(half, {ValueError: None})("0")


def test_name_signature_and_access_modes_stay() -> None:
    def fill(target: Write[list[int]], value: int) -> None:
        target.append(value)
        if value < 0:
            raise ValueError

    careful = catch(fill, {ValueError: None})
    g = taskloom.Graph()
    numbers = g.add(list, (1,))
    node = g.add(careful, numbers, -1)
    total = g.add(sum, numbers)
    assert node.name == "fill#1"
    assert taskloom.run(g)[total] == 0
    with pytest.raises(GraphError, match="missing a required argument: 'value'"):
        g.add(careful, numbers)


def test_options_of_a_task_stay() -> None:
    careful = catch(taskloom.task(half, retry=2, name="half"), {ValueError: None})
    assert isinstance(careful, taskloom.Task)
    assert careful.options.get("name") == "half"
    assert careful("x") is None


def test_a_retry_comes_after_the_rules() -> None:
    answers = iter(["x", "0", "2"])
    careful = catch(lambda: half(next(answers)), {ZeroDivisionError: "zero"})
    g = taskloom.Graph()
    node = g.options(retry=3).add(careful)
    assert taskloom.run(g)[node] == "zero"


def test_it_goes_to_another_process() -> None:
    careful = catch(half, {ValueError: None})
    assert pickle.loads(pickle.dumps(careful))("x") is None
    with taskloom.Executor(1) as executor:
        assert executor.options(place="process").submit(careful, "x").result(60) is None


def test_coroutine_functions_are_caught_when_they_are_awaited() -> None:
    async def fail() -> None:
        raise ValueError

    with taskloom.Scope() as scope:
        future = scope.spawn(catch(fail, {ValueError: "caught"}))
    assert future.result() == "caught"


def test_a_key_that_is_no_exception_class_is_refused() -> None:
    with pytest.raises(OptionError, match="the keys are exception classes"):
        catch(half, {"ValueError": None})  # type: ignore[dict-item]
