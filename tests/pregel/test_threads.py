"""Threads: state, history, time travel, updates, durability."""

import operator
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from taskloom.pregel import END, START, GraphDrained, RunControl, Send, StateGraph, StateUpdate
from taskloom.pregel.checkpoint.memory import InMemorySaver
from taskloom.pregel.checkpoint.sqlite import SqliteSaver
from taskloom.pregel.errors import InvalidUpdateError

CONFIG: Any = {"configurable": {"thread_id": "1"}}


class Log(TypedDict):
    log: Annotated[list[str], operator.add]


def chain(*names: str, **options: Any):
    builder = StateGraph(Log)
    builder.add_sequence([(n, lambda state, n=n: {"log": [n]}) for n in names])
    builder.add_edge(START, names[0])
    return builder.compile(**{"checkpointer": InMemorySaver(), **options})


def test_a_thread_remembers_its_state() -> None:
    graph = chain("a")
    graph.invoke({"log": ["one"]}, CONFIG)
    assert graph.invoke({"log": ["two"]}, CONFIG) == {"log": ["one", "a", "two", "a"]}


def test_threads_are_apart() -> None:
    graph = chain("a")
    graph.invoke({"log": ["one"]}, CONFIG)
    other: Any = {"configurable": {"thread_id": 2}}
    assert graph.invoke({"log": ["two"]}, other) == {"log": ["two", "a"]}


def test_history_shows_each_superstep_with_what_its_tasks_wrote() -> None:
    graph = chain("a", "b")
    graph.invoke({"log": []}, CONFIG)
    states = list(graph.get_state_history(CONFIG))
    assert [(s.next, s.metadata["step"], s.metadata["source"]) for s in states] == [
        ((), 2, "loop"),
        (("b",), 1, "loop"),
        (("a",), 0, "loop"),
        (("__start__",), -1, "input"),
    ]
    assert [task.result for state in states[1:3] for task in state.tasks] == [
        {"log": ["b"]},
        {"log": ["a"]},
    ]
    assert states[1].parent_config == states[2].config


def test_history_is_filtered_and_limited() -> None:
    graph = chain("a", "b")
    graph.invoke({"log": []}, CONFIG)
    assert [s.metadata["step"] for s in graph.get_state_history(CONFIG, limit=2)] == [2, 1]
    found = graph.get_state_history(CONFIG, filter={"source": "input"})
    assert [s.metadata["step"] for s in found] == [-1]


def test_a_run_from_an_old_checkpoint_makes_a_branch() -> None:
    graph = chain("a", "b")
    graph.invoke({"log": ["x"]}, CONFIG)
    before_b = next(s for s in graph.get_state_history(CONFIG) if s.next == ("b",))
    assert graph.invoke(None, before_b.config) == {"log": ["x", "a", "b"]}
    sources = [s.metadata["source"] for s in graph.get_state_history(CONFIG)]
    assert sources == ["loop", "fork", "loop", "loop", "loop", "input"]


def test_update_counts_as_a_node_and_decides_what_is_next() -> None:
    graph = chain("a", "b", interrupt_after=["a"])
    graph.invoke({"log": []}, CONFIG)
    graph.update_state(CONFIG, {"log": ["by hand"]}, as_node="a")
    assert graph.get_state(CONFIG).next == ("b",)
    assert graph.invoke(None, CONFIG) == {"log": ["a", "by hand", "b"]}


def test_update_of_an_old_checkpoint_forks_the_thread() -> None:
    graph = chain("a", "b")
    graph.invoke({"log": ["x"]}, CONFIG)
    before_b = next(s for s in graph.get_state_history(CONFIG) if s.next == ("b",))
    fork = graph.update_state(before_b.config, {"log": ["other"]}, as_node="a")
    assert graph.invoke(None, fork) == {"log": ["x", "a", "other", "b"]}


def test_update_without_a_clear_author_asks_for_one() -> None:
    builder = StateGraph(Log)
    for name in "ab":
        builder.add_node(name, lambda state: {"log": ["x"]})
        builder.add_edge(START, name)
    graph = builder.compile(checkpointer=InMemorySaver())
    graph.invoke({"log": []}, CONFIG)
    with pytest.raises(InvalidUpdateError, match="Ambiguous update"):
        graph.update_state(CONFIG, {"log": ["?"]})
    with pytest.raises(InvalidUpdateError, match="Node nobody does not exist"):
        graph.update_state(CONFIG, {"log": ["?"]}, as_node="nobody")


def test_bulk_update_makes_a_checkpoint_for_each_superstep() -> None:
    graph = chain("a", "b")
    graph.bulk_update_state(
        CONFIG,
        [
            [StateUpdate({"log": ["in"]}, "__input__")],
            [StateUpdate({"log": ["in"]}, "__start__")],
            [StateUpdate({"log": ["a by hand"]}, "a")],
        ],
    )
    state = graph.get_state(CONFIG)
    assert (state.values, state.next) == ({"log": ["in", "a by hand"]}, ("b",))


def test_update_to_the_end_clears_what_is_due() -> None:
    graph = chain("a", "b", interrupt_before=["b"])
    graph.invoke({"log": []}, CONFIG)
    graph.update_state(CONFIG, None, as_node=END)
    assert graph.get_state(CONFIG).next == ()


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
def test_durability_decides_how_many_checkpoints_are_stored(durability: Any) -> None:
    graph = chain("a", "b")
    graph.invoke({"log": []}, CONFIG, durability=durability)
    assert graph.get_state(CONFIG).values == {"log": ["a", "b"]}
    expected = 1 if durability == "exit" else 4
    assert len(list(graph.get_state_history(CONFIG))) == expected


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
def test_after_a_failure_only_what_had_not_finished_runs_again(
    tmp_path: Path, durability: Any
) -> None:
    runs: list[str] = []
    broken = True

    def good(state: Log) -> dict:
        runs.append("good")
        return {"log": ["good"]}

    def bad(state: Log) -> dict:
        runs.append("bad")
        if broken:
            raise RuntimeError("not yet")
        return {"log": ["bad"]}

    builder = StateGraph(Log)
    for node in (bad, good):
        builder.add_node(node)
        builder.add_edge(START, node.__name__)
    with SqliteSaver.from_conn_string(str(tmp_path / "threads.db")) as saver:
        graph = builder.compile(checkpointer=saver)
        with pytest.raises(RuntimeError, match="not yet"):
            graph.invoke({"log": []}, {**CONFIG, "max_concurrency": 1}, durability=durability)
        broken = False
        first = list(runs)
        assert graph.invoke(None, CONFIG, durability=durability)["log"] == ["bad", "good"]
    again = runs[len(first) :]
    assert again == [name for name in ("bad", "good") if name == "bad" or name not in first]


def test_pending_sends_survive_in_the_thread() -> None:
    builder = StateGraph(Log)
    builder.add_node("work", lambda item: {"log": [item]})
    builder.add_conditional_edges(START, lambda state: [Send("work", "x"), Send("work", "y")])
    graph = builder.compile(checkpointer=InMemorySaver(), interrupt_before=["work"])
    graph.invoke({"log": []}, CONFIG)
    assert graph.get_state(CONFIG).next == ("work", "work")
    assert graph.invoke(None, CONFIG) == {"log": ["x", "y"]}


def test_drained_run_stops_between_supersteps_and_can_go_on() -> None:
    control = RunControl()

    def stop(state: Log) -> dict:
        control.request_drain("deploy")
        return {"log": ["stop"]}

    builder = StateGraph(Log)
    builder.add_sequence([stop, ("b", lambda state: {"log": ["b"]})])
    builder.add_edge(START, "stop")
    graph = builder.compile(checkpointer=InMemorySaver())
    with pytest.raises(GraphDrained, match="deploy"):
        graph.invoke({"log": []}, CONFIG, control=control)
    assert graph.get_state(CONFIG).next == ("b",)
    assert graph.invoke(None, CONFIG) == {"log": ["stop", "b"]}


def test_state_needs_a_checkpointer() -> None:
    with pytest.raises(ValueError, match="No checkpointer set"):
        chain("a", checkpointer=None).get_state(CONFIG)


def test_a_checkpointer_needs_a_thread() -> None:
    with pytest.raises(ValueError, match="thread_id"):
        chain("a").invoke({"log": []})


def test_what_is_no_checkpointer_is_refused() -> None:
    with pytest.raises(TypeError, match="Invalid checkpointer provided"):
        chain("a", checkpointer=object())


def test_a_subgraph_can_keep_a_thread_of_its_own() -> None:
    inner = StateGraph(Log)
    inner.add_node("count", lambda state: {"log": [f"run {len(state['log'])}"]})
    inner.add_edge(START, "count")
    kept = inner.compile(checkpointer=True)

    class Outer(TypedDict):
        seen: list[str]

    builder = StateGraph(Outer)
    builder.add_node("sub", lambda state: {"seen": kept.invoke({"log": []})["log"]})
    builder.add_edge(START, "sub")
    graph = builder.compile(checkpointer=InMemorySaver())
    graph.invoke({"seen": []}, CONFIG)
    assert graph.invoke({"seen": []}, CONFIG) == {"seen": ["run 0", "run 1"]}


def test_state_of_a_waiting_subgraph_is_seen_from_outside() -> None:
    inner = StateGraph(Log)
    inner.add_sequence([(n, lambda state, n=n: {"log": [n]}) for n in ("i1", "i2")])
    inner.add_edge(START, "i1")
    builder = StateGraph(Log)
    builder.add_node("sub", inner.compile(interrupt_before=["i2"]))
    builder.add_edge(START, "sub")
    graph = builder.compile(checkpointer=InMemorySaver())
    graph.invoke({"log": []}, CONFIG)
    task = graph.get_state(CONFIG, subgraphs=True).tasks[0]
    assert (task.state.values, task.state.next) == ({"log": ["i1"]}, ("i2",))
    shallow = graph.get_state(CONFIG).tasks[0].state
    assert graph.get_state(shallow).next == ("i2",)
    assert graph.invoke(None, CONFIG)["log"] == ["i1", "i2"]


def test_an_old_checkpoint_does_not_keep_what_an_update_of_it_wrote() -> None:
    graph = chain("a", "b")
    graph.invoke({"log": ["in"]}, CONFIG, interrupt_before=["b"])
    base = graph.get_state(CONFIG)
    graph.update_state(CONFIG, {"log": ["later"]}, as_node="a")
    graph.update_state(base.config, {"log": ["edit"]}, as_node="b")
    cleared = graph.update_state(base.config, None, as_node=END)
    assert graph.get_state(cleared).values == {"log": ["in", "a"]}


def kept_thread(called: Any) -> Any:
    inner = StateGraph(Log)
    inner.add_sequence([(n, lambda state, n=n: {"log": [n]}) for n in ("i1", "i2")])
    inner.add_edge(START, "i1")
    kept = inner.compile(checkpointer=True, interrupt_before=["i2"])
    builder = StateGraph(Log)
    builder.add_node("sub", called(kept))
    builder.add_edge(START, "sub")
    return builder.compile(checkpointer=InMemorySaver())


def test_a_subgraph_with_a_thread_of_its_own_shows_its_history_and_takes_updates() -> None:
    graph = kept_thread(lambda kept: kept)
    graph.invoke({"log": []}, CONFIG)
    below = graph.get_state(CONFIG).tasks[0].state
    seen = [state.values["log"] for state in graph.get_state_history(below) if state.values]
    assert seen[0] == ["i1"]
    graph.update_state(below, {"log": ["edit"]}, as_node="i1")
    shown = graph.get_state(CONFIG, subgraphs=True).tasks[0].state
    assert shown.values == {"log": ["i1", "edit"]}


def test_state_of_a_subgraph_that_a_node_looks_up_is_read_with_the_graphs_own_cells() -> None:
    graphs = {}

    def call(inner: Any) -> Any:
        graphs["inner"] = inner
        return lambda state: graphs["inner"].invoke({"log": []})

    graph = kept_thread(call)
    graph.invoke({"log": []}, CONFIG)
    below = {"configurable": {"thread_id": "1", "checkpoint_ns": "sub"}}
    assert graph.get_state(below).values == {"log": ["i1"]}
    with pytest.raises(ValueError, match="Subgraph sub not found"):
        graph.update_state(below, {"log": ["edit"]}, as_node="i1")


def test_state_of_a_graph_that_keeps_its_thread_in_another_needs_the_other() -> None:
    builder = StateGraph(Log).add_node("a", lambda state: state).add_edge(START, "a")
    with pytest.raises(RuntimeError, match="checkpointer=True cannot be used for root graphs"):
        builder.compile(checkpointer=True).get_state(CONFIG)
