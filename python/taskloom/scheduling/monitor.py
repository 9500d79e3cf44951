"""What the machine is doing: processors, memory, input and output, and the pressure on them.

On Linux the figures come from /proc and from the control groups: some fifteen small reads, about
0.25 ms a sample, which at two samples a second is 0.05 % of a core. Elsewhere psutil is asked where
it is installed (extra `monitor`); without it only the process's own processor time is known.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, final

from taskloom.scheduling.container import ControlGroup
from taskloom.scheduling.cpus import usable_cpus

__all__ = ["ResourceMonitor", "ResourceSample"]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceSample:
    """What was measured over one interval. Whatever could not be measured is None.

    Shares are of 1; processor use is in processors, so 1.5 is one and a half of them kept busy.

    >>> sample = ResourceMonitor().sample()
    >>> 0 < sample.cpus <= 4096
    True
    """

    time: float
    """When, in seconds of the monitor's clock."""
    interval: float
    """Seconds since the sample before, over which the rates are taken."""
    cpus: float
    """Processors that the process may use: affinity and the container's quota counted in."""
    process_cpu: float
    """Processors that this process kept busy."""
    container_cpu: float | None = None
    """Processors that the container kept busy."""
    system_cpu: float | None = None
    """Share of all the machine's processors that was busy."""
    io_wait: float | None = None
    """Share of the processors' time that was idle while input or output was under way."""
    memory_limit: int | None = None
    """Bytes that may be used: the container's limit, or what the machine has."""
    memory_used: int | None = None
    """Bytes of that in use; file pages that could go at once do not count."""
    process_memory: int | None = None
    """Bytes that this process holds in memory."""
    cpu_pressure: float | None = None
    """Share of the time in which something waited for a processor."""
    memory_pressure: float | None = None
    """Share of the time in which something waited for memory."""
    io_pressure: float | None = None
    """Share of the time in which something waited for input or output."""

    @property
    def memory_share(self) -> float | None:
        """Memory in use as a share of the limit."""
        if not self.memory_limit or self.memory_used is None:
            return None
        return self.memory_used / self.memory_limit


@dataclass(slots=True)
class _Totals:
    """What only grows; rates are the differences of two readings."""

    time: float
    process: float
    container: float | None
    busy: float | None = None
    waiting: float | None = None
    ticks: float | None = None
    stalled: tuple[float | None, float | None, float | None] = (None, None, None)


@final
class ResourceMonitor:
    """Measures the machine, the container and the process.

    `root` is the root of the file system and `clock` gives seconds; tests put others there. The
    rates of a sample are taken over the time since the one before, those of the first since the
    monitor was made. For one thread at a time.

    >>> monitor = ResourceMonitor()
    >>> monitor.sample().process_cpu >= 0
    True
    """

    __slots__ = ("_before", "_clock", "_cpu_clock", "_group", "_proc", "_root")

    def __init__(
        self,
        *,
        root: str | os.PathLike[str] = "/",
        clock: Callable[[], float] = time.monotonic,
        cpu_clock: Callable[[], float] = time.process_time,
    ) -> None:
        self._root = Path(root)
        self._proc = self._root / "proc"
        self._clock = clock
        self._cpu_clock = cpu_clock
        self._group = ControlGroup(self._root)
        self._before = self._totals()

    def sample(self) -> ResourceSample:
        """Measures now; the rates are over the time since the call before."""
        before, now = self._before, self._totals()
        self._before = now
        interval = now.time - before.time
        limit, used = self._memory()
        stalls = (
            _rate(new, old, interval) for new, old in zip(now.stalled, before.stalled, strict=True)
        )
        cpu_pressure, memory_pressure, io_pressure = (
            None if stall is None else min(1.0, stall) for stall in stalls
        )
        ticks = _rate(now.ticks, before.ticks, 1.0)
        return ResourceSample(
            time=now.time,
            interval=interval,
            cpus=self.cpus(),
            process_cpu=_rate(now.process, before.process, interval) or 0.0,
            container_cpu=_rate(now.container, before.container, interval),
            system_cpu=_rate(now.busy, before.busy, ticks or 0.0),
            io_wait=_rate(now.waiting, before.waiting, ticks or 0.0),
            memory_limit=limit,
            memory_used=used,
            process_memory=self._process_memory(),
            cpu_pressure=cpu_pressure,
            memory_pressure=memory_pressure,
            io_pressure=io_pressure,
        )

    def cpus(self) -> float:
        """Processors that the process may use: by its affinity, by the container's quota.

        >>> ResourceMonitor().cpus() > 0
        True
        """
        quota = self._group.cpu_quota()
        allowed = float(len(usable_cpus()))
        return allowed if quota is None else min(allowed, quota)

    def memory_limit(self) -> int | None:
        """Bytes that the process may use: the container's limit, or what the machine has.

        >>> (ResourceMonitor().memory_limit() or 1) > 0
        True
        """
        return self._memory()[0]

    def _totals(self) -> _Totals:
        totals = _Totals(self._clock(), self._cpu_clock(), self._group.cpu_time())
        stat = _read(self._proc / "stat").partition("\n")[0].split()
        if stat[:1] == ["cpu"]:
            # user nice system idle iowait irq softirq steal; guests are counted in user.
            numbers = [float(number) for number in stat[1:9]]
            totals.ticks = sum(numbers)
            totals.waiting = numbers[4] if len(numbers) > 4 else 0.0
            totals.busy = totals.ticks - numbers[3] - totals.waiting
        elif psutil_times := _from_psutil("cpu_times"):
            totals.ticks = sum(psutil_times)
            totals.busy = totals.ticks - psutil_times.idle
        totals.stalled = (
            self._stalled("cpu"),
            self._stalled("memory"),
            self._stalled("io"),
        )
        return totals

    def _stalled(self, resource: str) -> float | None:
        """Seconds in which something of the container, or of the machine, waited for it."""
        group = self._group.pressure_directory
        path = Path(group, f"{resource}.pressure") if group else self._proc / "pressure" / resource
        for line in _read(path).splitlines():
            if line.startswith("some "):
                total = line.rpartition("total=")[2]
                return int(total) / 1e6 if total.isdigit() else None
        return None

    def _memory(self) -> tuple[int | None, int | None]:
        """The limit and what is in use of it, of whichever of container and machine is tighter."""
        fields = dict(_meminfo(_read(self._proc / "meminfo")))
        total, available = fields.get("MemTotal"), fields.get("MemAvailable")
        if total is None and (psutil_memory := _from_psutil("virtual_memory")):
            total, available = psutil_memory.total, psutil_memory.available
        limit = self._group.memory_limit()
        if limit is not None and (total is None or limit < total):
            return limit, self._group.memory_used()
        return total, None if total is None or available is None else total - available

    def _process_memory(self) -> int | None:
        pages = _read(self._proc / "self" / "statm").split()
        if len(pages) > 1:
            return int(pages[1]) * os.sysconf("SC_PAGE_SIZE")
        process = _from_psutil("Process")
        return process.memory_info().rss if process else None


def _rate(now: float | None, before: float | None, interval: float) -> float | None:
    if now is None or before is None or interval <= 0:
        return None
    return max(0.0, now - before) / interval


def _meminfo(text: str) -> Iterator[tuple[str, int]]:
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        number = rest.split()
        if name in ("MemTotal", "MemAvailable") and number:
            yield name, int(number[0]) * 1024


def _from_psutil(name: str) -> Any:
    """What a function of psutil returns; None on Linux, whose own files serve, or without it."""
    if sys.platform == "linux":
        return None
    try:
        psutil: Any = import_module("psutil")
    except ImportError:
        return None
    return getattr(psutil, name)()


def _read(path: Path) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
