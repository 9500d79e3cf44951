"""Which modules of the standard library the others lean on: page rank over who imports whom.

    python examples/pagerank.py             the 15 modules of greatest rank
    python examples/pagerank.py --large     the same programme on a random graph of a million edges

The small graph is ranked vertex by vertex in plain Python; the large one on arrays (needs numpy).
"""

from __future__ import annotations

import argparse
import ast
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

from taskloom.pregel.vertex import connected_components, pagerank


def imports_of(file: Path) -> set[str]:
    """The top-level names of the modules that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            found.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module.partition(".")[0])
    return found


def import_graph(folder: Path) -> dict[str, set[str]]:
    """For each module right in the folder, those of its neighbours that it imports."""
    modules = {file.stem: file for file in folder.glob("*.py")}
    return {name: imports_of(file) & modules.keys() - {name} for name, file in modules.items()}


def lines_of_the_library(limit: int) -> Iterator[str]:
    graph = import_graph(Path(sysconfig.get_paths()["stdlib"]))
    ranks = pagerank(graph)
    imported_by = dict.fromkeys(graph, 0)
    for targets in graph.values():
        for target in targets:
            imported_by[target] += 1
    parts = set(connected_components(graph).values())
    yield f"{len(graph)} modules, {sum(map(len, graph.values()))} imports, {len(parts)} islands"
    for name in sorted(ranks, key=lambda name: (-ranks[name], name))[:limit]:
        yield f"{ranks[name]:8.4f}  {name:<14} imported by {imported_by[name]}"


def lines_of_a_large_graph(vertices: int, edges: int) -> Iterator[str]:
    import numpy as np
    from taskloom.pregel.vertex import EdgeList

    random = np.random.default_rng(0)
    # Targets crowd towards small numbers, as links crowd on few pages.
    targets = (vertices * random.random(edges) ** 3).astype(int)
    graph = EdgeList(random.integers(0, vertices, edges), targets, vertices=vertices)
    began = time.perf_counter()
    ranks = pagerank(graph, iterations=10, tolerance=0.0)
    seconds = time.perf_counter() - began
    yield f"{vertices:,} vertices, {edges:,} edges, 10 iterations: {seconds:.2f} s"
    yield f"the sum of all ranks is {ranks.sum():.6f}; first is vertex {ranks.argmax()}"


def main() -> None:
    parser = argparse.ArgumentParser(description="page rank with vertex programmes")
    parser.add_argument("--limit", type=int, default=15, help="how many modules to list")
    parser.add_argument("--large", action="store_true", help="a random graph instead")
    options = parser.parse_args()
    lines = (
        lines_of_a_large_graph(100_000, 1_000_000)
        if options.large
        else lines_of_the_library(options.limit)
    )
    for line in lines:
        print(line)


if __name__ == "__main__":
    main()
