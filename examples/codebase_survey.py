"""Reads Python source without running it: files, functions, complexity, imports.

Plain functions over plain records, which `codebase_atlas.py` puts into a task graph. By itself:

    python examples/codebase_survey.py FILE...     the functions of these files
"""

from __future__ import annotations

import ast
import os
import sys
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

# ── What is found ────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Function:
    """A function or method and its cyclomatic complexity: 1 and 1 more for each decision."""

    module: str
    name: str
    line: int
    complexity: int


@dataclass(frozen=True)
class Module:
    """One source file, measured."""

    name: str
    path: str
    lines: int
    classes: int
    functions: tuple[Function, ...]
    imports: tuple[str, ...]

    @property
    def complexity(self) -> int:
        return sum(function.complexity for function in self.functions)


@dataclass(frozen=True)
class Skipped:
    """A file or folder that could not be measured, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Listing:
    """The files below a folder: Python source with sizes, and how many others by suffix."""

    root: str
    sources: tuple[tuple[str, int], ...] = ()
    others: dict[str, int] = field(default_factory=dict)
    skipped: tuple[Skipped, ...] = ()


@dataclass(frozen=True)
class Part:
    """What was found in some of the files; parts are merged two by two."""

    modules: tuple[Module, ...] = ()
    skipped: tuple[Skipped, ...] = ()


@dataclass(frozen=True)
class ImportGraph:
    """Who imports whom: module to modules of the tree, and how many import each outsider."""

    edges: dict[str, tuple[str, ...]]
    outside: dict[str, int]


# ── The work, in plain functions ─────────────────────────────────────────────────────────────────

NOT_SOURCE = {"__pycache__", "site-packages", "node_modules"}


def list_files(root: str, leave_out: frozenset[str] = frozenset()) -> Listing:
    """Walk a tree in a fixed order; folders in `leave_out` and hidden ones are not entered."""
    sources: list[tuple[str, int]] = []
    others: Counter[str] = Counter()
    skipped: list[Skipped] = []

    def unreadable(error: OSError) -> None:
        skipped.append(Skipped(str(error.filename), error.strerror or str(error)))

    for folder, subfolders, files in os.walk(root, onerror=unreadable):
        subfolders[:] = sorted(
            name
            for name in subfolders
            if name not in NOT_SOURCE and name not in leave_out and not name.startswith(".")
        )
        for name in sorted(files):
            path = Path(folder, name)
            if path.suffix != ".py":
                others[path.suffix or path.name] += 1
                continue
            try:
                sources.append((str(path), path.stat().st_size))
            except OSError as error:
                skipped.append(Skipped(str(path), error.strerror or str(error)))
    return Listing(root, tuple(sources), dict(others.most_common()), tuple(skipped))


def cut(listing: Listing, pieces: int) -> list[tuple[str, ...]]:
    """Deal the files out into pieces of about the same number of bytes."""
    piles: list[list[str]] = [[] for _ in range(pieces)]
    weights = [0] * pieces
    for path, size in sorted(listing.sources, key=lambda source: -source[1]):
        lightest = weights.index(min(weights))
        piles[lightest].append(path)
        weights[lightest] += size + 500  # opening a file counts too
    return [tuple(pile) for pile in piles]


def module_name(path: str, root: str) -> str:
    """The dotted name under which a file of the tree is imported."""
    base = Path(root)
    relative = Path(path).relative_to(base).with_suffix("")
    parts = relative.parts[:-1] if relative.name == "__init__" else relative.parts
    if (base / "__init__.py").exists():
        parts = (base.name, *parts)
    return ".".join(parts) or base.name


ONE_DECISION = {
    ast.If,
    ast.IfExp,
    ast.For,
    ast.AsyncFor,
    ast.While,
    ast.ExceptHandler,
    ast.match_case,
}


def decisions(node: ast.AST) -> int:
    """How many ways to go on a node adds to the function that it stands in."""
    if isinstance(node, ast.BoolOp):
        return len(node.values) - 1
    if isinstance(node, ast.comprehension):
        return 1 + len(node.ifs)
    return int(type(node) in ONE_DECISION)


def survey_source(data: bytes, path: str, name: str) -> Module:
    """Parse a file and measure it. Raises SyntaxError or ValueError if it is not Python."""
    package = name if Path(path).name == "__init__.py" else name.rpartition(".")[0]
    classes = 0
    found: list[tuple[str, int]] = []  # functions
    counts: list[int] = []  # their complexity
    imports: set[str] = set()
    # A stack of nodes, each with the scope and the function that it stands in: expressions can be
    # nested deeper than the interpreter recurses.
    stack: list[tuple[ast.AST, str, int]] = [(ast.parse(data, path), "", -1)]
    while stack:
        node, scope, owner = stack.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            owner = len(found)
            found.append((scope + node.name, node.lineno))
            counts.append(1)
            scope += f"{node.name}."
        elif isinstance(node, ast.ClassDef):
            classes += 1
            owner = -1
            scope += f"{node.name}."
        elif isinstance(node, ast.Import | ast.ImportFrom):
            imports.update(imported(node, package))
        elif owner >= 0:
            counts[owner] += decisions(node)
        for name_of_field in node._fields:
            value = getattr(node, name_of_field, None)
            if isinstance(value, list):
                stack.extend((item, scope, owner) for item in value if isinstance(item, ast.AST))
            elif isinstance(value, ast.AST) and value._fields:
                stack.append((value, scope, owner))
    functions = [
        Function(name, where, line, count)
        for (where, line), count in zip(found, counts, strict=True)
    ]
    return Module(
        name=name,
        path=path,
        lines=len(data.splitlines()),
        classes=classes,
        functions=tuple(sorted(functions, key=lambda function: function.line)),
        imports=tuple(sorted(imports)),
    )


def imported(node: ast.Import | ast.ImportFrom, package: str) -> Iterator[str]:
    """The absolute names that an import statement asks for."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    above = package.split(".")
    above = above[: len(above) - node.level + 1] if node.level else []
    base = ".".join([*above, *([node.module] if node.module else [])])
    for alias in node.names:
        yield base if alias.name == "*" else f"{base}.{alias.name}".lstrip(".")


def survey_file(path: str, root: str) -> Part:
    """Measure one file, or say why it could not be measured."""
    try:
        module = survey_source(Path(path).read_bytes(), path, module_name(path, root))
    except SyntaxError as error:
        reason = f"not Python: {error.msg}" + (f", line {error.lineno}" if error.lineno else "")
    except (ValueError, RecursionError, MemoryError) as error:
        reason = f"not Python: {error}"
    except OSError as error:
        reason = error.strerror or str(error)
    else:
        return Part(modules=(module,))
    return Part(skipped=(Skipped(path, reason),))


def survey(paths: Iterable[str], root: str) -> Part:
    """Measure a piece of the tree."""
    warnings.filterwarnings("ignore", category=SyntaxWarning)  # of old files, about escapes
    parts = [survey_file(path, root) for path in paths]
    return Part(
        modules=tuple(module for part in parts for module in part.modules),
        skipped=tuple(file for part in parts for file in part.skipped),
    )


def merge(left: Part, right: Part) -> Part:
    """One step of the reduction."""
    return Part(left.modules + right.modules, left.skipped + right.skipped)


def tidy(part: Part, listing: Listing) -> Part:
    """The whole, in an order that does not depend on who measured what."""
    return Part(
        modules=tuple(sorted(part.modules, key=lambda module: module.path)),
        skipped=tuple(sorted(listing.skipped + part.skipped, key=lambda file: file.path)),
    )


def import_graph(part: Part) -> ImportGraph:
    """Resolve each import to the module of the tree that it reaches, or count it as outside."""
    known = {module.name for module in part.modules}
    edges: dict[str, tuple[str, ...]] = {}
    outside: Counter[str] = Counter()
    for module in part.modules:
        inside: set[str] = set()
        strangers: set[str] = set()
        for target in module.imports:
            name = target
            while name and name not in known:  # `from a.b import c`: c may be a module, or in one
                name = name.rpartition(".")[0]
            if name:
                inside.add(name)
            else:
                strangers.add(target.partition(".")[0])
        edges[module.name] = tuple(sorted(inside - {module.name}))
        outside.update(strangers)
    return ImportGraph(edges, dict(ranked(outside)))


def most_imported(graph: ImportGraph) -> tuple[tuple[str, int], ...]:
    """Modules of the tree by the number of modules that import them."""
    return ranked(Counter(target for targets in graph.edges.values() for target in targets))


def ranked(counts: Counter[str]) -> tuple[tuple[str, int], ...]:
    """Names and counts, the greatest first."""
    return tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def main(paths: list[str]) -> int:
    """Print the functions of the given files, the most complex first; this file's by default."""
    files = [os.path.abspath(path) for path in paths or [__file__]]
    part = survey(files, os.path.dirname(os.path.commonpath(files)))
    for file in part.skipped:
        print(f"{file.path}: {file.reason}", file=sys.stderr)
    for module in part.modules:
        print(f"{module.path}: {module.lines:,} lines, complexity {module.complexity:,}")
        for function in sorted(module.functions, key=lambda each: (-each.complexity, each.line)):
            print(f"  {function.complexity:>4}  line {function.line:<6} {function.name}")
    return int(bool(part.skipped))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
