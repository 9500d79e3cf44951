"""An atlas of a tree of Python source: what is in it, where it is tangled, who imports whom.

    python examples/codebase_atlas.py                     the standard library of this interpreter
    python examples/codebase_atlas.py --path DIR --json atlas.json

A task graph lists the files, parses and measures them in parallel, reduces the parts in a tree and
builds the import graph. The same work is then done one file after the other and by the standard
library's executors, to compare times and results.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import operator
import os
import shutil
import statistics
import sys
import sysconfig
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Literal

import taskloom
from codebase_survey import (
    ImportGraph,
    Listing,
    Part,
    cut,
    import_graph,
    list_files,
    merge,
    most_imported,
    survey,
    tidy,
)
from taskloom.observe.trace import Trace
from taskloom.pregel.vertex import pagerank

# Left out of the standard library, for they are as large as the rest; --path takes a tree whole.
TEST_SUITES = frozenset({"test", "tests", "idle_test"})


@dataclass(frozen=True)
class Atlas:
    """Everything that the report shows."""

    listing: Listing
    part: Part
    imports: ImportGraph
    most_imported: tuple[tuple[str, int], ...]
    page_ranks: tuple[tuple[str, float], ...]


def page_ranks(imports: ImportGraph) -> tuple[tuple[str, float], ...]:
    """Modules by how much the others lean on them, directly or through what they import."""
    ranks = pagerank(imports.edges, tolerance=1e-4)
    return tuple(sorted(ranks.items(), key=lambda item: (-item[1], item[0])))


# ── The graph over it, and the same without a graph ──────────────────────────────────────────────


def atlas_graph(
    root: str,
    leave_out: frozenset[str],
    *,
    pieces: int,
    place: Literal["thread", "process"] = "thread",
) -> tuple[taskloom.Graph, taskloom.Node[Atlas]]:
    """Build the graph of the whole job; `place` is where the pieces of the tree are measured."""
    graph = taskloom.Graph()
    listing = graph.options(name="list").add(list_files, root, leave_out)
    piles = graph.options(name="cut").add(cut, listing, pieces)
    parts = [
        graph.options(name=f"survey {number}", place=place).add(
            survey, graph.options(name=f"pile {number}").add(operator.getitem, piles, number), root
        )
        for number in range(pieces)
    ]
    while len(parts) > 1:  # a tree, so that merging starts before the last piece is in
        pairs = [graph.add(merge, *parts[at : at + 2]) for at in range(0, len(parts) - 1, 2)]
        parts = pairs + parts[2 * len(pairs) :]
    whole = graph.options(name="tidy").add(tidy, parts[0], listing)
    imports = graph.options(name="import graph").add(import_graph, whole)
    # What is worked out from the import graph: a node each here, and a field of Atlas.
    ranking = graph.options(name="most imported").add(most_imported, imports)
    ranks = graph.options(name="page ranks").add(page_ranks, imports)
    return graph, graph.options(name="atlas").add(Atlas, listing, whole, imports, ranking, ranks)


def best_place() -> Literal["thread", "process"]:
    """Parsing is pure Python: where there is a GIL, only processes do it side by side."""
    has_gil: bool = getattr(sys, "_is_gil_enabled", lambda: True)()
    return "process" if has_gil else "thread"


def usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def by_graph(
    root: str,
    leave_out: frozenset[str],
    workers: int,
    pieces: int,
    *,
    place: Literal["thread", "process"],
    traces: list[Trace],
) -> Atlas:
    """Build the graph and run it; only the survey of the files leaves this process."""
    graph, atlas = atlas_graph(root, leave_out, pieces=pieces, place=place)
    with taskloom.Executor(workers) as executor:
        run = executor.run(graph, progress=True, trace=True)
    traces.append(run.trace)
    return run[atlas]


def finish(listing: Listing, parts: Iterable[Part]) -> Atlas:
    """What follows the survey, one after the other."""
    whole = tidy(functools.reduce(merge, parts, Part()), listing)
    imports = import_graph(whole)
    return Atlas(listing, whole, imports, most_imported(imports), page_ranks(imports))


def one_by_one(root: str, leave_out: frozenset[str]) -> Atlas:
    listing = list_files(root, leave_out)
    return finish(listing, [survey((path for path, _ in listing.sources), root)])


def with_executor(
    kind: type[ThreadPoolExecutor] | type[ProcessPoolExecutor],
    workers: int,
    root: str,
    leave_out: frozenset[str],
    pieces: int,
) -> Atlas:
    """The same pieces by an executor of the standard library."""
    with kind(workers) as executor:
        listing = list_files(root, leave_out)
        futures = [executor.submit(survey, pile, root) for pile in cut(listing, pieces)]
        return finish(listing, [future.result() for future in futures])


# ── What is shown ────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Timing:
    """One way to do the whole job, and how many seconds it took in each round."""

    how: str
    files: int
    rounds: list[float] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return statistics.median(self.rounds)


class Paper:
    """The terminal: bold and dim where it can, and tables."""

    def __init__(self) -> None:
        self.plain = not sys.stdout.isatty() or bool(os.environ.get("NO_COLOR"))
        self.width = min(shutil.get_terminal_size((100, 24)).columns, 100)

    def bold(self, text: str) -> str:
        return text if self.plain else f"\x1b[1m{text}\x1b[0m"

    def dim(self, text: str) -> str:
        return text if self.plain else f"\x1b[2m{text}\x1b[0m"

    def fit(self, text: str, width: int) -> str:
        """The text in so many columns; too long, it loses its middle."""
        if len(text) > width:
            half = (width - 1) // 2
            text = f"{text[: width - 1 - half]}…{text[len(text) - half :]}"
        return f"{text:{width}}"

    def bars(self, title: str, rows: Iterable[tuple[str, str, int]]) -> None:
        """A table of name, number and remark, with the number also as a bar."""
        rows = list(rows)
        longest = max((number for _, _, number in rows), default=1)
        name_width = max(20, min(44, self.width - 52))
        print("\n" + self.bold(title))
        for name, remark, number in rows:
            bar = "█" * max(1, round(18 * number / longest))
            print(
                f"  {self.fit(name, name_width)}{number:>8,}  {bar:18}  {self.dim(remark)}".rstrip()
            )


def report(atlas: Atlas, title: str, top: int) -> None:
    paper = Paper()
    modules = atlas.part.modules
    functions = [function for module in modules for function in module.functions]
    print(paper.bold(f"Atlas of {title}"))
    print(paper.dim(atlas.listing.root) + "\n")
    facts = {
        "modules": len(modules),
        "lines": sum(module.lines for module in modules),
        "classes": sum(module.classes for module in modules),
        "functions": len(functions),
        "imports among them": sum(map(len, atlas.imports.edges.values())),
    }
    print("  " + "   ".join(f"{paper.bold(f'{count:,}')} {what}" for what, count in facts.items()))
    largest = sorted(modules, key=lambda module: (-module.lines, module.name))[:top]
    paper.bars(
        "Largest modules, in lines",
        [(module.name, f"{len(module.functions):,} functions", module.lines) for module in largest],
    )
    tangled = sorted(modules, key=lambda module: (-module.complexity, module.name))[:top]
    paper.bars(
        "Most complex modules, by the complexity of their functions",
        [
            (
                module.name,
                f"{module.complexity / len(module.functions):.1f} a function",
                module.complexity,
            )
            for module in tangled
            if module.functions
        ],
    )
    knots = sorted(functions, key=lambda knot: (-knot.complexity, knot.module, knot.line))[:top]
    paper.bars(
        "Most complex functions",
        [(f"{knot.module}.{knot.name}", f"line {knot.line}", knot.complexity) for knot in knots],
    )
    paper.bars(
        "Most imported modules, by how many of the others import them",
        [(name, "", count) for name, count in atlas.most_imported[:top]],
    )
    paper.bars(
        "Modules that the others lean on, by page rank over the imports (all together: 10,000)",
        [(name, "", round(rank * 10_000)) for name, rank in atlas.page_ranks[:top]],
    )
    if atlas.part.skipped:
        print("\n" + paper.bold(f"Not measured: {len(atlas.part.skipped)}"))
        for file in atlas.part.skipped[:top]:
            print(f"  {os.path.relpath(file.path, atlas.listing.root)}  {paper.dim(file.reason)}")
        if len(atlas.part.skipped) > top:
            print(paper.dim(f"  and {len(atlas.part.skipped) - top} more; --json lists all"))
    if atlas.listing.others:
        kinds = list(atlas.listing.others.items())[:6]
        print(
            "\n"
            + paper.bold(f"Not Python, passed over: {sum(atlas.listing.others.values()):,} files")
            + paper.dim("  " + ", ".join(f"{count:,} {suffix}" for suffix, count in kinds))
        )


def compare(timings: list[Timing], tasks: int) -> None:
    """Print the median times; the first is taskloom's."""
    paper = Paper()
    rounds = len(timings[0].rounds)
    title = f"Time on {usable_cores()} cores, starting and ending of workers included"
    if rounds > 1:
        title += f"; medians of {rounds} rounds in turns"
    print("\n" + paper.bold(title))
    print(paper.dim(f"  {'':32}{'seconds':>9}{'spread':>14}{'files a second':>17}{'speed-up':>11}"))
    serial = next((timing for timing in timings if timing.how == "one by one"), timings[0])
    for timing in timings:
        spread = f"{min(timing.rounds):.2f}-{max(timing.rounds):.2f}"
        row = (
            f"  {timing.how:32}{timing.seconds:>9.2f}{spread:>14}"
            f"{timing.files / timing.seconds:>17,.0f}{serial.seconds / timing.seconds:>11.2f}"
        )
        print(paper.bold(row) if timing is timings[0] else row)
    rate = tasks / timings[0].seconds
    print(paper.dim(f"  taskloom ran a graph of {tasks} tasks, {rate:,.0f} tasks a second"))


def as_json(atlas: Atlas, timings: list[Timing]) -> str:
    return json.dumps(
        {
            "root": atlas.listing.root,
            "python": sys.version.split()[0],
            "modules": [
                {**asdict(module), "complexity": module.complexity} for module in atlas.part.modules
            ],
            "skipped": [asdict(file) for file in atlas.part.skipped],
            "others": atlas.listing.others,
            "imports": atlas.imports.edges,
            "outside": atlas.imports.outside,
            "most_imported": atlas.most_imported,
            "page_ranks": atlas.page_ranks,
            "timings": [asdict(timing) for timing in timings],
        },
        indent=1,
    )


# ── The command ──────────────────────────────────────────────────────────────────────────────────


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    summary, _, _ = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(prog="codebase_atlas", description=summary)
    parser.add_argument("--path", metavar="DIR", help="the tree to map (the standard library)")
    parser.add_argument("--json", metavar="FILE", help="write all that was found to this file")
    parser.add_argument("--trace", metavar="FILE", help="write the trace: .json, .svg, .html, .txt")
    parser.add_argument("--workers", type=int, metavar="N", help="at a time (one for each core)")
    parser.add_argument("--place", choices=("thread", "process"), help="where files are parsed")
    parser.add_argument("--top", type=int, default=8, metavar="N", help="rows of a table (8)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="of comparison (3)")
    parser.add_argument(
        "--no-compare", action="store_true", help="run the graph, once, and no more"
    )
    arguments = parser.parse_args(argv)
    if arguments.path is not None and not os.path.isdir(arguments.path):
        parser.error(f"--path: {arguments.path} is no folder")
    for name in ("workers", "rounds", "top"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            parser.error(f"--{name}: {value} is less than 1")
    return arguments


def main(argv: list[str] | None = None) -> int:
    arguments = parse_arguments(argv)
    if arguments.path is None:
        version = sys.version.split()[0]
        root, leave_out = sysconfig.get_path("stdlib"), TEST_SUITES
        title = f"the standard library of Python {version}, without its tests"
    else:
        root, leave_out = os.path.abspath(arguments.path), frozenset[str]()
        title = os.path.basename(root) or root
    workers = arguments.workers or usable_cores()
    place = arguments.place or best_place()
    pieces = 8 * workers
    traces: list[Trace] = []
    kind = "processes" if place == "process" else "threads"
    ways: dict[str, Callable[[], Atlas]] = {
        f"taskloom, {workers} {kind}": lambda: by_graph(
            root, leave_out, workers, pieces, place=place, traces=traces
        )
    }
    if not arguments.no_compare:
        ways["one by one"] = lambda: one_by_one(root, leave_out)
        for executor, kind in ((ThreadPoolExecutor, "threads"), (ProcessPoolExecutor, "processes")):
            ways[f"{executor.__name__}, {workers} {kind}"] = functools.partial(
                with_executor, executor, workers, root, leave_out, pieces
            )
        for path, _ in list_files(root, leave_out).sources:
            with contextlib.suppress(OSError), open(path, "rb") as file:
                file.read()  # so that the first way is not the only one that waits for the disk
    atlas: Atlas | None = None
    timings: dict[str, Timing] = {}
    for _ in range(1 if arguments.no_compare else arguments.rounds):
        for how, work in ways.items():
            start = time.perf_counter()
            found = work()
            seconds = time.perf_counter() - start
            timings.setdefault(how, Timing(how, len(found.listing.sources))).rounds.append(seconds)
            if atlas is None:
                atlas = found
                report(atlas, title, arguments.top)
                sys.stdout.flush()
            elif found != atlas:
                print(f"{how} found something else than the first run did", file=sys.stderr)
                return 1
    if atlas is None:
        return 1
    tasks = len(atlas_graph(root, leave_out, pieces=pieces)[0])
    compare(list(timings.values()), tasks)
    print(f"\nThe first run of the graph\n\n{traces[0].timeline()}")
    if arguments.trace:
        traces[0].save(arguments.trace)
        print(f"\nIts trace is written to {arguments.trace}")
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            file.write(as_json(atlas, list(timings.values())))
        print(f"\nWritten to {arguments.json}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
