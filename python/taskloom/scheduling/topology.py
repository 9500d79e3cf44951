"""Which processors there are and how far apart, and what follows for workers.

Read from the tables that Linux keeps under /sys; a machine without them looks like one node of
equal processors. Everything after the reading is pure, so that tests run it on simulated machines.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, final

__all__ = ["Cpu", "Topology", "parse_cpu_list"]

# What the kernel reports as the distance of a node to itself, and to a neighbour by default.
_LOCAL, _REMOTE = 10, 20


def parse_cpu_list(text: str) -> tuple[int, ...]:
    """The processor numbers in the kernel's list notation, in ascending order.

    Raises ValueError when the text is no such list.

    >>> parse_cpu_list("0-3,8,10-11")
    (0, 1, 2, 3, 8, 10, 11)
    """
    numbers: set[int] = set()
    for part in filter(None, text.strip().split(",")):
        first, dash, last = part.partition("-")
        try:
            low, high = int(first), int(last if dash else first)
        except ValueError:
            low, high = 1, 0
        if not 0 <= low <= high:
            raise ValueError(f"{text!r} is no list of processors: expected e.g. '0-3,8'")
        numbers.update(range(low, high + 1))
    return tuple(sorted(numbers))


@final
@dataclass(frozen=True, slots=True)
class Cpu:
    """One logical processor and what it shares with others.

    `index` is its number for the system, `node` its memory node, `core` the lowest number among the
    hardware threads of its core, `cache` the lowest number among those that share its last-level
    cache.

    >>> Cpu(index=1, node=0, core=0, cache=0).core
    0
    """

    index: int
    node: int
    core: int
    cache: int


@final
class Topology:
    """The processors that may be used, and the distances between their memory nodes.

    >>> cpus = [Cpu(i, node=i // 2, core=i, cache=i // 2) for i in range(4)]
    >>> topology = Topology(cpus, {(0, 1): 21, (1, 0): 21})
    >>> topology.place(2, "spread")
    ((0, 1), (2, 3))
    >>> topology.steal_order([(0,), (1,), (2,), (3,)])[0]
    (1, 2, 3)
    """

    __slots__ = ("_distances", "cpus")

    def __init__(
        self, cpus: Iterable[Cpu], distances: dict[tuple[int, int], int] | None = None
    ) -> None:
        self.cpus = tuple(sorted(cpus, key=lambda cpu: cpu.index))
        self._distances = dict(distances or {})
        if not self.cpus:
            raise ValueError("a topology needs at least one processor")

    @classmethod
    def read(
        cls, root: str | os.PathLike[str] = "/sys", *, allowed: Collection[int] | None = None
    ) -> Topology:
        """The topology of this machine.

        `root` is where the kernel's tables are. `allowed` are the processors to look at, by default
        those that the process may run on. Whatever the tables do not tell counts as shared.

        >>> len(Topology.read().cpus) >= 1
        True
        """
        if allowed is None:
            allowed = (
                os.sched_getaffinity(0)
                if hasattr(os, "sched_getaffinity")
                else range(os.cpu_count() or 1)
            )
        devices = Path(root) / "devices" / "system"
        node_of: dict[int, int] = {}
        distances: dict[tuple[int, int], int] = {}
        nodes = sorted(
            (int(path.name[4:]), path)
            for path in (devices / "node").glob("node*")
            if path.name[4:].isdigit()
        )
        for node, path in nodes:
            for index in _read_list(path / "cpulist"):
                node_of[index] = node
            row = _read(path / "distance").split()
            for (other, _), distance in zip(nodes, row, strict=False):
                distances[node, other] = int(distance)
        cpus = []
        for index in sorted(allowed):
            path = devices / "cpu" / f"cpu{index}"
            threads = _read_list(path / "topology" / "thread_siblings_list")
            sharers = _last_level_sharers(path / "cache")
            node = node_of.get(index, 0)
            same_node = [cpu for cpu in allowed if node_of.get(cpu, 0) == node]
            cpus.append(
                Cpu(
                    index,
                    node=node,
                    core=min(threads, default=index),
                    cache=min(sharers or same_node, default=index),
                )
            )
        return cls(cpus, distances)

    @property
    def nodes(self) -> tuple[int, ...]:
        """The memory nodes that have processors, in ascending order."""
        return tuple(sorted({cpu.node for cpu in self.cpus}))

    def distance(self, one: Cpu, other: Cpu) -> int:
        """How far apart two processors are; only the order of distances means anything.

        0 for the same one, then the same core, the same last-level cache, the same node, and from
        10 on the kernel's distance of their nodes.
        """
        if one.index == other.index:
            return 0
        if one.node != other.node:
            return max(self._distances.get((one.node, other.node), _REMOTE), _LOCAL)
        if one.core == other.core:
            return 1
        return 2 if one.cache == other.cache else 3

    def place(
        self, workers: int, how: Literal["spread", "compact"] = "spread"
    ) -> tuple[tuple[int, ...], ...]:
        """The processors that each of a number of workers should run on: all of one memory node.

        "spread" deals the workers out to the nodes in turn, in proportion to their processors, for
        the most memory bandwidth. "compact" fills one node after the other, for the least traffic
        between them. More workers than processors go round again.
        """
        if workers < 1:
            raise ValueError(f"workers must be at least 1, not {workers}")
        by_node = {node: [c.index for c in self.cpus if c.node == node] for node in self.nodes}
        chosen: list[int] = []
        if how == "compact":
            order = [node for node, cpus in by_node.items() for _ in cpus]
            chosen = [order[worker % len(order)] for worker in range(workers)]
        elif how == "spread":
            load = dict.fromkeys(by_node, 0)
            for _ in range(workers):
                node = min(load, key=lambda node: ((load[node] + 1) / len(by_node[node]), node))
                load[node] += 1
                chosen.append(node)
        else:
            raise ValueError(f"workers are placed 'spread' or 'compact', not {how!r}")
        return tuple(tuple(by_node[node]) for node in chosen)

    def one_each(
        self, workers: int, how: Literal["spread", "compact"] = "spread"
    ) -> tuple[int, ...]:
        """One processor for each of a number of workers.

        "spread" takes in turn what shares least with those taken before: another node, another
        cache, another core. "compact" takes what shares most with the last. More workers than
        processors go round again.

        >>> cpus = [Cpu(i, node=i // 4, core=i // 2, cache=i // 4) for i in range(8)]
        >>> Topology(cpus).one_each(4, "spread"), Topology(cpus).one_each(4, "compact")
        ((0, 4, 2, 6), (0, 1, 2, 3))
        """
        if workers < 1:
            raise ValueError(f"workers must be at least 1, not {workers}")
        if how not in ("spread", "compact"):
            raise ValueError(f"workers are placed 'spread' or 'compact', not {how!r}")
        left = list(self.cpus)
        order = [left.pop(0)]
        while left and len(order) < workers:
            if how == "spread":
                following = max(
                    left, key=lambda cpu: (min(self.distance(cpu, o) for o in order), -cpu.index)
                )
            else:
                last = order[-1]
                following = min(left, key=lambda cpu: (self.distance(last, cpu), cpu.index))
            left.remove(following)
            order.append(following)
        return tuple(order[worker % len(order)].index for worker in range(workers))

    def restricted(self, allowed: Collection[int]) -> Topology:
        """The same machine with only these of its processors.

        Raises ValueError if none remains.
        """
        return Topology([cpu for cpu in self.cpus if cpu.index in allowed], self._distances)

    def steal_order(self, placement: Sequence[Collection[int]]) -> tuple[tuple[int, ...], ...]:
        """For each worker the other workers, nearest first: whom to steal from in which order.

        `placement` has the processors of each worker. Among equally near ones the order begins
        behind the worker itself, so that not all of them turn to the same victim first.
        """
        by_index = {cpu.index: cpu for cpu in self.cpus}
        homes = [[by_index[cpu] for cpu in sorted(cpus) if cpu in by_index] for cpus in placement]
        count = len(homes)

        def apart(one: int, other: int) -> int:
            pairs = [self.distance(a, b) for a in homes[one] for b in homes[other]]
            return min(pairs, default=_REMOTE)

        return tuple(
            tuple(
                sorted(
                    (other for other in range(count) if other != worker),
                    key=lambda other: (apart(worker, other), (other - worker) % count),
                )
            )
            for worker in range(count)
        )


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _read_list(path: Path) -> tuple[int, ...]:
    return parse_cpu_list(_read(path))


def _last_level_sharers(caches: Path) -> tuple[int, ...]:
    """The processors that share the cache of the highest level."""
    levels = [
        (int(level), _read_list(path / "shared_cpu_list"))
        for path in caches.glob("index*")
        if (level := _read(path / "level").strip()).isdigit()
    ]
    return max(levels, key=lambda found: found[0], default=(0, ()))[1]
