"""The context of a run: values by name and by type, borrowed, and matched before it starts."""

from __future__ import annotations

import threading
import weakref
from typing import Any

import pytest
import taskloom
from taskloom import Context, write
from taskloom.errors import GraphError


class Config:
    def __init__(self, number: int = 0) -> None:
        self.number = number


class Special(Config):
    pass


class Other(Config):
    pass


def test_values_are_found_by_name_and_by_type() -> None:
    g = taskloom.Graph()
    size = g.add(len, g.resource("words"))
    number = g.add(lambda config: config.number, g.from_context(Config))
    run = taskloom.run(g, context=Context(Config(7), words=["a"]))
    assert (run[size], run[number]) == (1, 7)


def test_a_plan_runs_with_one_context_after_the_other() -> None:
    g = taskloom.Graph()
    size = g.add(len, g.resource("words"))
    plan = g.compile()
    assert [taskloom.run(plan, context=Context(words="x" * n))[size] for n in range(3)] == [0, 1, 2]


def test_the_same_resource_is_the_same_node() -> None:
    g = taskloom.Graph()
    assert g.resource("words") is g.resource("words")
    assert g.from_context(Config) is g.from_context(Config)


def test_writes_to_a_resource_follow_the_order_of_registration() -> None:
    g = taskloom.Graph()
    log = g.resource("log")
    for number in range(10):
        g.add(list.append, write(log), number)
    mine: list[int] = []
    with taskloom.Executor(2) as executor:
        assert executor.start(g, context=Context(log=mine)).wait()
    assert mine == list(range(10))


def test_a_run_does_not_keep_the_values_alive() -> None:
    config = Config()
    follow = weakref.ref(config)
    g = taskloom.Graph()
    g.add(lambda config: None, g.from_context(Config))
    run = taskloom.run(g, context=Context(config))
    assert run.ok
    del config
    assert follow() is None


@pytest.mark.parametrize(
    ("context", "message"),
    [
        (None, "needs 'words' of its context, which has nothing"),
        (Context(Config()), "needs 'words' of its context, which has Config"),
        (Context(words=""), r"needs a value of type Config .*Context\(Config\(\.\.\.\)\)"),
        (Context(Config(), words="", more=1), "uses nothing of the context's 'more'"),
        (Context(Special(), Other(), words=""), "several values that are Config: Other, Special"),
    ],
)
def test_a_context_that_does_not_match_is_refused(context: Any, message: str) -> None:
    g = taskloom.Graph()
    ran: list[int] = []
    g.add(lambda words, config: ran.append(1), g.resource("words"), g.from_context(Config))
    with pytest.raises(GraphError, match=message):
        taskloom.run(g, context=context)
    assert ran == []


def test_each_type_stands_once() -> None:
    with pytest.raises(GraphError, match="two values of type Config"):
        Context(Config(), Config())


def test_a_context_for_a_plan_without_resources_is_refused() -> None:
    with pytest.raises(GraphError, match="uses nothing of the context's 'x'"):
        taskloom.run(taskloom.Graph(), context=Context(x=1))


def test_a_resource_is_not_taken() -> None:
    g = taskloom.Graph()
    g.add(len, taskloom.take(g.resource("words")))
    with pytest.raises(GraphError, match="belongs to who gave the context"):
        g.compile()


def test_a_plan_that_writes_has_its_context_to_itself() -> None:
    inside, go_on = threading.Event(), threading.Event()

    def hold(words: list[str]) -> None:
        inside.set()
        assert go_on.wait(30)

    writer, reader = taskloom.Graph(), taskloom.Graph()
    writer.add(hold, write(writer.resource("words")))
    size = reader.add(len, reader.resource("words"))
    context = Context(words=["a"])
    with taskloom.Executor(2) as executor:
        first = executor.start(writer, context=context)
        assert inside.wait(30)
        with pytest.raises(GraphError, match="in use by another run"):
            executor.run(reader, context=context)
        go_on.set()
        assert first.wait(30)
        assert executor.run(reader, context=context)[size] == 1


def test_plans_that_only_read_share_a_context() -> None:
    g = taskloom.Graph()
    g.add(len, g.resource("words"))
    barrier = threading.Barrier(2, timeout=30)
    g.add(lambda words: barrier.wait(), g.resource("words"))
    context = Context(words=["a"])
    with taskloom.Executor(2) as executor:
        runs = [executor.start(g, context=context) for _ in range(2)]
        assert all(run.wait(30) and run.ok for run in runs)
