"""Counts what happens in gzip-compressed logs: a pipeline of stages with a bound on each.

    python examples/log_pipeline.py [FOLDER]

Without a folder it makes logs from the standard library's own sources: one compressed file for
each package, whose lines tell what each line of source is. Reading and unpacking gives the
interpreter up, so it runs side by side on the pool's threads, a slow stage holds the others up, and
memory stays flat however large the logs are.
"""

from __future__ import annotations

import argparse
import gzip
import re
import sysconfig
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from taskloom import Executor, Scope, stage

LINE = re.compile(r"^(?P<level>[A-Z]+) (?P<where>\S+) (?P<what>.*)$")


def make_logs(folder: Path) -> None:
    """Writes one compressed log for each package of the standard library."""
    library = Path(sysconfig.get_path("stdlib"))
    packages: dict[str, list[str]] = {}
    for path in sorted(library.glob("**/*.py")):
        parts = path.relative_to(library).parts
        if "test" in parts or "site-packages" in parts or len(parts) > 2:
            continue
        lines = packages.setdefault(parts[0].removesuffix(".py") if len(parts) > 1 else "top", [])
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            text = line.strip()
            level = (
                "ERROR"
                if text.startswith("raise ")
                else "WARNING"
                if text.startswith(("except", "assert"))
                else "DEBUG"
                if text.startswith("#")
                else "INFO"
            )
            lines.append(f"{level} {path.name}:{number} {text}")
    for name, lines in packages.items():
        with gzip.open(folder / f"{name}.log.gz", "wt", compresslevel=1) as log:
            log.write("\n".join(lines))


def unpack(path: Path) -> tuple[str, bytes]:
    """Stage 1: reads a file and unpacks it (mostly outside of the interpreter)."""
    return path.name, gzip.decompress(path.read_bytes())


def count(log: tuple[str, bytes]) -> tuple[str, Counter[str]]:
    """Stage 2: counts the levels of a log's lines."""
    name, data = log
    levels: Counter[str] = Counter()
    for line in data.decode().splitlines():
        match = LINE.match(line)
        levels[match["level"] if match else "unreadable"] += 1
    return name, levels


def run(folder: Path) -> Iterator[tuple[str, Counter[str]]]:
    """The counts of each log in the folder, in the order of their names."""
    paths = sorted(folder.glob("*.log.gz"))
    stages = (stage(unpack, 4, ordered=True), stage(count, 2, ordered=True))
    with (
        Executor(8) as executor,
        Scope(executor, name="logs") as scope,
        scope.pipeline(paths, *stages) as results,
    ):
        yield from results


def main() -> None:
    arguments = argparse.ArgumentParser(description="Counts what happens in compressed logs.")
    arguments.add_argument("folder", nargs="?", type=Path, help="where *.log.gz are")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = given.folder or Path(made)
        if given.folder is None:
            make_logs(folder)
        total: Counter[str] = Counter()
        for name, levels in run(folder):
            total += levels
            print(f"{name:24} {levels.total():8,} lines, {levels['ERROR']:6,} errors")
    print(f"{'all':24} {total.total():8,} lines, {total['ERROR']:6,} errors")


if __name__ == "__main__":
    main()
