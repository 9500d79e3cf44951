"""Where the workers of an executor run and from whom they steal, as its config asks.

On a machine of several memory nodes a worker that stays on its node finds its data near, and one
that steals from its nearest neighbours moves what they have in their caches the shortest way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, final

from taskloom.scheduling.affinity import Realtime, pin_thread
from taskloom.scheduling.config import ExecutorConfig
from taskloom.scheduling.cpus import present_cpus
from taskloom.scheduling.topology import Topology

__all__ = ["Placement"]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """What each worker asks of the system when it starts.

    `cpus` has the processors of each regular worker, or is empty where they may run on any;
    `nearest` has for each the others, nearest first, or is empty where there is no difference.

    >>> from taskloom.scheduling.topology import Cpu
    >>> machine = Topology([Cpu(i, node=i // 2, core=i, cache=i // 2) for i in range(4)])
    >>> placement = Placement.of(ExecutorConfig(max_workers=2, numa="spread"), machine)
    >>> placement.cpus, placement.nearest
    (((0, 1), (2, 3)), ((1,), (0,)))
    """

    cpus: tuple[tuple[int, ...], ...] = ()
    nearest: tuple[tuple[int, ...], ...] = ()
    realtime: Realtime | None = None

    @classmethod
    def of(cls, config: ExecutorConfig, topology: Topology | None = None) -> Placement:
        """The placement that a config asks for, by default on this machine.

        Raises `ValueError` for the number of a processor that the machine does not have.
        """
        workers, wanted = config.worker_count(), config.cpu_affinity
        cpus: tuple[tuple[int, ...], ...] = ()
        nearest: tuple[tuple[int, ...], ...] = ()
        numbers = wanted if isinstance(wanted, tuple) else None
        if numbers is not None:
            _refuse_missing(
                numbers,
                present_cpus() if topology is None else [cpu.index for cpu in topology.cpus],
            )
        if config.numa != "none" or isinstance(wanted, str):
            if topology is None:
                topology = Topology.read(allowed=numbers)
            elif numbers is not None:
                topology = topology.restricted(numbers)
            how: Literal["spread", "compact"]
            if config.numa != "none":
                how = config.numa
                cpus = topology.place(workers, how)
            else:
                how = "compact" if wanted == "compact" else "spread"
                cpus = tuple((cpu,) for cpu in topology.one_each(workers, how))
            nearest = topology.steal_order(cpus)
        elif numbers is not None:
            cpus = (numbers,) * workers
        return cls(cpus=cpus, nearest=nearest, realtime=config.realtime)

    def preparation(self) -> Callable[[int], object] | None:
        """What each worker's thread calls with its number when it starts; None for nothing.

        A spare goes where the worker is that it may stand in for, one after the other.
        """
        if not self.cpus and self.realtime is None:
            return None

        def prepare(index: int) -> None:
            if self.cpus:
                pin_thread(self.cpus[index % len(self.cpus)])
            if self.realtime is not None:
                self.realtime.apply()

        return prepare


def _refuse_missing(wanted: Sequence[int], there: Sequence[int]) -> None:
    missing = sorted(set(wanted).difference(there))
    if missing:
        # 0-63 rather than every number, where there are no holes.
        unbroken = len(there) > 2 and there[-1] - there[0] == len(there) - 1
        known = f"{there[0]}-{there[-1]}" if unbroken else ", ".join(map(str, there))
        raise ValueError(
            f"cpu_affinity={wanted}: this machine has no processor "
            f"{', '.join(map(str, missing))}; it has {known}"
        )
