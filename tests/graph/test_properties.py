"""Random graphs give what a plain evaluation gives, however they are run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import taskloom
from hypothesis import given, settings
from hypothesis import strategies as st

Mode = Any


@dataclass
class Spec:
    """One node: whose values it takes and how, whom it only follows, and whether it fails."""

    reads: list[int] = field(default_factory=list)
    form: str = "plain"
    follows: list[int] = field(default_factory=list)
    fails: bool = False
    on_error: str = "cancel_dependents"


@st.composite
def specs(draw: st.DrawFn, failing: bool) -> list[Spec]:
    found = []
    for index in range(draw(st.integers(0, 25))):
        earlier = st.lists(st.integers(0, index - 1), max_size=4) if index else st.just([])
        found.append(
            Spec(
                reads=draw(earlier),
                form=draw(st.sampled_from(["plain", "list", "nested", "keyword"])),
                follows=draw(earlier) if draw(st.booleans()) else [],
                fails=failing and draw(st.integers(0, 5)) == 0,
                on_error=draw(st.sampled_from(["cancel_dependents", "continue"])),
            )
        )
    return found


def arguments(form: str, values: list[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if form == "list":
        return (values,), {}
    if form == "nested":
        return ({"a": values[:1], "b": (values[1:], 7)},), {}
    if form == "keyword":
        return (), {f"k{place}": value for place, value in enumerate(values)}
    return tuple(values), {}


def node_function(index: int, spec: Spec) -> Any:
    def call(*args: Any, **kwargs: Any) -> Any:
        if spec.fails:
            raise ValueError(index)
        return index, args, kwargs

    return call


def build(nodes: list[Spec]) -> tuple[taskloom.Graph, list[taskloom.Node[Any]]]:
    g = taskloom.Graph()
    made: list[taskloom.Node[Any]] = []
    for index, spec in enumerate(nodes):
        args, kwargs = arguments(spec.form, [made[read] for read in spec.reads])
        view = g.options(on_error=spec.on_error, after=[made[other] for other in spec.follows])
        made.append(view.add(node_function(index, spec), *args, **kwargs))
    return g, made


def reference(nodes: list[Spec]) -> list[tuple[str, Any]]:
    """What becomes of each node, by the rules as the documentation words them."""
    found: list[tuple[str, Any]] = []
    for index, spec in enumerate(nodes):
        needs = any(found[read][0] != "done" for read in spec.reads)
        order = any(
            found[other][0] != "done" and nodes[other].on_error != "continue"
            for other in spec.follows
        )
        if needs or order:
            found.append(("skipped", None))
        elif spec.fails:
            found.append(("failed", index))
        else:
            args, kwargs = arguments(spec.form, [found[read][1] for read in spec.reads])
            found.append(("done", (index, args, kwargs)))
    return found


@pytest.fixture(scope="module")
def executors() -> Iterator[dict[int, taskloom.Executor]]:
    made = {workers: taskloom.Executor(workers) for workers in (1, 2, 5)}
    yield made
    for executor in made.values():
        executor.shutdown()


def all_runs(g: taskloom.Graph, executors: dict[int, taskloom.Executor]) -> Iterator[taskloom.Run]:
    plan = g.compile(slots="one_to_one")
    yield executors[1].run(plan, mode="serial", check=False)
    for executor in executors.values():
        yield executor.run(plan, check=False)
        run = executor.start(plan)
        run.wait()
        yield run


@settings(deadline=None, max_examples=60)
@given(nodes=specs(failing=False))
def test_values_are_those_of_a_plain_evaluation(
    executors: dict[int, taskloom.Executor], nodes: list[Spec]
) -> None:
    g, made = build(nodes)
    expected = [value for _, value in reference(nodes)]
    for run in all_runs(g, executors):
        assert [run[node] for node in made] == expected


@settings(deadline=None, max_examples=120)
@given(nodes=specs(failing=True))
def test_failures_skip_what_the_rules_say(
    executors: dict[int, taskloom.Executor], nodes: list[Spec]
) -> None:
    g, made = build(nodes)
    expected = reference(nodes)
    for run in all_runs(g, executors):
        assert [run.why(node).status for node in made] == [status for status, _ in expected]
        errors = {node: str(error) for node, error in run.exceptions().items()}
        failed = {made[place]: str(place) for place, (s, _) in enumerate(expected) if s == "failed"}
        assert errors == failed
        for node, (status, value) in zip(made, expected, strict=True):
            if status == "done":
                assert run[node] == value


@settings(deadline=None, max_examples=60)
@given(nodes=specs(failing=True), keep=st.sets(st.integers(0, 24)))
def test_compact_slots_keep_exactly_what_was_asked_for(
    executors: dict[int, taskloom.Executor], nodes: list[Spec], keep: set[int]
) -> None:
    g, made = build(nodes)
    expected = reference(nodes)
    read = {source for spec in nodes for source in spec.reads}
    plan = g.compile(keep=[made[place] for place in keep if place < len(made)])
    for mode in ("serial", "parallel"):
        run = executors[2].run(plan, mode=mode, check=False)  # type: ignore[arg-type]
        run.exceptions()
        for place, (status, value) in enumerate(expected):
            if status != "done":
                continue
            if place in keep or place not in read:
                assert run[made[place]] == value
            else:
                with pytest.raises(taskloom.errors.ValueFreedError):
                    run[made[place]]
