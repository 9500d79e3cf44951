"""Plans that know how long their nodes took."""

from __future__ import annotations

import pickle
import threading
from typing import Any

import pytest
import taskloom
from taskloom.errors import GraphError, OptionError


def four() -> tuple[taskloom.Graph, list[taskloom.Node[Any]]]:
    g = taskloom.Graph()
    return g, [g.options(name=name).add(int) for name in "abcd"]


def priorities(plan: taskloom.Plan) -> list[float]:
    return [round(priority, 6) for priority in plan._priorities]


def test_measured_durations_are_weights_of_paths() -> None:
    g, (a, b, c, d) = four()
    plan = g.compile().calibrated({a: 0.5, b: 1.5, c: 2.0, d: 4.0})
    assert priorities(plan) == [0.25, 0.75, 1.0, 2.0]
    assert plan._preference == "critical_path"


def test_the_start_of_the_longest_path_by_what_was_measured_goes_first() -> None:
    ran: list[str] = []
    g = taskloom.Graph()
    g.options(name="last").add(lambda _: None, g.options(name="first").add(ran.append, "path"))
    g.options(name="long").add(ran.append, "long")
    plan = g.compile()
    with taskloom.Executor(1) as executor:
        over = threading.Event()
        executor.submit(over.wait)  # Keeps the only worker.
        executor.run(plan)
        executor.run(plan.calibrated({"first": 1.0, "last": 1.0, "long": 9.0}))
        over.set()
    assert ran == ["path", "long", "long", "path"]


def test_what_was_declared_stays() -> None:
    g = taskloom.Graph()
    a = g.options(estimated_duration=3.0).add(int)
    b = g.add(int)
    plan = g.compile().calibrated({a: 100.0, b: 1.0})
    assert priorities(plan) == [1.5, 0.5]


def test_of_several_measurements_the_mean_counts() -> None:
    g, (a, b, *_) = four()
    plan = g.compile().calibrated({a: 1.0, b: 2.0}, {a: 3.0})
    assert plan._facts.settings.measured == ((0, 2.0), (1, 2.0))


def test_a_node_that_is_not_told_of_keeps_what_the_plan_knew() -> None:
    g, (a, b, *_) = four()
    plan = g.compile().calibrated({a: 1.0, b: 2.0}).calibrated({"b": 5.0})
    assert plan._facts.settings.measured == ((0, 1.0), (1, 5.0))


def test_the_plan_that_was_calibrated_stays_as_it_was() -> None:
    g, (a, *_) = four()
    plan = g.compile()
    plan.calibrated({a: 1.0})
    assert plan._preference == "depth_first"


def test_the_new_plan_is_compiled_as_the_old_one() -> None:
    g = taskloom.Graph()
    first = g.add(int, "2")
    last = g.add(abs, first)
    plan = g.compile(keep=[first], order="registration").calibrated({last: 1.0})
    assert taskloom.run(plan)[first] == 2
    assert plan._preference == "registration"
    every = g.compile(slots="one_to_one").calibrated({last: 1.0})
    assert taskloom.run(every)[first] == 2


def test_a_calibrated_plan_comes_back_from_a_pickle() -> None:
    g, (a, b, *_) = four()
    plan = g.compile().calibrated({a: 1.0, b: 2.0})
    assert pickle.loads(pickle.dumps(plan)).dump() == plan.dump()


def test_a_run_tells_how_long_its_nodes_took() -> None:
    g = taskloom.Graph()
    short_is_over = threading.Event()
    # The long one begins before the short one and ends after it, whatever the clock says.
    long_has_begun = threading.Event()

    def long() -> None:
        long_has_begun.set()
        short_is_over.wait()

    def short() -> None:
        return None

    def begin_short() -> None:
        long_has_begun.wait()

    def end_short(_: object) -> None:
        short_is_over.set()

    longer = g.add(long)
    shorter = g.add(short).after(g.add(begin_short))
    g.add(end_short, shorter)
    plan = g.compile()
    with taskloom.Executor(2) as executor:
        run = executor.run(plan, trace=True)
    seconds = dict(plan.calibrated(run)._facts.settings.measured)
    assert set(seconds) == {0, 1, 2, 3}
    assert seconds[longer.index] > seconds[shorter.index] > 0


def test_only_nodes_that_were_done_are_measured() -> None:
    g = taskloom.Graph()
    g.add(int, "1")
    g.add(abs, g.add(int, "x"))
    plan = g.compile()
    run = taskloom.run(plan, trace=True, check=False)
    assert [index for index, _ in plan.calibrated(run)._facts.settings.measured] == [0]
    assert run.exceptions()


def test_a_run_that_was_not_traced_is_refused() -> None:
    g, _ = four()
    plan = g.compile()
    with pytest.raises(OptionError, match="trace=True"):
        plan.calibrated(taskloom.run(plan))


def test_a_run_of_another_graph_is_refused() -> None:
    plan, other = four()[0].compile(), four()[0].compile()
    with pytest.raises(GraphError, match="another graph"):
        plan.calibrated(taskloom.run(other, trace=True))


def test_a_node_of_another_graph_is_refused() -> None:
    with pytest.raises(GraphError, match="neither a node of this plan"):
        four()[0].compile().calibrated({four()[1][0]: 1.0})


def test_a_graph_that_has_grown_is_refused() -> None:
    g, (a, *_) = four()
    plan = g.compile()
    g.add(int)
    with pytest.raises(GraphError, match="has grown"):
        plan.calibrated({a: 1.0})


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_what_is_no_duration_is_refused(seconds: float) -> None:
    g, (a, *_) = four()
    with pytest.raises(ValueError, match="no duration"):
        g.compile().calibrated({a: seconds})


def test_something_else_is_refused() -> None:
    with pytest.raises(TypeError, match="mappings from nodes to seconds"):
        four()[0].compile().calibrated(3)  # type: ignore[arg-type]
