"""Supersteps: what is due, in what order writes are applied, when a run ends."""

import operator
import threading
from dataclasses import dataclass
from typing import Annotated, Literal, TypedDict

import pytest
from pydantic import BaseModel, ValidationError
from taskloom.pregel import (
    END,
    START,
    Command,
    GraphRecursionError,
    InvalidUpdateError,
    NodeBuilder,
    Overwrite,
    Pregel,
    Send,
    StateGraph,
)
from taskloom.pregel.channels import (
    EphemeralValue,
    LastValue,
    NamedBarrierValue,
    Topic,
    UntrackedValue,
)
from taskloom.pregel.managed import IsLastStep, RemainingSteps


class Log(TypedDict):
    log: Annotated[list[str], operator.add]


def logs(name: str):
    return lambda state: {"log": [name]}


def build(*names: str) -> StateGraph:
    builder = StateGraph(Log)
    for name in names:
        builder.add_node(name, logs(name))
    return builder


def test_nodes_run_one_after_the_other_along_edges() -> None:
    builder = build("a", "b", "c")
    for start, end in ((START, "a"), ("a", "b"), ("b", "c"), ("c", END)):
        builder.add_edge(start, end)
    assert builder.compile().invoke({"log": []}) == {"log": ["a", "b", "c"]}


def test_writes_of_one_superstep_are_applied_in_order_of_node_names() -> None:
    builder = build("c", "a", "b", "last")
    for name in "cab":
        builder.add_edge(START, name)
        builder.add_edge(name, "last")
    assert builder.compile().invoke({"log": []}) == {"log": ["a", "b", "c", "last"]}


def test_nodes_of_one_superstep_run_side_by_side() -> None:
    meeting = threading.Barrier(3, timeout=30)
    builder = StateGraph(Log)
    for name in "abc":
        builder.add_node(name, lambda state, name=name: (meeting.wait(), {"log": [name]})[1])
        builder.add_edge(START, name)
    assert builder.compile().invoke({"log": []}) == {"log": ["a", "b", "c"]}


def test_max_concurrency_bounds_how_many_nodes_run_at_a_time() -> None:
    running, most, lock = 0, 0, threading.Lock()

    def work(state: Log) -> dict[str, list[str]]:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        threading.Event().wait(0.01)
        with lock:
            running -= 1
        return {"log": ["x"]}

    builder = StateGraph(Log)
    for index in range(8):
        builder.add_node(f"n{index}", work)
        builder.add_edge(START, f"n{index}")
    graph = builder.compile()
    assert len(graph.invoke({"log": []}, {"max_concurrency": 2})["log"]) == 8
    assert most <= 2


def test_join_waits_for_all_of_its_nodes() -> None:
    builder = build("a", "b1", "b2", "join")
    builder.add_edge(START, "a")
    builder.add_edge(START, "b1")
    builder.add_edge("b1", "b2")
    builder.add_edge(["a", "b2"], "join")
    assert builder.compile().invoke({"log": []}) == {"log": ["a", "b1", "b2", "join"]}


def test_conditional_edge_sees_the_state_as_its_node_left_it() -> None:
    builder = build("a", "long")
    builder.add_edge(START, "a")
    builder.add_conditional_edges("a", lambda state: "long" if state["log"] == ["x", "a"] else END)
    assert builder.compile().invoke({"log": ["x"]}) == {"log": ["x", "a", "long"]}


def test_conditional_edge_goes_where_its_path_map_says() -> None:
    builder = build("a", "b")
    builder.add_edge(START, "a")
    builder.add_conditional_edges("a", lambda state: True, {True: "b", False: END})
    assert builder.compile().invoke({"log": []}) == {"log": ["a", "b"]}


def test_sends_run_a_node_once_for_each_with_their_inputs_in_order() -> None:
    builder = StateGraph(Log)
    builder.add_node("work", lambda item: {"log": [f"did {item}"]})
    builder.add_conditional_edges(START, lambda state: [Send("work", i) for i in range(20)])
    assert builder.compile().invoke({"log": []}) == {"log": [f"did {i}" for i in range(20)]}


def test_command_updates_and_goes() -> None:
    def choose(state: Log) -> Command[Literal["b"]]:
        return Command(update={"log": ["chose"]}, goto="b")

    builder = build("b")
    builder.add_node(choose)
    builder.add_edge(START, "choose")
    assert builder.compile().invoke({"log": []}) == {"log": ["chose", "b"]}


def test_command_to_the_parent_leaves_the_subgraph() -> None:
    inner = StateGraph(Log)
    inner.add_node(
        "leave", lambda state: Command(graph=Command.PARENT, goto="b", update={"log": ["up"]})
    )
    inner.add_edge(START, "leave")
    outer = build("b")
    outer.add_node("inner", inner.compile())
    outer.add_edge(START, "inner")
    assert outer.compile().invoke({"log": []}) == {"log": ["up", "b"]}


def test_deferred_node_runs_when_nothing_else_is_due() -> None:
    builder = build("a", "b", "c")
    builder.add_node("last", logs("last"), defer=True)
    for start, end in ((START, "a"), ("a", "b"), ("b", "c"), ("a", "last"), ("c", END)):
        builder.add_edge(start, end)
    assert builder.compile().invoke({"log": []}) == {"log": ["a", "b", "c", "last"]}


def test_two_plain_writes_in_one_superstep_name_both_nodes() -> None:
    class State(TypedDict):
        x: int

    builder = StateGraph(State)
    for name in ("one", "other"):
        builder.add_node(name, lambda state: {"x": 1})
        builder.add_edge(START, name)
    with pytest.raises(InvalidUpdateError, match=r"At key 'x'.*'one' and 'other'"):
        builder.compile().invoke({"x": 0})


def test_a_node_that_returns_no_update_is_refused() -> None:
    builder = StateGraph(Log)
    builder.add_node("a", lambda state: 3)
    builder.add_edge(START, "a")
    with pytest.raises(InvalidUpdateError, match="Expected dict, got 3"):
        builder.compile().invoke({"log": []})


def test_recursion_limit_says_where_the_run_was() -> None:
    builder = build("a", "b")
    for start, end in ((START, "a"), ("a", "b"), ("b", "a")):
        builder.add_edge(start, end)
    with pytest.raises(GraphRecursionError, match=r"Recursion limit of 5 .* 'b'") as caught:
        builder.compile().invoke({"log": []}, {"recursion_limit": 5})
    assert caught.value.nodes == ("b",)


def test_overwrite_replaces_a_reduced_value() -> None:
    builder = build("a")
    builder.add_node("forget", lambda state: {"log": Overwrite(["new"])})
    builder.add_edge(START, "a")
    builder.add_edge("a", "forget")
    assert builder.compile().invoke({"log": ["old"]}) == {"log": ["new"]}


def test_default_of_a_reduced_cell_is_not_shared_between_runs() -> None:
    def extend(left: list[int], right: list[int]) -> list[int]:
        left.extend(right)
        return left

    class State(TypedDict):
        items: Annotated[list[int], extend]

    builder = StateGraph(State)
    builder.add_node("a", lambda state: {"items": [1]})
    builder.add_edge(START, "a")
    graph = builder.compile()
    assert graph.invoke({}) == graph.invoke({}) == {"items": [1]}


def test_dataclass_state_reaches_nodes_as_instances() -> None:
    @dataclass
    class State:
        x: int
        y: int = 5

    builder = StateGraph(State)
    builder.add_node("a", lambda state: {"y": state.x + state.y})
    builder.add_edge(START, "a")
    assert builder.compile().invoke({"x": 1}) == {"x": 1, "y": 6}


def test_pydantic_state_is_validated() -> None:
    class State(BaseModel):
        x: int

    builder = StateGraph(State)
    builder.add_node("a", lambda state: {"x": state.x + 1})
    builder.add_edge(START, "a")
    graph = builder.compile()
    assert graph.invoke({"x": "41"}) == {"x": 42}
    with pytest.raises(ValidationError):
        graph.invoke({"x": "many"})


def test_input_and_output_schemas_bound_what_goes_in_and_out() -> None:
    class State(TypedDict):
        question: str
        notes: str
        answer: str

    class Question(TypedDict):
        question: str

    class Answer(TypedDict):
        answer: str

    builder = StateGraph(State, input_schema=Question, output_schema=Answer)
    builder.add_node("note", lambda state: {"notes": state["question"] + "?"})
    builder.add_node("answer", lambda state: {"answer": state["notes"] + "!"})
    builder.add_edge(START, "note")
    builder.add_edge("note", "answer")
    assert builder.compile().invoke({"question": "q", "answer": "no"}) == {"answer": "q?!"}


def test_managed_values_count_down() -> None:
    class State(TypedDict):
        log: Annotated[list[str], operator.add]
        left: RemainingSteps
        last: IsLastStep

    builder = StateGraph(State)
    builder.add_node("a", lambda state: {"log": [f"{state['left']} {state['last']}"]})
    builder.add_edge(START, "a")
    builder.add_conditional_edges("a", lambda state: END if len(state["log"]) == 3 else "a")
    result = builder.compile().invoke({"log": []}, {"recursion_limit": 4})
    assert result == {"log": ["3 False", "2 False", "1 True"]}


def test_root_state_is_a_single_value() -> None:
    builder = StateGraph(Annotated[list, operator.add])
    builder.add_node("a", lambda state: ["a"])
    builder.add_edge(START, "a")
    assert builder.compile().invoke(["x"]) == ["x", "a"]


def test_pregel_nodes_subscribe_to_cells_and_write_cells() -> None:
    graph = Pregel(
        nodes={
            "double": NodeBuilder().subscribe_only("in").do(lambda x: x * 2).write_to("mid"),
            "text": NodeBuilder().subscribe_only("mid").do(str).write_to("out", copy=len),
        },
        channels={
            "in": EphemeralValue(int),
            "mid": LastValue(int),
            "out": LastValue(str),
            "copy": LastValue(int),
        },
        input_channels="in",
        output_channels=["out", "copy"],
    )
    assert graph.invoke(21) == {"out": "42", "copy": 2}


def test_topic_collects_and_barrier_waits_in_a_pregel_graph() -> None:
    graph = Pregel(
        nodes={
            "a": NodeBuilder().subscribe_only("in").do(lambda x: x + 1).write_to("found", done="a"),
            "b": NodeBuilder().subscribe_only("in").do(lambda x: x + 2).write_to("found", done="b"),
            "sum": NodeBuilder()
            .subscribe_to("done", read=False)
            .read_from("found")
            .do(lambda cells: sum(cells["found"]))
            .write_to("out"),
        },
        channels={
            "in": EphemeralValue(int),
            "found": Topic(int, accumulate=True),
            "done": NamedBarrierValue(str, {"a", "b"}),
            "out": LastValue(int),
        },
        input_channels="in",
        output_channels="out",
    )
    assert graph.invoke(1) == 5


def test_untracked_and_ephemeral_cells_in_a_state() -> None:
    class State(TypedDict):
        log: Annotated[list[str], operator.add]
        once: Annotated[str, EphemeralValue]
        handle: Annotated[object, UntrackedValue]

    handle = object()

    def first(state: State) -> dict:
        return {"once": "here", "handle": handle}

    def second(state: State) -> dict:
        return {"log": [state.get("once", "gone")]}

    def third(state: State) -> dict:
        return {"log": [state.get("once", "gone"), str(state["handle"] is handle)]}

    builder = StateGraph(State)
    builder.add_sequence([first, second, third])
    builder.add_edge(START, "first")
    assert builder.compile().invoke({"log": []})["log"] == ["here", "gone", "True"]


def test_batch_returns_outputs_in_the_order_of_inputs() -> None:
    builder = build("a")
    builder.add_edge(START, "a")
    inputs = [{"log": [str(i)]} for i in range(10)]
    assert builder.compile().batch(inputs) == [{"log": [str(i), "a"]} for i in range(10)]


def test_an_unknown_config_key_names_the_right_one() -> None:
    builder = build("a")
    builder.add_edge(START, "a")
    graph = builder.compile()
    with pytest.raises(ValueError, match="did you mean 'recursion_limit'"):
        graph.invoke({"log": []}, {"recusion_limit": 3})
    with pytest.raises(ValueError, match=r"'configurable': {'thread_id'"):
        graph.invoke({"log": []}, {"thread_id": "1"})


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ([("a", END)], "must have an entrypoint"),
        ([(START, "a"), ("b", "a")], "starting at unknown node 'b'"),
        ([(START, "a"), ("a", "b")], "ending at unknown node `b`"),
    ],
)
def test_compile_refuses_edges_that_lead_nowhere(edges: list, message: str) -> None:
    builder = build("a")
    for start, end in edges:
        builder.add_edge(start, end)
    with pytest.raises(ValueError, match=message):
        builder.compile()
