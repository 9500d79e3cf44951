"""What a container allows the process: processor quota and memory limit of its control groups.

Both versions of the interface are read, and the mix of them. A limit of an outer group binds the
inner ones, so the tightest on the way up counts. Inside a container the path in /proc/self/cgroup
may name the group as the host sees it; then the group at the mount point is the process's own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import final

__all__ = ["ControlGroup"]

# Version 1 says "unlimited" with the largest number that its counter holds, about 2 ** 63.
_UNLIMITED = 1 << 60


@final
class ControlGroup:
    """The control groups of this process.

    `root` is the root of the file system, another one in tests. The places of the files are looked
    up once; the values are read at each call. Whatever there is not, is None.

    >>> group = ControlGroup()
    >>> (group.cpu_quota() or 1.0) > 0
    True
    """

    __slots__ = ("_cpu", "_memory", "_pressure", "_usage")

    def __init__(self, root: str | os.PathLike[str] = "/") -> None:
        root = os.fspath(root)
        paths = _paths_of_process(root)
        mount = os.path.join(root, "sys", "fs", "cgroup")
        unified = mount
        if not os.path.exists(os.path.join(mount, "cgroup.controllers")):
            unified = os.path.join(mount, "unified")
        second = list(_upwards(unified, paths.get("", "/")))
        self._cpu = _Lookup(
            second,
            "cpu.max",
            list(_upwards(os.path.join(mount, "cpu"), paths.get("cpu", "/"))),
            _V1_QUOTA,
        )
        self._memory = _Lookup(
            second,
            "memory.max",
            list(_upwards(os.path.join(mount, "memory"), paths.get("memory", "/"))),
            "memory.limit_in_bytes",
        )
        self._usage = _Lookup(
            second[:1],
            "cpu.stat",
            list(_upwards(os.path.join(mount, "cpuacct"), paths.get("cpuacct", "/")))[:1],
            "cpuacct.usage",
        )
        own = second[0] if second else ""
        self._pressure = own if os.path.exists(os.path.join(own, "cpu.pressure")) else None

    @property
    def pressure_directory(self) -> str | None:
        """Where this group's own pressure-stall files are."""
        return self._pressure

    def cpu_quota(self) -> float | None:
        """How many processors' worth of time the group may use; None for no quota."""
        quotas = []
        for directory in self._cpu.directories:
            if self._cpu.version == 2:
                quota, _, period = _read(directory, "cpu.max").partition(" ")
            else:
                quota = _read(directory, _V1_QUOTA)
                period = _read(directory, "cpu.cfs_period_us")
            # "max" and -1 both say that there is none.
            if quota.isdigit() and period.isdigit() and int(period) > 0:
                quotas.append(int(quota) / int(period))
        return min(quotas, default=None)

    def memory_limit(self) -> int | None:
        """How many bytes the group may hold; None for no limit."""
        found = self._tightest()
        return found[1] if found else None

    def memory_used(self) -> int | None:
        """How many bytes the limiting group holds, without file pages that could go at once."""
        found = self._tightest()
        if found is None:
            return None
        directory, _ = found
        if self._memory.version == 2:
            used, reclaimable = "memory.current", "inactive_file"
        else:
            used, reclaimable = "memory.usage_in_bytes", "total_inactive_file"
        text = _read(directory, used)
        if not text.isdigit():
            return None
        for line in _read(directory, "memory.stat").splitlines():
            name, _, value = line.partition(" ")
            if name == reclaimable and value.isdigit():
                return max(0, int(text) - int(value))
        return int(text)

    def cpu_time(self) -> float | None:
        """Seconds of processor time that the group has used since it was made."""
        for directory in self._usage.directories:
            if self._usage.version == 1:
                text = _read(directory, "cpuacct.usage")
                return int(text) / 1e9 if text.isdigit() else None
            for line in _read(directory, "cpu.stat").splitlines():
                name, _, value = line.partition(" ")
                if name == "usage_usec" and value.isdigit():
                    return int(value) / 1e6
        return None

    def _tightest(self) -> tuple[str, int] | None:
        """The group with the lowest memory limit, and that limit."""
        names = ("memory.max", "memory.high")
        if self._memory.version == 1:
            names = ("memory.limit_in_bytes", "memory.limit_in_bytes")
        best: tuple[str, int] | None = None
        for directory in self._memory.directories:
            for name in dict.fromkeys(names):
                text = _read(directory, name)
                # From "high" on the kernel stalls the group until it has given memory back.
                if text.isdigit() and int(text) < min(_UNLIMITED, best[1] if best else _UNLIMITED):
                    best = directory, int(text)
        return best


_V1_QUOTA = "cpu.cfs_quota_us"


class _Lookup:
    """The directories, inner first, that have a file; of version 2 where that has it."""

    __slots__ = ("directories", "version")

    def __init__(self, second: list[str], name: str, first: list[str], first_name: str) -> None:
        self.version = 2
        self.directories = [path for path in second if os.path.exists(os.path.join(path, name))]
        if not self.directories:
            found = [path for path in first if os.path.exists(os.path.join(path, first_name))]
            if found:
                self.version, self.directories = 1, found


def _paths_of_process(root: str) -> dict[str, str]:
    """The path of the process's group by controller, "" for version 2."""
    paths = {}
    for line in _read(root, "proc", "self", "cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        for controller in controllers.split(","):
            paths[controller] = path
    return paths


def _upwards(mount: str, path: str) -> Iterator[str]:
    """The directories from a group up to the mount point, as far as they exist."""
    parts = [part for part in path.split("/") if part]
    if ".." in parts:  # the group is outside of what is mounted here
        parts = []
    while parts:
        group = os.path.join(mount, *parts)
        if os.path.isdir(group):
            yield group
        parts.pop()
    if os.path.isdir(mount):
        yield mount


def _read(*path: str) -> str:
    try:
        with open(os.path.join(*path), encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return ""
