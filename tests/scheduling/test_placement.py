from __future__ import annotations

import pytest
from taskloom import Executor
from taskloom.scheduling.affinity import Realtime
from taskloom.scheduling.config import ExecutorConfig
from taskloom.scheduling.placement import Placement
from taskloom.scheduling.topology import Cpu, Topology

# Two nodes of four processors, two hardware threads a core.
MACHINE = Topology(
    [Cpu(i, node=i // 4, core=i - i % 2, cache=i // 4 * 4) for i in range(8)],
    {(0, 1): 21, (1, 0): 21},
)


def placed(**settings: object) -> Placement:
    return Placement.of(ExecutorConfig.of(settings), MACHINE)


def test_without_any_wish_workers_run_anywhere() -> None:
    placement = placed(max_workers=2)
    assert placement == Placement()
    assert placement.preparation() is None


def test_numbers_let_every_worker_run_on_all_of_them() -> None:
    placement = placed(max_workers=2, cpu_affinity=(1, 3))
    assert placement.cpus == ((1, 3), (1, 3))
    assert placement.nearest == ()


def test_a_processor_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(ValueError, match=r"has no processor 8, 9; it has 0-7"):
        placed(max_workers=2, cpu_affinity=(1, 8, 9))


def test_an_executor_refuses_a_processor_that_this_machine_does_not_have() -> None:
    with pytest.raises(ValueError, match=r"cpu_affinity=\(0, 99999\).*no processor 99999"):
        Executor(1, cpu_affinity=[0, 99999])


def test_spread_takes_processors_that_share_nothing_first() -> None:
    assert placed(max_workers=4, cpu_affinity="spread").cpus == ((0,), (4,), (2,), (6,))


def test_compact_takes_neighbours_first() -> None:
    assert placed(max_workers=4, cpu_affinity="compact").cpus == ((0,), (1,), (2,), (3,))


def test_workers_of_a_node_steal_from_each_other_first() -> None:
    placement = placed(max_workers=4, numa="spread")
    assert placement.cpus == ((0, 1, 2, 3), (4, 5, 6, 7)) * 2
    assert placement.nearest == ((2, 1, 3), (3, 2, 0), (0, 3, 1), (1, 0, 2))


def test_a_worker_steals_from_its_own_core_before_its_cache_before_another_node() -> None:
    placement = placed(max_workers=5, cpu_affinity="compact")
    assert placement.cpus == ((0,), (1,), (2,), (3,), (4,))
    assert placement.nearest[0] == (1, 2, 3, 4)
    assert placement.nearest[3] == (2, 0, 1, 4)


def test_memory_nodes_are_filled_within_the_processors_named() -> None:
    assert placed(max_workers=3, numa="compact", cpu_affinity=(3, 4)).cpus == ((3,), (4,), (3,))


def test_one_processor_each_leaves_nothing_to_the_memory_nodes() -> None:
    with pytest.raises(ValueError, match="name one of the two"):
        ExecutorConfig(cpu_affinity="spread", numa="spread")


def test_a_spare_goes_where_a_worker_is(monkeypatch: pytest.MonkeyPatch) -> None:
    pinned: list[tuple[int, ...]] = []
    monkeypatch.setattr("taskloom.scheduling.placement.pin_thread", pinned.append)
    prepare = placed(max_workers=2, cpu_affinity="compact").preparation()
    assert prepare is not None
    for index in range(4):
        prepare(index)
    assert pinned == [(0,), (1,), (0,), (1,)]


def test_the_real_time_class_is_taken_by_each_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    applied: list[Realtime] = []

    def note(self: Realtime) -> None:
        applied.append(self)

    monkeypatch.setattr(Realtime, "apply", note)
    prepare = placed(max_workers=2, realtime="rr:7").preparation()
    assert prepare is not None
    prepare(0)
    prepare(1)
    assert applied == [Realtime("rr", 7)] * 2
