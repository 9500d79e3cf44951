"""`taskloom doctor`: what this Python and this machine offer, and what limits them."""

from __future__ import annotations

import json
import os
import platform
import sys
import sysconfig
import threading
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from taskloom.scheduling.container import ControlGroup
from taskloom.scheduling.cpus import cpu_count, usable_cpus
from taskloom.scheduling.topology import Topology

# Optional packages and what they are for.
_OPTIONAL = {
    "cloudpickle": 'place="process" and graphs sent to a cluster',
    "numpy": "vertex programs; arrays between processes",
    "ormsgpack": "checkpoints of state graphs",
    "dask": "the Dask backend",
    "ray": "the Ray backend",
    "langgraph": "the LangGraph adapter",
}


class Fact(NamedTuple):
    """One line of the report; `remark` is there when something is worth acting on."""

    section: str
    name: str
    value: str
    remark: str = ""


def _text(path: str) -> str | None:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return None


def _size(count: float) -> str:
    for unit in ("bytes", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def _python() -> Iterator[Fact]:
    from taskloom import _taskloom

    free_threaded = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    yield Fact("Python", "taskloom", f"{_taskloom.__version__} ({_taskloom.__file__})")
    yield Fact(
        "Python", "interpreter", f"{platform.python_implementation()} {platform.python_version()}"
    )
    yield Fact("Python", "executable", sys.executable)
    yield Fact("Python", "build", "free-threaded" if free_threaded else "default")
    remark = ""
    if free_threaded and gil:
        remark = "a module that needs the GIL switched it on; PYTHON_GIL=0 keeps it off"
    state = "on" if gil else "off"
    meaning = "pure-Python tasks take turns" if gil else "pure-Python tasks run side by side"
    yield Fact("Python", "GIL", f"{state}: {meaning}", remark)
    yield Fact("Python", "switch interval", f"{sys.getswitchinterval() * 1e3:g} ms")


def _cores() -> Iterator[Fact]:
    total, usable = os.cpu_count() or 1, usable_cpus()
    yield Fact(
        "Machine", "system", f"{platform.system()} {platform.release()} {platform.machine()}"
    )
    yield Fact("Machine", "cores", str(total))
    remark = f"this process may use {len(usable)} of {total} cores" if len(usable) < total else ""
    yield Fact("Machine", "affinity", ",".join(map(str, usable)), remark)
    quota = ControlGroup().cpu_quota()
    if quota is not None:
        remark = ""
        if quota < len(usable):
            remark = f"more than {cpu_count()} busy workers will be throttled"
        yield Fact("Machine", "CPU limit of the container", f"{quota:g} cores", remark)
    nodes = len(Topology.read().nodes)
    remark = "memory of another node is slower to reach" if nodes > 1 else ""
    yield Fact("Machine", "NUMA nodes", str(nodes), remark)
    clock = _text("/sys/devices/system/clocksource/clocksource0/current_clocksource")
    if clock is not None:
        remark = "" if clock == "tsc" else "no time-stamp counter: reading the clock costs more"
        yield Fact("Machine", "clock source", clock, remark)


def _memory() -> Iterator[Fact]:
    lines = (_text("/proc/meminfo") or "").splitlines()
    sizes = {line.partition(":")[0]: line.split()[1] for line in lines}
    if "MemTotal" in sizes:
        total, free = int(sizes["MemTotal"]) * 1024, int(sizes.get("MemAvailable", 0)) * 1024
        yield Fact("Machine", "memory", f"{_size(total)}, {_size(free)} available")
    limit = ControlGroup().memory_limit()
    if limit is not None:
        yield Fact("Machine", "memory limit of the container", _size(limit))
    pressure = Path("/proc/pressure/cpu").exists()
    remark = "" if pressure else "load is judged without pressure figures"
    if sys.platform == "linux":
        yield Fact("Machine", "pressure figures", "yes" if pressure else "no", remark)


def _real_time_refusal() -> str | None:
    """Why a thread of this process may not be scheduled in real time, or None if it may.

    A thread of its own tries it and ends: permissions, limits and cgroups all have a say, and only
    the attempt asks them all.
    """
    refusals: list[str] = []

    def attempt() -> None:
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        except OSError as error:
            refusals.append(error.strerror or "refused")

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    return refusals[0] if refusals else None


def _permissions() -> Iterator[Fact]:
    if sys.platform != "linux":
        yield Fact("Permission", "affinity, real-time scheduling", f"not on {platform.system()}")
        return
    import resource

    refusal = _real_time_refusal()
    yield Fact(
        "Permission",
        "real-time scheduling",
        "yes" if refusal is None else f"no ({refusal})",
        "" if refusal is None else "CAP_SYS_NICE or a higher `ulimit -r` would grant it",
    )
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    yield Fact("Permission", "open files", f"up to {files}")


def _packages() -> Iterator[Fact]:
    for name, purpose in _OPTIONAL.items():
        try:
            value = metadata.version(name)
        except metadata.PackageNotFoundError:
            value = f"not installed (only needed for {purpose})"
        yield Fact("Optional packages", name, value)


def facts() -> list[Fact]:
    """Everything that the report says, in its order."""
    return [*_python(), *_cores(), *_memory(), *_permissions(), *_packages()]


def doctor(*, as_json: bool) -> int:
    """Print the report; always returns 0: it describes, it does not judge."""
    found = facts()
    if as_json:
        print(json.dumps([fact._asdict() for fact in found], indent=1))
        return 0
    width = max(len(fact.name) for fact in found)
    section = ""
    for fact in found:
        if fact.section != section:
            print(("\n" if section else "") + fact.section)
            section = fact.section
        print(f"  {fact.name:<{width}}  {fact.value}")
        if fact.remark:
            print(f"  {'':<{width}}  ! {fact.remark}")
    return 0
