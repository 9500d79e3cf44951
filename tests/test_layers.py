"""Imports run downward only: between the units of the package, and between the modules of a crate.

A unit is a module or package right under `taskloom`. Imports inside functions count like those at
the top; imports under `if TYPE_CHECKING:` do not, for they never run. Inside a package there is no
table, but no circle either.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "python" / "taskloom"

# Lowest first. A unit may import only what stands before it.
PYTHON_LAYERS = (
    "_typing",
    "_taskloom",
    "errors",
    "_asynchrony",
    "flow",
    "_bridge",
    "_mapping",
    "_forking",
    "_owed",
    "_generators",
    "_workers",
    "_waits",
    "_remote",
    "current",
    "_ambient",
    "retry",
    "task",
    "catch",
    "access",
    "plan",
    "_modes",
    "graph",
    "scheduling",
    "observe",
    "places",
    "run",
    "_launch",
    "spawn",
    "_resolving",
    "_held",
    "_attempts",
    "_submission",
    "view",
    "_observed",
    "_running",
    "executor",
    "_default",
    "channel",
    "scope",
    "pregel",
    "adapters",
    "backends",
    "testing",
    "cli",
    "__main__",
)

# Lowest first, one table per crate. A module may use only what stands before it.
RUST_LAYERS = {
    "core": (
        "sync",
        "clock",
        "histogram",
        "slab",
        "stats",
        "trace",
        "latch",
        "completion",
        "cancel",
        "note",
        "timer",
        "ready",
        "job",
        "injector",
        "sleep",
        "pool",
        "plan",
        "run",
        "channel",
    ),
    "python": (
        "errors",
        "flow",
        "method",
        "call",
        "sharing",
        "spare",
        "context",
        "handles",
        "timer",
        "cells",
        "options",
        "ready",
        "tracing",
        "future",
        "pool",
        "submitter",
        "plan",
        "run",
        "coro",
        "superstep",
        "attempt",
        "record",
        "packing",
        "patch",
        "outline",
        "chain",
        "stored",
        "ids",
    ),
}


# Uses that name a type of a layer above and nothing else, with the reason each is borne.
RUST_TYPE_ONLY = {
    ("core", "job", "pool"): "a job is executed with the worker that it runs on",
}


def python_files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def module_name(file: Path) -> str:
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(file): file for file in python_files()}


def is_module(name: str) -> bool:
    return name in MODULES or name == "taskloom._taskloom"


class ImportFinder(ast.NodeVisitor):
    """Collects what a module imports from the package, with line numbers."""

    def __init__(self, name: str, file: Path) -> None:
        self.package = name if file.name == "__init__.py" else name.rpartition(".")[0]
        self.found: list[tuple[str, int]] = []

    def visit_If(self, node: ast.If) -> None:
        test = ast.unparse(node.test)
        if test not in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}:
            self.generic_visit(node)
            return
        for statement in node.orelse:
            self.visit(statement)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.add(alias.name, node.lineno)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        base = node.module or ""
        if node.level:
            parents = self.package.split(".")
            above = ".".join(parents[: len(parents) - node.level + 1])
            base = f"{above}.{base}" if base else above
        for alias in node.names:
            inner = f"{base}.{alias.name}"
            self.add(inner if is_module(inner) else base, node.lineno)

    def visit_Call(self, node: ast.Call) -> None:
        called = ast.unparse(node.func)
        if called in {"importlib.import_module", "import_module", "__import__"} and node.args:
            first = node.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                self.add(first.value, node.lineno)
        self.generic_visit(node)

    def add(self, name: str, line: int) -> None:
        if name == "taskloom" or name.startswith("taskloom."):
            self.found.append((name, line))


def imports_of(name: str) -> list[tuple[str, int]]:
    file = MODULES[name]
    finder = ImportFinder(name, file)
    finder.visit(ast.parse(file.read_text(), str(file)))
    return finder.found


def unit_of(name: str) -> str:
    return name.split(".")[1] if "." in name else ""


def circle_in(edges: dict[str, set[str]]) -> list[str] | None:
    """One circle of a directed graph, as the names along it, or None."""
    done: set[str] = set()

    def search(node: str, path: list[str]) -> list[str] | None:
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return None
        for following in sorted(edges.get(node, ())):
            circle = search(following, [*path, node])
            if circle:
                return circle
        done.add(node)
        return None

    return next((circle for root in sorted(edges) if (circle := search(root, []))), None)


def test_every_python_unit_has_its_layer() -> None:
    units = {unit_of(name) for name in MODULES} - {""}
    missing = sorted(units - set(PYTHON_LAYERS))
    assert not missing, (
        f"no layer is given for {', '.join('taskloom.' + unit for unit in missing)}: add the name "
        "to PYTHON_LAYERS in tests/test_layers.py, just above the highest unit that it imports, "
        "and to the table in docs/design.md"
    )


@pytest.mark.parametrize("name", sorted(set(MODULES) - {"taskloom"}))
def test_python_imports_run_downward(name: str) -> None:
    unit, file = unit_of(name), MODULES[name].relative_to(ROOT)
    if unit not in PYTHON_LAYERS:
        pytest.fail(f"taskloom.{unit} has no layer in tests/test_layers.py")
    upward: list[str] = []
    for target, line in imports_of(name):
        other = unit_of(target)
        if other == unit:
            continue
        if other == "":
            upward.append(
                f"{file}:{line} imports from the front door `taskloom`; import from the module "
                "that defines the name"
            )
        elif other not in PYTHON_LAYERS:
            upward.append(f"{file}:{line} imports {target}, which is no module of the package")
        elif PYTHON_LAYERS.index(other) > PYTHON_LAYERS.index(unit):
            upward.append(
                f"{file}:{line} imports {target}, a layer above taskloom.{unit}; move the shared "
                "part down, hand the object in, or use `if TYPE_CHECKING:` for an annotation"
            )
    assert not upward, "\n".join(upward)


def test_design_page_lists_every_layer() -> None:
    text = (ROOT / "docs" / "design.md").read_text()
    section = text.partition("## Layers")[2].partition("\n## ")[0]
    listed = set(re.findall(r"`([^`]+)`", section))
    missing = {*PYTHON_LAYERS, *(name for names in RUST_LAYERS.values() for name in names)} - listed
    assert not missing, f"docs/design.md, Layers, says nothing of {', '.join(sorted(missing))}"


def test_python_modules_import_in_no_circle() -> None:
    edges = {name: {target for target, _ in imports_of(name)} - {name} for name in MODULES}
    edges.pop("taskloom")
    circle = circle_in(edges)
    assert circle is None, "modules import each other in a circle: " + " -> ".join(circle or [])


# Files of a crate that only its tests compile.
FOR_TESTS = re.compile(r"(^|_)(loom|tests?|models?)$|^loom_")


def rust_modules(crate: str) -> dict[str, list[Path]]:
    """The modules right under a crate's root, with their files."""
    source = ROOT / "rust" / crate / "src"
    found: dict[str, list[Path]] = {}
    for file in sorted(source.rglob("*.rs")):
        first = file.relative_to(source).parts[0].removesuffix(".rs")
        if first != "lib" and not FOR_TESTS.search(file.stem):
            found.setdefault(first, []).append(file)
    return found


def without_tests_and_comments(text: str) -> str:
    """Rust source less its comments and less the inline modules that only tests compile."""
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    text = re.sub(r"//[^\n]*", "", text)
    return re.sub(
        r"^#\[cfg\((?:test|all\(.*?test.*?\))\)\]\n(?:#\[[^\n]*\]\n)*(?:pub )?mod \w+ \{.*?^\}",
        "",
        text,
        flags=re.M | re.S,
    )


def top_names(group: str) -> set[str]:
    """The first names inside the braces of `use crate::{a::b, c::{d, e}}`."""
    depth, flat = 0, ""
    for letter in group:
        depth += (letter == "{") - (letter == "}")
        if depth == 0 and letter != "}":
            flat += letter
    return {part.strip().split("::")[0].split(" ")[0] for part in flat.split(",") if part.strip()}


def rust_uses(file: Path, source: Path) -> set[str]:
    text = without_tests_and_comments(file.read_text())
    names = set(re.findall(r"\bcrate::(\w+)", text))
    for match in re.finditer(r"\bcrate::\{", text):
        depth, end = 1, match.end()
        while depth:
            depth += (text[end] == "{") - (text[end] == "}")
            end += 1
        names |= top_names(text[match.end() : end - 1])
    if file.parent == source:
        names |= set(re.findall(r"^(?:pub(?:\(\w+\))? )?use super::(\w+)", text, flags=re.M))
    return names


def rust_edges(crate: str) -> dict[str, set[str]]:
    source, modules = ROOT / "rust" / crate / "src", rust_modules(crate)
    edges = {
        name: ({used for file in files for used in rust_uses(file, source)} & set(modules)) - {name}
        for name, files in modules.items()
    }
    for _, name, used in (key for key in RUST_TYPE_ONLY if key[0] == crate):
        edges.get(name, set()).discard(used)
    return edges


@pytest.mark.parametrize("crate", sorted(RUST_LAYERS))
def test_every_rust_module_has_its_layer(crate: str) -> None:
    missing = sorted(set(rust_modules(crate)) - set(RUST_LAYERS[crate]))
    assert not missing, (
        f"no layer is given for the module(s) {', '.join(missing)} of rust/{crate}: add the name "
        "to RUST_LAYERS in tests/test_layers.py, just above the highest module that it uses, and "
        "to the table in docs/design.md"
    )


@pytest.mark.parametrize("crate", sorted(RUST_LAYERS))
def test_rust_modules_use_downward(crate: str) -> None:
    order = RUST_LAYERS[crate]
    upward = [
        f"rust/{crate}: {name} uses crate::{used}, a layer above it; move the shared part down or "
        "hand it in through a trait"
        for name, uses in rust_edges(crate).items()
        for used in sorted(uses)
        if name in order and used in order and order.index(used) > order.index(name)
    ]
    assert not upward, "\n".join(upward)


@pytest.mark.parametrize("crate", sorted(RUST_LAYERS))
def test_rust_modules_use_each_other_in_no_circle(crate: str) -> None:
    circle = circle_in(rust_edges(crate))
    assert circle is None, f"rust/{crate}: a circle of modules: " + " -> ".join(circle or [])


def test_atomics_and_locks_of_the_core_come_from_sync() -> None:
    """Loom can explore only what goes through the shim.

    Counts and the clock's rate are no protocol: nothing is published through them, and loom's
    atomics would only multiply the interleavings of the models that count something. Reference
    counts may be std's as well: loom's cannot hold a trait object.
    """
    no_protocol = {"clock", "histogram", "stats"}
    counts = r"(?!::(?:Arc|Weak)\b|::\{(?:Arc|Weak)(?:, (?:Arc|Weak))?\})"
    pattern = re.compile(
        rf"\bstd::(?:sync\b{counts}|thread\b)|\bparking_lot::|\bloom::|\bcore::sync::"
    )
    around = []
    for name, files in rust_modules("core").items():
        if name == "sync" or name in no_protocol:
            continue
        for file in files:
            for number, line in enumerate(
                without_tests_and_comments(file.read_text()).splitlines(), 1
            ):
                if pattern.search(line):
                    around.append(f"{file.relative_to(ROOT)} (about line {number}): {line.strip()}")
    assert not around, "take it from crate::sync instead:\n" + "\n".join(around)
