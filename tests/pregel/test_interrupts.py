"""Stopping to ask, and going on with the answer."""

import operator
from typing import Annotated, Any, TypedDict

import pytest
from pydantic import BaseModel, ValidationError
from taskloom.pregel import START, Command, Interrupt, StateGraph, interrupt
from taskloom.pregel.checkpoint.memory import InMemorySaver
from taskloom.pregel.errors import EmptyInputError

CONFIG: Any = {"configurable": {"thread_id": "1"}}


class Log(TypedDict):
    log: Annotated[list[str], operator.add]


def ask(question: str):
    return lambda state: {"log": [f"{question}: {interrupt(question)}"]}


def graph_of(**nodes: Any):
    builder = StateGraph(Log)
    for name, action in nodes.items():
        builder.add_node(name, action)
        builder.add_edge(START, name)
    return builder.compile(checkpointer=InMemorySaver())


def test_interrupt_ends_the_run_and_shows_the_question() -> None:
    graph = graph_of(a=ask("why"))
    result = graph.invoke({"log": []}, CONFIG)
    assert [i.value for i in result["__interrupt__"]] == ["why"]
    state = graph.get_state(CONFIG)
    assert state.next == ("a",)
    assert state.interrupts == tuple(result["__interrupt__"])


def test_resume_gives_the_answer_to_the_node() -> None:
    graph = graph_of(a=ask("why"))
    graph.invoke({"log": []}, CONFIG)
    assert graph.invoke(Command(resume="because"), CONFIG) == {"log": ["why: because"]}
    assert graph.get_state(CONFIG).next == ()


def test_several_questions_of_one_node_are_answered_in_order() -> None:
    def node(state: Log) -> dict:
        return {"log": [interrupt("one"), interrupt("two")]}

    graph = graph_of(a=node)
    first = graph.invoke({"log": []}, CONFIG)["__interrupt__"]
    second = graph.invoke(Command(resume="1"), CONFIG)["__interrupt__"]
    assert [i.value for i in (*first, *second)] == ["one", "two"]
    assert first[0].id != second[0].id
    assert graph.invoke(Command(resume="2"), CONFIG) == {"log": ["1", "2"]}


def test_parallel_questions_are_answered_by_id() -> None:
    graph = graph_of(a=ask("a?"), b=ask("b?"))
    asked = graph.invoke({"log": []}, CONFIG)["__interrupt__"]
    answers = {i.id: i.value.upper() for i in asked}
    assert graph.invoke(Command(resume=answers), CONFIG) == {"log": ["a?: A?", "b?: B?"]}


def test_one_answer_to_several_open_questions_is_refused() -> None:
    graph = graph_of(a=ask("a?"), b=ask("b?"))
    graph.invoke({"log": []}, CONFIG)
    with pytest.raises(RuntimeError, match="multiple pending interrupts"):
        graph.invoke(Command(resume="x"), CONFIG)


def test_a_finished_sibling_does_not_run_again_on_resume() -> None:
    runs = []

    def sibling(state: Log) -> dict:
        runs.append(1)
        return {"log": ["sibling"]}

    graph = graph_of(a=sibling, b=ask("b?"))
    graph.invoke({"log": []}, CONFIG)
    assert graph.invoke(Command(resume="yes"), CONFIG) == {"log": ["sibling", "b?: yes"]}
    assert len(runs) == 1


def test_question_of_a_subgraph_is_answered_through_the_parent() -> None:
    inner = StateGraph(Log)
    inner.add_node("ask", ask("inner"))
    inner.add_edge(START, "ask")
    graph = graph_of(sub=inner.compile())
    assert graph.invoke({"log": []}, CONFIG)["__interrupt__"][0].value == "inner"
    assert graph.invoke(Command(resume="ok"), CONFIG) == {"log": ["inner: ok"]}


def test_resume_without_a_checkpointer_is_refused() -> None:
    builder = StateGraph(Log)
    builder.add_node("a", ask("why"))
    builder.add_edge(START, "a")
    with pytest.raises(RuntimeError, match="without checkpointer"):
        builder.compile().invoke(Command(resume="x"))


def test_interrupt_outside_a_node_says_so() -> None:
    with pytest.raises(RuntimeError, match="outside of a runnable context"):
        interrupt("why")


def test_answer_is_validated_by_the_schema_and_can_be_given_again() -> None:
    class Decision(BaseModel):
        approve: bool

    def node(state: Log) -> dict:
        decision = interrupt("ok?", response_schema=Decision)
        return {"log": [str(decision.approve)]}

    graph = graph_of(a=node)
    asked = graph.invoke({"log": []}, CONFIG)["__interrupt__"][0]
    assert asked.response_schema["properties"]["approve"]["type"] == "boolean"
    with pytest.raises(ValidationError):
        graph.invoke(Command(resume={"approve": "maybe"}), CONFIG)
    assert graph.invoke(Command(resume={"approve": True}), CONFIG) == {"log": ["True"]}


@pytest.mark.parametrize(
    ("where", "before"), [("interrupt_before", []), ("interrupt_after", ["b"])]
)
def test_static_breakpoints_stop_and_none_goes_on(where: str, before: list[str]) -> None:
    builder = StateGraph(Log)
    builder.add_sequence([(n, lambda state, n=n: {"log": [n]}) for n in "abc"])
    builder.add_edge(START, "a")
    graph = builder.compile(checkpointer=InMemorySaver(), **{where: ["b"]})
    assert graph.invoke({"log": []}, CONFIG)["log"] == ["a", *before]
    assert graph.invoke(None, CONFIG)["log"] == ["a", "b", "c"]


def test_breakpoint_of_one_run_counts_for_that_run_only() -> None:
    graph = graph_of(a=lambda state: {"log": ["a"]})
    assert graph.invoke({"log": []}, CONFIG, interrupt_before="*")["log"] == []
    assert graph.invoke(None, CONFIG)["log"] == ["a"]


def test_nothing_to_go_on_with_is_an_error() -> None:
    with pytest.raises(EmptyInputError):
        graph_of(a=ask("why")).invoke(None, CONFIG)


def test_interrupts_are_equal_by_value_and_id() -> None:
    assert Interrupt("x", id="1") == Interrupt("x", id="1") != Interrupt("x", id="2")
