"""Runs of plans under a seed: every node is a task, in the orders that a real run could take."""

from __future__ import annotations

import pytest
import taskloom
from taskloom import Context, Graph, Resources, Retry, Spawn
from taskloom.errors import GraphError, OptionError, RunFailed
from taskloom.testing import SeededExecutor, explore

SEEDS = range(20)


def test_nodes_that_are_ready_run_in_any_order() -> None:
    seen: set[tuple[int, ...]] = set()

    def programme(executor: SeededExecutor) -> None:
        done: list[int] = []
        graph = Graph()
        for number in range(3):
            graph.add(done.append, number)
        executor.run(graph)
        seen.add(tuple(done))

    explore(programme, seeds=range(100))
    assert len(seen) == 6


def test_a_node_never_runs_before_what_it_reads() -> None:
    def programme(executor: SeededExecutor) -> None:
        done: list[str] = []

        def step(name: str, *_before: object) -> str:
            done.append(name)
            executor.clock.sleep(1)
            return name

        graph = Graph()
        left, right = graph.add(step, "left"), graph.add(step, "right")
        both = graph.add(step, "both", left, right)
        last = graph.add(step, "last", both)
        run = executor.run(graph)
        assert run[last] == "last"
        assert sorted(done[:2]) == ["left", "right"]
        assert done[2:] == ["both", "last"]
        assert executor.clock.now() == 3  # left and right side by side

    assert explore(programme, seeds=range(100)).interleavings >= 2


@pytest.mark.parametrize("seed", SEEDS)
def test_of_the_ready_nodes_the_most_urgent_goes_first(seed: int) -> None:
    done: list[int] = []
    graph = Graph()
    for priority in (0, 2, 1, -1):
        graph.options(priority=priority).add(done.append, priority)
    with SeededExecutor(seed) as executor:
        executor.run(graph)
    assert done == [2, 1, 0, -1]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_critical_path_goes_first(seed: int) -> None:
    done: list[str] = []
    graph = Graph()
    graph.options(estimated_duration=1.0).add(done.append, "short")
    first = graph.options(estimated_duration=5.0).add(done.append, "long")
    graph.options(estimated_duration=5.0, after=[first]).add(done.append, "longer")
    with SeededExecutor(seed) as executor:
        executor.run(graph)
    assert done[0] == "long"


@pytest.mark.parametrize("seed", SEEDS)
def test_in_the_order_of_registration_the_first_goes_first(seed: int) -> None:
    done: list[int] = []
    graph = Graph()
    for number in range(5):
        graph.add(done.append, number)
    with SeededExecutor(seed) as executor:
        executor.run(graph.compile(order="registration"))
    assert done == list(range(5))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_serial_run_goes_through_the_plans_order(seed: int) -> None:
    done: list[int] = []
    graph = Graph()
    for number in range(5):
        graph.add(done.append, number)
    with SeededExecutor(seed) as executor:
        executor.run(graph, mode="serial")
    assert done == list(range(5))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_run_goes_on_beside_tasks_and_other_runs(seed: int) -> None:
    graph = Graph()
    with SeededExecutor(seed) as executor:
        for _ in range(2):
            graph.add(executor.clock.sleep, 3)
        runs = [executor.start(graph) for _ in range(2)]
        task = executor.submit(executor.clock.sleep, 3)
        for run in runs:
            run.result()
        task.result()
        assert executor.clock.now() == 3


@pytest.mark.parametrize("seed", SEEDS)
def test_a_failure_skips_what_depends_on_it(seed: int) -> None:
    graph = Graph()
    bad = graph.options(name="bad").add(int, "x")
    last = graph.add(abs, bad)
    other = graph.add(int, "3")
    with SeededExecutor(seed) as executor:
        run = executor.run(graph, check=False)
        with pytest.raises(RunFailed):
            run.result()
    assert run[other] == 3
    assert run.why(last).status == "skipped"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_cancelled_run_starts_nothing_more(seed: int) -> None:
    graph = Graph()
    with SeededExecutor(seed) as executor:
        first = graph.add(executor.clock.sleep, 10)
        second = graph.options(after=[first]).add(int)
        run = executor.start(graph)
        executor.clock.sleep(5)
        assert run.cancel()
        run.wait()
        assert run.status == run.why(first).status == "cancelled"
        assert run.why(second).first == "cancelled"
        assert executor.clock.now() == 5  # what was running was asked to stop


@pytest.mark.parametrize("seed", SEEDS)
def test_the_timeout_of_a_run_is_virtual(seed: int) -> None:
    graph = Graph()
    with SeededExecutor(seed) as executor:
        first = graph.add(executor.clock.sleep, 10)
        graph.options(after=[first]).add(executor.clock.sleep, 10)
        with pytest.raises(TimeoutError, match="longer than its timeout of 5 s"):
            executor.options(timeout=5).run(graph)
        assert executor.clock.now() == 5  # what was running was asked to stop


@pytest.mark.parametrize("seed", SEEDS)
def test_waiting_for_a_run_times_out_on_the_clock(seed: int) -> None:
    graph = Graph()
    with SeededExecutor(seed) as executor:
        graph.add(executor.clock.sleep, 10)
        run = executor.start(graph)
        assert run.wait(4) is False
        assert executor.clock.now() == 4
        assert run.wait() is True


@pytest.mark.parametrize("seed", SEEDS)
def test_nodes_keep_to_their_own_options(seed: int) -> None:
    tries: list[float] = []
    graph = Graph()
    with SeededExecutor(seed, resources={"gpu": 1}) as executor:
        clock = executor.clock

        def flaky() -> None:
            tries.append(clock.now())
            if len(tries) < 2:
                raise OSError

        graph.options(retry=Retry(2, delay=100)).add(flaky)
        for _ in range(2):
            graph.options(resources=Resources(gpu=1)).add(clock.sleep, 30)
        late = graph.options(timeout=5).add(clock.sleep, 1000)
        run = executor.run(graph, check=False)
        assert isinstance(run.exceptions()[late], TimeoutError)
        assert tries == [0, 100]
        assert clock.now() == 100


@pytest.mark.parametrize("seed", SEEDS)
def test_a_window_lets_so_many_nodes_run_at_once(seed: int) -> None:
    inside = most = 0
    graph = Graph()
    with SeededExecutor(seed) as executor:

        def work() -> None:
            nonlocal inside, most
            inside += 1
            most = max(most, inside)
            executor.clock.sleep(1)
            inside -= 1

        view = graph.options(max_concurrency=2)
        for _ in range(6):
            view.add(work)
        executor.run(graph)
        assert executor.clock.now() == 3
    assert most == 2


@pytest.mark.parametrize("seed", SEEDS)
def test_a_node_may_spawn_a_graph(seed: int) -> None:
    with SeededExecutor(seed) as executor:

        def grow(number: int) -> Spawn:
            inner = Graph()
            slept = inner.add(executor.clock.sleep, 1)
            return Spawn(inner, inner.options(after=[slept]).add(int, str(number)))

        graph = Graph()
        total = graph.add(sum, [graph.add(grow, 1), graph.add(grow, 2)])
        assert executor.run(graph)[total] == 3
        assert executor.clock.now() == 1


@pytest.mark.parametrize("seed", SEEDS)
def test_branches_take_one_case(seed: int) -> None:
    graph = Graph()
    even = graph.add(lambda: True)
    value = graph.branch(even, {True: lambda g: g.add(int, "2"), False: lambda g: g.add(int, "x")})
    with SeededExecutor(seed) as executor:
        assert executor.run(graph)[value] == 2


@pytest.mark.parametrize("seed", SEEDS)
def test_nodes_read_and_write_the_context(seed: int) -> None:
    graph = Graph()
    box = graph.resource("box")
    for number in range(3):
        graph.add(lambda box, number: box.append(number), taskloom.write(box), number)
    with SeededExecutor(seed) as executor:
        found: list[int] = []
        executor.run(graph, context=Context(box=found))
    assert found == [0, 1, 2]


@pytest.mark.parametrize("mode", ["parallel", "serial"])
def test_coroutine_nodes_sleep_on_the_clock(mode: str) -> None:
    async def doubled(number: int) -> int:
        await taskloom.sleep(3600)
        return 2 * number

    graph = Graph()
    total = graph.add(sum, [graph.add(doubled, 1), graph.add(doubled, 2)])
    with SeededExecutor(1) as executor:
        assert executor.run(graph, mode=mode)[total] == 6  # type: ignore[arg-type]
        assert executor.clock.now() == {"parallel": 3600, "serial": 7200}[mode]


@pytest.mark.parametrize("seed", SEEDS)
def test_coroutine_nodes_keep_to_their_own_options(seed: int) -> None:
    tries: list[float] = []

    async def flaky() -> None:
        tries.append(taskloom.current_time())
        if len(tries) < 2:
            raise OSError

    async def use() -> None:
        await taskloom.sleep(30)

    graph = Graph()
    graph.options(retry=Retry(2, delay=100)).add(flaky)
    for _ in range(2):
        graph.options(resources=Resources(gpu=1)).add(use)
    late = graph.options(timeout=5).add(taskloom.sleep_forever)
    with SeededExecutor(seed, resources={"gpu": 1}) as executor:
        run = executor.run(graph, check=False)
        assert isinstance(run.exceptions()[late], TimeoutError)
        assert executor.clock.now() == 100
    assert tries[1] - tries[0] == 100


def test_a_node_that_belongs_elsewhere_is_refused() -> None:
    graph = Graph()
    graph.options(place="process").add(int)
    with pytest.raises(OptionError, match="cannot obey place='process'"):
        SeededExecutor(1).run(graph)


def test_a_plan_of_a_graph_that_has_grown_is_refused() -> None:
    graph = Graph()
    graph.add(int)
    plan = graph.compile()
    graph.add(int)
    with pytest.raises(GraphError, match="has grown"):
        SeededExecutor(1).run(plan)


def test_a_race_between_nodes_is_found_and_its_seed_repeats_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def programme(executor: SeededExecutor) -> None:
        total = 0

        def add() -> None:
            nonlocal total
            seen = total
            executor.clock.sleep(0)
            total = seen + 1

        graph = Graph()
        for _ in range(2):
            graph.add(add)
        executor.run(graph)
        assert total == 2

    with pytest.raises(AssertionError):
        explore(programme)
    seed = int(capsys.readouterr().err.split("seed ")[1].split()[0])
    with pytest.raises(AssertionError):
        explore(programme, seeds=[seed])
