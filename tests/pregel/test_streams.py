"""What a run shows while it goes on."""

import operator
import threading
from typing import Annotated, Any, TypedDict

import pytest
from taskloom.pregel import START, StateGraph, get_stream_writer, interrupt, push_message
from taskloom.pregel.checkpoint.memory import InMemorySaver
from taskloom.pregel.graph import MessagesState

CONFIG: Any = {"configurable": {"thread_id": "1"}}


class Log(TypedDict):
    log: Annotated[list[str], operator.add]


def sequence(**nodes: Any) -> StateGraph:
    builder = StateGraph(Log)
    builder.add_sequence(list(nodes.items()))
    builder.add_edge(START, next(iter(nodes)))
    return builder


def logs(name: str):
    return lambda state: {"log": [name]}


def test_updates_show_what_each_node_wrote() -> None:
    graph = sequence(a=logs("a"), b=logs("b")).compile()
    assert list(graph.stream({"log": []})) == [{"a": {"log": ["a"]}}, {"b": {"log": ["b"]}}]


def test_values_show_the_state_from_the_input_on() -> None:
    graph = sequence(a=logs("a")).compile()
    shown = list(graph.stream({"log": ["in"]}, stream_mode="values"))
    assert shown == [{"log": ["in"]}, {"log": ["in", "a"]}]


def test_several_modes_come_as_pairs() -> None:
    graph = sequence(a=logs("a")).compile()
    shown = list(graph.stream({"log": []}, stream_mode=["updates", "values"]))
    assert shown == [
        ("values", {"log": []}),
        ("updates", {"a": {"log": ["a"]}}),
        ("values", {"log": ["a"]}),
    ]


def test_custom_chunks_arrive_while_the_node_runs() -> None:
    seen = threading.Event()

    def node(state: Log) -> dict:
        get_stream_writer()("half")
        assert seen.wait(30)
        return {"log": ["done"]}

    shown = []
    for chunk in sequence(a=node).compile().stream({"log": []}, stream_mode="custom"):
        shown.append(chunk)
        seen.set()
    assert shown == ["half"]


def test_a_quick_node_is_shown_before_its_slow_sibling_ends() -> None:
    seen = threading.Event()
    builder = StateGraph(Log)
    builder.add_node("quick", logs("quick"))
    builder.add_node("slow", lambda state: {"log": [str(seen.wait(30))]})
    builder.add_edge(START, "quick")
    builder.add_edge(START, "slow")
    shown = []
    for chunk in builder.compile().stream({"log": []}):
        shown.append(chunk)
        seen.set()
    assert shown == [{"quick": {"log": ["quick"]}}, {"slow": {"log": ["True"]}}]


def test_subgraphs_are_shown_with_their_namespaces() -> None:
    graph = sequence(outer=sequence(inner=logs("i")).compile()).compile()
    shown = list(graph.stream({"log": []}, subgraphs=True))
    assert [(tuple(part.split(":")[0] for part in ns), chunk) for ns, chunk in shown] == [
        (("outer",), {"inner": {"log": ["i"]}}),
        ((), {"outer": {"log": ["i"]}}),
    ]


def test_tasks_show_beginnings_and_ends() -> None:
    graph = sequence(a=logs("a")).compile()
    begin, end = graph.stream({"log": []}, stream_mode="tasks")
    assert begin["id"] == end["id"]
    assert (begin["name"], begin["input"], begin["triggers"]) == (
        "a",
        {"log": []},
        ("branch:to:a",),
    )
    assert (end["result"], end["error"], end["interrupts"]) == ({"log": ["a"]}, None, [])


def test_checkpoints_and_debug_show_where_the_thread_stands() -> None:
    graph = sequence(a=logs("a")).compile(checkpointer=InMemorySaver())
    shown = list(graph.stream({"log": []}, CONFIG, stream_mode="checkpoints"))
    assert [(c["metadata"]["step"], c["next"]) for c in shown] == [
        (-1, ["__start__"]),
        (0, ["a"]),
        (1, []),
    ]
    kinds = [c["type"] for c in graph.stream({"log": []}, CONFIG, stream_mode="debug")]
    assert kinds == ["checkpoint", "checkpoint", "task", "task_result", "checkpoint"]


def test_interrupts_are_shown_as_updates() -> None:
    graph = sequence(a=lambda state: {"log": [interrupt("why")]})
    shown = list(graph.compile(checkpointer=InMemorySaver()).stream({"log": []}, CONFIG))
    assert [i.value for i in shown[0]["__interrupt__"]] == ["why"]


def test_messages_are_shown_once_each_with_the_node_they_come_from() -> None:
    first = {"role": "assistant", "content": "wait", "id": "1"}
    second = {"role": "assistant", "content": "done", "id": "2"}

    def node(state: MessagesState) -> dict:
        push_message(first)
        return {"messages": [first, second]}

    builder = StateGraph(MessagesState)
    builder.add_node("talk", node)
    builder.add_edge(START, "talk")
    given = {"messages": [{"role": "user", "content": "hi", "id": "0"}]}
    shown = list(builder.compile().stream(given, stream_mode="messages"))
    assert [(m["id"], meta["langgraph_node"]) for m, meta in shown] == [
        ("1", "talk"),
        ("2", "talk"),
    ]


def test_version_two_parts_say_what_they_are() -> None:
    graph = sequence(a=logs("a")).compile()
    shown = list(graph.stream({"log": []}, stream_mode=["values", "updates"], version="v2"))
    assert shown[1] == {"type": "updates", "ns": (), "data": {"a": {"log": ["a"]}}}
    assert shown[2] == {"type": "values", "ns": (), "data": {"log": ["a"]}, "interrupts": ()}


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="Unknown stream mode 'update'"):
        list(sequence(a=logs("a")).compile().stream({"log": []}, stream_mode="update"))


def test_leaving_a_stream_early_ends_the_run() -> None:
    runs = []
    graph = sequence(a=logs("a"), b=lambda state: runs.append(1)).compile()
    stream = graph.stream({"log": []})
    next(stream)
    stream.close()
    assert runs == []


def test_hidden_nodes_are_not_shown() -> None:
    graph = sequence(a=logs("a")).compile()
    assert all("__start__" not in chunk for chunk in graph.stream({"log": []}))


def test_print_mode_prints(capsys: pytest.CaptureFixture[str]) -> None:
    sequence(a=logs("a")).compile().invoke({"log": []}, print_mode="updates")
    assert "[updates] {'a': {'log': ['a']}}" in capsys.readouterr().out


def test_messages_come_with_what_is_known_about_their_task() -> None:
    builder = StateGraph(MessagesState)
    builder.add_node(
        "speak", lambda state: {"messages": {"role": "user", "content": "x", "id": "1"}}
    )
    builder.add_edge(START, "speak")
    config = {"configurable": {"graph_id": "g"}}
    ((_, known),) = builder.compile().stream({"messages": []}, config, stream_mode="messages")
    assert known["langgraph_node"] == "speak"
    assert known["langgraph_step"] == 1
    assert known["ls_integration"] == "langgraph"
    assert known["graph_id"] == "g"
