from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from taskloom.scheduling.topology import Cpu, Topology, parse_cpu_list

MakeMachine = Callable[..., Path]


@pytest.fixture
def machine(tmp_path: Path) -> MakeMachine:
    """Writes the kernel's tables for a machine: nodes of caches of cores of hardware threads.

    Numbered as Linux does: first one thread of every core, then the second ones.
    """

    def write(*, nodes: int = 2, caches: int = 1, cores: int = 4, threads: int = 2) -> Path:
        root = tmp_path / "sys"
        cores_total = nodes * caches * cores
        per_node = caches * cores

        def put(path: Path, text: str) -> None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text + "\n")

        def numbers(first: int, count: int) -> str:
            spans = [
                f"{thread * cores_total + first}-{thread * cores_total + first + count - 1}"
                for thread in range(threads)
            ]
            return ",".join(spans)

        for node in range(nodes):
            base = root / f"devices/system/node/node{node}"
            put(base / "cpulist", numbers(node * per_node, per_node))
            row = [10 if node == other else 20 + abs(node - other) for other in range(nodes)]
            put(base / "distance", " ".join(map(str, row)))
        for core in range(cores_total):
            for thread in range(threads):
                base = root / f"devices/system/cpu/cpu{core + thread * cores_total}"
                put(base / "topology/thread_siblings_list", numbers(core, 1))
                for level, first, count in (
                    (1, core, 1),
                    (3, core // cores * cores, cores),
                ):
                    put(base / f"cache/index{level}/level", str(level))
                    put(base / f"cache/index{level}/shared_cpu_list", numbers(first, count))
        return root

    return write


def test_tables_of_a_two_socket_machine_are_read(machine: MakeMachine) -> None:
    topology = Topology.read(machine(nodes=2, cores=4, threads=2), allowed=range(16))
    assert topology.nodes == (0, 1)
    by_index = {cpu.index: cpu for cpu in topology.cpus}
    assert by_index[5] == Cpu(5, node=1, core=5, cache=4)
    assert by_index[13] == Cpu(13, node=1, core=5, cache=4)


def test_processors_outside_the_allowed_set_do_not_exist(machine: MakeMachine) -> None:
    topology = Topology.read(machine(), allowed={1, 6})
    assert [cpu.index for cpu in topology.cpus] == [1, 6]


def test_a_machine_without_tables_is_one_node_of_equal_processors(tmp_path: Path) -> None:
    topology = Topology.read(tmp_path, allowed=range(4))
    assert topology.nodes == (0,)
    assert {topology.distance(topology.cpus[0], other) for other in topology.cpus[1:]} == {2}


def test_distance_grows_from_thread_to_cache_to_node(machine: MakeMachine) -> None:
    topology = Topology.read(machine(nodes=3, caches=2, cores=2, threads=2), allowed=range(24))
    cpus = {cpu.index: cpu for cpu in topology.cpus}
    # The same one, its thread sibling, its cache, its node, the next node, the one after that.
    distances = [topology.distance(cpus[0], cpus[other]) for other in (0, 12, 1, 2, 4, 8)]
    assert distances == sorted(distances)
    assert len(set(distances)) == 6


def test_spread_workers_alternate_between_nodes(machine: MakeMachine) -> None:
    topology = Topology.read(machine(nodes=2, cores=2, threads=1), allowed=range(4))
    assert topology.place(5, "spread") == ((0, 1), (2, 3), (0, 1), (2, 3), (0, 1))


def test_spread_follows_the_size_of_unequal_nodes(machine: MakeMachine) -> None:
    topology = Topology.read(machine(nodes=2, cores=3, threads=1), allowed={0, 1, 2, 3})
    placed = topology.place(4, "spread")
    assert sorted(placed) == [(0, 1, 2), (0, 1, 2), (0, 1, 2), (3,)]


def test_compact_workers_fill_a_node_before_the_next(machine: MakeMachine) -> None:
    topology = Topology.read(machine(nodes=2, cores=2, threads=1), allowed=range(4))
    assert topology.place(5, "compact") == ((0, 1), (0, 1), (2, 3), (2, 3), (0, 1))


def test_workers_steal_from_their_own_node_first(machine: MakeMachine) -> None:
    topology = Topology.read(machine(nodes=3, cores=2, threads=1), allowed=range(6))
    order = topology.steal_order(topology.place(6, "compact"))
    assert order[0] == (1, 2, 3, 4, 5)
    assert order[5] == (4, 2, 3, 0, 1)


def test_equally_near_workers_do_not_all_turn_to_the_same_victim(machine: MakeMachine) -> None:
    topology = Topology.read(machine(nodes=1, cores=4, threads=1), allowed=range(4))
    order = topology.steal_order([(cpu,) for cpu in range(4)])
    assert [victims[0] for victims in order] == [1, 2, 3, 0]


@pytest.mark.parametrize("text", ["3-1", "a", "1,-2", "1-"])
def test_what_is_no_list_of_processors_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no list of processors"):
        parse_cpu_list(text)


def test_no_workers_cannot_be_placed() -> None:
    with pytest.raises(ValueError, match="at least 1, not 0"):
        Topology([Cpu(0, 0, 0, 0)]).place(0)
