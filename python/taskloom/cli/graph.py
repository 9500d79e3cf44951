"""`taskloom graph`: draws the graph, plan or state graph of a file."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from taskloom._taskloom import Plan
from taskloom.cli.problem import UsageProblem
from taskloom.cli.target import choose, from_module, load, split_target

_ENDINGS = {".mmd": "mermaid", ".md": "mermaid", ".dot": "dot", ".gv": "dot", ".svg": "svg"}


def _state_graph(module: ModuleType, name: str | None, file: Path) -> Any:
    """The compiled state graph that is meant, or None: then it is a task graph, or nothing."""
    if "taskloom.pregel.graph.state" not in sys.modules:
        return None  # The file has imported none.
    from taskloom.pregel.graph.compiled import CompiledStateGraph
    from taskloom.pregel.graph.state import StateGraph

    if name is not None:
        chosen = choose(module, name, file)
    else:
        values = vars(module).values()
        found = [value for value in values if isinstance(value, StateGraph | CompiledStateGraph)]
        chosen = found[-1] if found else None
    if isinstance(chosen, StateGraph):
        return chosen.compile()
    return chosen if isinstance(chosen, CompiledStateGraph) else None


def draw(target: str, words: Sequence[str], format: str) -> str:
    """The drawing of `FILE[:NAME]`: "mermaid", "dot", "svg" or "text"."""
    file, name = split_target(target)
    module = load(file)
    state_graph = _state_graph(module, name, file)
    if state_graph is None:
        graph = from_module(module, target, words)
        plan = graph if isinstance(graph, Plan) else graph.compile()
        return plan.dump() if format == "text" else plan.draw(format)  # type: ignore[arg-type]
    if words:
        raise UsageProblem(f"{target} is a state graph, which takes no arguments ({words[0]})")
    if format not in ("mermaid", "dot"):
        raise UsageProblem(f"a state graph is drawn as mermaid or dot, not as {format}")
    drawing = state_graph.get_graph()
    return str(drawing.draw_mermaid() if format == "mermaid" else drawing.draw_dot())


def graph(target: str, words: Sequence[str], *, format: str | None, output: str | None) -> int:
    """Draw `FILE[:NAME]` to standard output, or to the file `output`; returns 0."""
    if format is None:
        ending = "" if output is None else Path(output).suffix
        format = _ENDINGS.get(ending, "mermaid" if output is None else "")
        if not format:
            raise UsageProblem(
                f"{output}: the ending says no format; give one of {', '.join(_ENDINGS)}, or "
                "--format"
            )
    text = draw(target, words, format)
    if output is None:
        print(text)
    else:
        Path(output).write_text(f"{text}\n", encoding="utf-8")
        print(f"written to {output}")
    return 0
