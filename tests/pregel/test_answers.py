"""Answers that fit no question, or not the way it wants them."""

import asyncio
import operator
from typing import Annotated, Any, TypedDict

import pytest
from pydantic import BaseModel, ValidationError
from taskloom.pregel import START, Command, StateGraph, interrupt
from taskloom.pregel.checkpoint.memory import InMemorySaver
from taskloom.pregel.errors import UnknownInterruptError, is_invalid_resume

CONFIG: Any = {"configurable": {"thread_id": "1"}}
STRICT: Any = {"configurable": {"thread_id": "1", "__pregel_strict_resume": True}}
NOBODY = "0" * 32


class Log(TypedDict):
    log: Annotated[list[str], operator.add]


class Decision(BaseModel):
    approve: bool


def ask(question: str) -> Any:
    return lambda state: {"log": [f"{question} {interrupt(question)}"]}


def graph_of(**nodes: Any) -> Any:
    builder = StateGraph(Log)
    for name, action in nodes.items():
        builder.add_node(name, action)
        builder.add_edge(START, name)
    return builder.compile(checkpointer=InMemorySaver())


def asked(graph: Any) -> dict[str, str]:
    return {question.value: question.id for question in graph.get_state(CONFIG).interrupts}


def test_strict_resume_refuses_an_answer_to_nothing_and_stores_nothing() -> None:
    graph = graph_of(a=ask("a?"), b=ask("b?"))
    graph.invoke({"log": []}, STRICT)
    ids = asked(graph)
    before = len(list(graph.get_state_history(CONFIG)))
    with pytest.raises(UnknownInterruptError, match=NOBODY) as refused:
        graph.invoke(Command(resume={NOBODY: "x"}), STRICT)
    assert refused.value.reason == "not_pending"
    assert refused.value.interrupt_ids == (NOBODY,)
    assert refused.value.pending_ids == tuple(sorted(ids.values()))
    assert len(list(graph.get_state_history(CONFIG))) == before
    assert graph.invoke(Command(resume=dict.fromkeys(ids.values(), "yes")), STRICT) == {
        "log": ["a? yes", "b? yes"]
    }


def test_strict_resume_refuses_an_answer_that_was_given_before() -> None:
    graph = graph_of(a=ask("a?"), b=ask("b?"))
    graph.invoke({"log": []}, STRICT)
    ids = asked(graph)
    graph.invoke(Command(resume={ids["a?"]: "yes"}), STRICT)
    with pytest.raises(UnknownInterruptError) as refused:
        graph.invoke(Command(resume={ids["a?"]: "again"}), STRICT)
    assert refused.value.pending_ids == (ids["b?"],)


@pytest.mark.parametrize(("answer", "reason"), [({}, "empty_map"), ("yes", "ambiguous")])
def test_strict_resume_refuses_an_answer_without_a_question(answer: Any, reason: str) -> None:
    graph = graph_of(a=ask("a?"), b=ask("b?"))
    graph.invoke({"log": []}, STRICT)
    with pytest.raises(UnknownInterruptError) as refused:
        graph.invoke(Command(resume=answer), STRICT)
    assert refused.value.reason == reason


def test_without_strict_resume_an_answer_to_nothing_is_ignored() -> None:
    graph = graph_of(a=ask("a?"))
    graph.invoke({"log": []}, CONFIG)
    graph.invoke(Command(resume={NOBODY: "x"}), CONFIG)
    assert [*asked(graph)] == ["a?"]


def test_an_answer_that_does_not_fit_is_told_from_other_errors() -> None:
    graph = graph_of(a=lambda state: {"log": [str(interrupt("ok?", response_schema=Decision))]})
    graph.invoke({"log": []}, CONFIG)
    with pytest.raises(ValidationError) as refused:
        graph.invoke(Command(resume={"approve": "maybe"}), CONFIG)
    assert is_invalid_resume(refused.value)
    assert not is_invalid_resume(ValueError("maybe"))


async def _answer_one_of_two_well() -> tuple[list[str], list[str]]:
    sent: list[str] = []
    refused = asyncio.Event()

    async def send(state: Log) -> dict[str, Any]:
        interrupt("send?", response_schema=Decision)
        sent.append("letter")
        await refused.wait()
        return {"log": ["sent"]}

    async def check(state: Log) -> dict[str, Any]:
        try:
            interrupt("check?", response_schema=Decision)
        finally:
            refused.set()
        return {"log": ["checked"]}

    graph = graph_of(send=send, check=check)
    await graph.ainvoke({"log": []}, CONFIG)
    ids = asked(graph)
    refused.clear()
    with pytest.raises(ValidationError):
        await graph.ainvoke(
            Command(resume={ids["send?"]: {"approve": True}, ids["check?"]: {"approve": "?"}}),
            CONFIG,
        )
    waiting = [*asked(graph)]
    await graph.ainvoke(Command(resume={ids["check?"]: {"approve": True}}), CONFIG)
    return waiting, sent


def test_an_answer_that_does_not_fit_lets_the_other_tasks_end() -> None:
    assert asyncio.run(_answer_one_of_two_well()) == (["check?"], ["letter"])


@pytest.mark.parametrize("returned", [None, {}])
def test_a_node_that_was_answered_and_writes_nothing_is_done(returned: Any) -> None:
    runs: list[str] = []

    def quiet(state: Log) -> Any:
        runs.append("quiet")
        interrupt("a?")
        return returned

    graph = graph_of(a=quiet, b=ask("b?"))
    graph.invoke({"log": []}, CONFIG)
    ids = asked(graph)
    graph.invoke(Command(resume={ids["a?"]: "yes"}), CONFIG)
    assert [*asked(graph)] == ["b?"]
    graph.invoke(Command(resume={ids["b?"]: "yes"}), CONFIG)
    assert runs == ["quiet", "quiet"]
