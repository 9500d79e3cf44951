"""The bench harness: a named workload, its contenders side by side, medians with their spread.

A bench file defines workloads at its top level:

    wide = Workload("wide-parallel", "10,000 no-ops, 2 workers", unit="ns/node", aim=50)

    @wide.contender("taskloom", per=10_000)
    def ours() -> Contender:
        with taskloom.Executor(2) as executor:
            plan = ...
            yield lambda: executor.run(plan)

A contender is a generator: it sets up, yields what is to be measured, and tears down. With `per=N`
the harness times the yielded callable and divides by N; without, the callable returns the measured
value itself, in seconds (or in the workload's unit when that is no time). The first contender is
the one that the others are compared with; one that cannot take part raises `Unavailable(why)`.

All contenders are set up, each is warmed up once, then they take turns, at least five times round,
so that what disturbs the machine disturbs all alike.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import statistics
import sys
import sysconfig
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent.parent / "build" / "bench"
REPEATS = 5

Contender = Generator[Callable[[], Any], None, None]

_SCALES = {"ns": 1e9, "µs": 1e6, "ms": 1e3, "s": 1.0}


class Unavailable(Exception):
    """A contender cannot take part here; the message says why."""


@dataclass(frozen=True)
class Entry:
    label: str
    make: Callable[[], Contender]
    per: int | None
    note: str


@dataclass
class Workload:
    """A named piece of work that several contenders do.

    `unit` is a time with what it is counted by ("ns/node", "µs/task", "ms") or anything else
    ("bytes", "% of ideal"), in which case contenders return their figure themselves. `aim` is the
    figure that the first contender is to reach: at most that, or at least that with
    `more_is_better`. `beside` is a figure from elsewhere that is printed below those of the run.
    """

    name: str
    what: str
    unit: str
    aim: float | None = None
    more_is_better: bool = False
    repeats: int = REPEATS
    beside: str = ""
    entries: list[Entry] = field(default_factory=list)

    def contender(
        self, label: str, *, per: int | None = None, note: str = ""
    ) -> Callable[[Callable[[], Contender]], Callable[[], Contender]]:
        """Register a contender; `note` is printed beside its figure."""

        def register(make: Callable[[], Contender]) -> Callable[[], Contender]:
            self.entries.append(Entry(label, make, per, note))
            return make

        return register

    @property
    def scale(self) -> float:
        return _SCALES.get(self.unit.partition("/")[0], 1.0)

    def measure(self) -> dict[str, Any]:
        """Set up, warm up, take turns, tear down; the record that goes to JSON."""
        samples: dict[str, list[float]] = {}
        left_out: dict[str, str] = {}
        with ExitStack() as stack:
            ready: list[tuple[Entry, Callable[[], Any]]] = []
            for entry in self.entries:
                try:
                    call = stack.enter_context(contextmanager(entry.make)())
                    call()
                except Unavailable as why:
                    left_out[entry.label] = str(why)
                except ModuleNotFoundError as error:
                    if (error.name or "").startswith("taskloom"):
                        raise
                    left_out[entry.label] = f"needs the package {error.name}"
                else:
                    ready.append((entry, call))
                    samples[entry.label] = []
            for _ in range(max(REPEATS, self.repeats)):
                for entry, call in ready:
                    gc.collect()
                    samples[entry.label].append(self._once(entry, call))
        notes = {entry.label: entry.note for entry in self.entries if entry.note}
        return {
            "name": self.name,
            "what": self.what,
            "unit": self.unit,
            "aim": self.aim,
            "first": self.entries[0].label,
            "more_is_better": self.more_is_better,
            "samples": samples,
            "left_out": left_out,
            "notes": notes,
            "beside": self.beside,
            "machine": machine(),
        }

    def _once(self, entry: Entry, call: Callable[[], Any]) -> float:
        if entry.per is None:
            return float(call()) * self.scale
        began = time.perf_counter()
        call()
        return (time.perf_counter() - began) / entry.per * self.scale


def machine() -> dict[str, Any]:
    """The Python build, the state of the GIL and the cores, as every result is printed with."""
    gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "python": platform.python_version(),
        "build": "free-threaded" if sysconfig.get_config_var("Py_GIL_DISABLED") else "default",
        "gil": "on" if gil else "off",
        "cores": usable,
        "processor": _processor(),
        "system": f"{platform.system()} {platform.machine()}",
        "profile": _profile(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown processor"
    return next((line.partition(":")[2].strip() for line in lines if "model name" in line), "?")


def _profile() -> str:
    """How the extension was built, by the stamp that make leaves in the environment."""
    stamps = [stamp.name.partition("-")[2] for stamp in Path(sys.prefix).glob("built-*")]
    return stamps[0] if len(stamps) == 1 else "unknown"


def heading() -> str:
    here = machine()
    line = (
        f"Python {here['python']} ({here['build']} build, GIL {here['gil']}), "
        f"{here['cores']} cores, {here['processor']}, {here['system']}"
    )
    if here["profile"] not in {"release", "unknown"}:
        line += (
            f"\nthe extension is a {here['profile']} build; quote figures of a release build only"
        )
    return line


def number(value: float) -> str:
    """Three significant digits, thousands separated."""
    if value == 0 or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def report(record: dict[str, Any]) -> str:
    """The printed form of one record."""
    lines = [f"\n{record['name']}: {record['what']}"]
    base: float | None = None
    for label, values in record["samples"].items():
        median = statistics.median(values)
        line = f"  {label:<34} {number(median):>9} {record['unit']:<10}"
        line += f" ({number(min(values))} to {number(max(values))})"
        if base is None:
            base = median
            if record["aim"] is not None and label == record["first"]:
                met = (
                    median >= record["aim"] if record["more_is_better"] else median <= record["aim"]
                )
                sign = "≥" if record["more_is_better"] else "≤"
                line += f"  aim {sign} {number(record['aim'])}: {'met' if met else 'MISSED'}"
        elif base:
            line += f"  × {number(median / base)}"
        if record["notes"].get(label):
            line += f"  [{record['notes'][label]}]"
        lines.append(line)
    lines += [f"  {label:<34} left out: {why}" for label, why in record["left_out"].items()]
    if record.get("beside"):
        lines.append(f"  beside, not of this run: {record['beside']}")
    return "\n".join(lines)


def markdown(records: list[dict[str, Any]]) -> str:
    """Records as a table for a page: the first contender, its aim, and the peers' factors."""
    lines = ["| workload | taskloom | aim | peers |", "|---|---|---|---|"]
    for record in records:
        medians = {label: statistics.median(each) for label, each in record["samples"].items()}
        base = medians.pop(record["first"], None)
        shown = f"{number(base)} {record['unit']}" if base is not None else "–"
        sign = "≥" if record["more_is_better"] else "≤"
        aim = f"{sign} {number(record['aim'])}" if record["aim"] is not None else "–"
        peers = "; ".join(
            f"{label} {number(median)}" + (f" (× {number(median / base)})" if base else "")
            for label, median in medians.items()
        )
        if record.get("beside"):
            peers = "; ".join(filter(None, (peers, record["beside"])))
        lines.append(f"| {record['what']} (`{record['name']}`) | {shown} | {aim} | {peers} |")
    return "\n".join(lines)


def save(record: dict[str, Any]) -> Path:
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{record['name']}.json"
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    return path
