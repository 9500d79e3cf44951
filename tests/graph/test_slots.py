"""Which slot each value of a plan lies in: values that never live at once share one."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import taskloom
from taskloom import forward, take, write
from taskloom.errors import ValueFreedError

Mode = Any
MODES = ["serial", "parallel"]


def chain(nodes: int) -> tuple[taskloom.Graph, list[taskloom.Node[Any]]]:
    g = taskloom.Graph()
    made = [g.add(int)]
    for _ in range(nodes - 1):
        made.append(g.add((1).__add__, made[-1]))
    return g, made


def reduction(leaves: int) -> taskloom.Graph:
    g = taskloom.Graph()
    level: list[Any] = [g.add(int, str(leaf)) for leaf in range(leaves)]
    while len(level) > 1:
        level = [g.add(max, *level[at : at + 2]) for at in range(0, len(level), 2)]
    return g


def slots(plan: taskloom.Plan) -> tuple[int, int]:
    """How many slots serial and parallel runs have."""
    return plan._slots(True)[1], plan._slots(False)[1]


def test_a_chain_lies_in_one_slot() -> None:
    assert slots(chain(1000)[0].compile()) == (1, 1)


@pytest.mark.parametrize("leaves", [4, 64, 1024])
def test_slots_of_a_serial_reduction_grow_with_the_logarithm_of_its_leaves(leaves: int) -> None:
    assert slots(reduction(leaves).compile()) == (leaves.bit_length(), leaves)


def test_with_one_to_one_each_node_has_a_slot_of_its_own() -> None:
    g, made = chain(10)
    g.add(str, take(made[-1]))
    plan = g.compile(slots="one_to_one")
    assert slots(plan) == (11, 11)
    assert len(set(plan._slots(True)[0])) == 11


@pytest.mark.parametrize("mode", MODES)
def test_a_value_whose_slot_was_taken_over_is_reported_as_freed(mode: Mode) -> None:
    g, made = chain(3)
    run = taskloom.run(g, mode=mode)
    assert run[made[2]] == 2
    for node in made[:2]:
        with pytest.raises(ValueFreedError):
            run[node]


@pytest.mark.parametrize("mode", MODES)
def test_a_kept_value_is_not_overwritten_by_its_only_reader(mode: Mode) -> None:
    g, made = chain(4)
    run = taskloom.run(g.compile(keep=[made[1]]), mode=mode)
    assert (run[made[1]], run[made[3]]) == (1, 3)


@pytest.mark.parametrize("mode", MODES)
def test_a_node_that_failed_leaves_nothing_in_the_slot_it_took_over(mode: Mode) -> None:
    g = taskloom.Graph()
    text = g.add(str, "x")
    number = g.add(int, text)
    after = g.add(abs, number)
    run = taskloom.run(g.compile(keep=[number]), mode=mode, check=False)
    with pytest.raises(ValueError, match="invalid literal"):
        run[number]
    assert run.why(after).chain == (after, number)


@pytest.mark.parametrize("mode", MODES)
def test_a_submitted_node_may_have_the_slot_of_its_argument(mode: Mode) -> None:
    g = taskloom.Graph()
    node = g.add(int)
    for _ in range(50):
        node = g.options(timeout=60.0).add((1).__add__, node)
    plan = g.compile()
    assert slots(plan) == (1, 1)
    with taskloom.Executor(2) as executor:
        assert executor.run(plan, mode=mode)[node] == 50


@pytest.mark.parametrize("mode", MODES)
def test_a_node_that_spawns_may_have_the_slot_of_its_argument(mode: Mode) -> None:
    def grow(number: int) -> Any:
        inner = taskloom.Graph()
        return taskloom.Spawn(inner, inner.add((1).__add__, inner.add(abs, number)))

    g = taskloom.Graph()
    node = g.add(int)
    for _ in range(10):
        node = g.add(grow, node)
    assert taskloom.run(g, mode=mode)[node] == 10


@pytest.mark.parametrize("mode", MODES)
def test_an_object_that_is_forwarded_and_taken_stays_in_one_slot(mode: Mode) -> None:
    g = taskloom.Graph()
    numbers: Any = g.add(list, (3, 1, 2))
    for _ in range(3):
        numbers = g.add(list.reverse, forward(numbers))
    g.add(list.sort, write(numbers))
    text = g.add(str, take(numbers))
    plan = g.compile()
    assert slots(plan)[0] == 2
    assert [taskloom.run(plan, mode=mode)[text] for _ in range(3)] == ["[1, 2, 3]"] * 3


@pytest.mark.parametrize("mode", MODES)
def test_a_join_finds_nothing_in_the_slot_of_a_case_that_was_skipped(mode: Mode) -> None:
    g = taskloom.Graph()
    number = g.add(int, "5")
    sign = g.add((0).__lt__, number)
    chosen = g.branch(
        sign, {True: lambda g: g.add(str, "more"), False: lambda g: g.add(str, "less")}
    )
    run = taskloom.run(g, mode=mode)
    assert run[chosen] == "more"
    skipped = next(node for node in g.nodes if node.args == ("less",))
    assert run.why(skipped).status == "skipped"


@pytest.mark.parametrize("mode", MODES)
def test_a_skipped_join_names_the_case_that_failed(mode: Mode) -> None:
    g = taskloom.Graph()
    for _ in range(5):
        g.add(str)
    bad: list[taskloom.Node[Any]] = []

    def fails(g: taskloom.Graph) -> taskloom.Node[Any]:
        bad.append(g.add(int, "x"))
        return bad[0]

    chosen = g.branch(g.add(bool, 1), {False: 0, True: fails})
    run = taskloom.run(g, mode=mode, check=False)
    assert run.why(chosen).chain == (chosen, bad[0])


def test_a_dump_tells_slots_apart_where_serial_and_parallel_runs_differ() -> None:
    g = taskloom.Graph()
    first = g.add(int)
    g.add(pow, g.add(abs, first), g.add(abs, first))
    lines = g.compile().dump().splitlines()
    assert lines[0].endswith("values in 2 slots of a serial run or 3 of a parallel one")
    assert [line.split("slot ")[1].split()[0] for line in lines[1:]] == ["0", "1", "0/2", "0/1"]


def test_a_worker_may_wait_for_a_run_that_another_one_takes_in_order() -> None:
    calls: list[int] = []
    inner = taskloom.Graph()
    for number in range(200):
        inner.add(calls.append, number)
    plan = inner.compile()
    with taskloom.Executor(2) as executor:

        def wait() -> bool:
            return executor.start(plan, mode="serial").wait()

        assert executor.submit(wait).result()
    assert calls == list(range(200))


def _random_graph(
    seed: int,
) -> tuple[taskloom.Graph, list[taskloom.Node[Any]], list[taskloom.Node[Any]]]:
    """A graph of all that may become of a value, and some of its nodes to keep."""
    choose = random.Random(seed)
    g = taskloom.Graph()
    nodes: list[taskloom.Node[Any]] = []

    def combine(number: int, fails: bool) -> Callable[..., tuple[Any, ...]]:
        def combined(*args: Any) -> tuple[Any, ...]:
            if fails:
                raise ArithmeticError(number)
            return (number, hash(repr(args)))

        return combined

    def spawned(*args: Any) -> Any:
        inner = taskloom.Graph()
        return taskloom.Spawn(inner, inner.add(combine(-1, False), inner.add(list, args)))

    for number in range(choose.randint(5, 40)):
        sources = choose.sample(nodes[-8:], min(len(nodes), choose.randint(0, 3)))
        shape = choose.random()
        function: Callable[..., Any] = combine(number, choose.random() < 0.05)
        view: Any = g.options(priority=choose.randint(-1, 1))
        if shape < 0.1:
            view = g.options(timeout=60.0)
        elif shape < 0.2:
            function = spawned
        elif shape < 0.3 and sources:

            def case(
                g: taskloom.Graph, made: Any = function, source: Any = sources[-1]
            ) -> taskloom.Node[Any]:
                return g.add(made, source)

            selector = g.add(bool, sources[0])
            nodes.append(g.branch(selector, {True: case, False: lambda g: g.add(list)}))
            continue
        args: list[Any] = [sources] if choose.random() < 0.3 else list(sources)
        node = view.add(function, *args)
        for other in nodes[-3:]:
            if other not in sources and choose.random() < 0.1:
                node.after(other)
        nodes.append(node)
    return g, nodes, choose.sample(nodes, len(nodes) // 4)


def _ends(run: taskloom.Run, nodes: list[taskloom.Node[Any]]) -> list[str]:
    def end(node: taskloom.Node[Any]) -> str:
        try:
            return repr(run[node])
        except ValueFreedError:
            return "freed"
        except BaseException as error:
            return f"{type(error).__name__} of {run.why(node).status}"

    return [end(node) for node in nodes]


@pytest.mark.parametrize("seed", range(60))
def test_random_graphs_give_the_values_that_slots_of_their_own_give(seed: int) -> None:
    g, nodes, keep = _random_graph(seed)
    expected = _ends(taskloom.run(g.compile(slots="one_to_one"), mode="serial", check=False), nodes)
    plan = g.compile(keep=keep)
    kept = set(plan._kept)
    assert {node.index for node in keep} <= kept
    with taskloom.Executor(3) as executor:
        for mode in MODES * 2:
            run = executor.run(plan, mode=mode, check=False)  # type: ignore[arg-type]
            for node, wanted, found in zip(nodes, expected, _ends(run, nodes), strict=True):
                if node.index in kept or not wanted.startswith(("(", "1")):
                    assert found == wanted
                else:
                    assert found == "freed"
