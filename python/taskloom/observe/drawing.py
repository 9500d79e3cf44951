"""Compiled plans as text and as drawings: SVG, Mermaid and Graphviz's DOT.

An edge says how the later node uses the earlier one's value. A dashed edge carries no value: it
orders two nodes, by `after` or because they use the same object.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any, Literal, NamedTuple, get_args

from taskloom._taskloom import Pack, Plan
from taskloom.errors import OptionError

__all__ = ["draw", "dump"]

Format = Literal["svg", "mermaid", "dot"]

#: Of the drawing, in pixels: a letter's width, a box's height, the gaps between boxes.
LETTER, HEIGHT, GAP_ACROSS, GAP_DOWN, MARGIN = 7.5, 30, 24, 54, 16


class _Edge(NamedTuple):
    before: int
    after: int
    label: str
    carries: bool


def _edges(plan: Plan) -> Iterator[_Edge]:
    facts = plan._facts
    for before, after, kind in plan._edges:
        modes = [use.mode for use in facts.uses.get(after, ()) if use.source == before]
        if modes:
            yield _Edge(before, after, modes[0], True)
        elif kind == 0 and (before, after) in facts.inferred and not _reads(plan, before, after):
            yield _Edge(before, after, "same object", False)
        elif kind == 0:
            yield _Edge(before, after, "read", True)
        else:
            yield _Edge(before, after, "after" if kind == 1 else "after read", False)


def _reads(plan: Plan, before: int, after: int) -> bool:
    source = plan.nodes[before]
    node = plan.nodes[after]

    def holds(value: Any) -> bool:
        if isinstance(value, Pack):
            return holds(value._content)
        if isinstance(value, (list, tuple)):
            return any(map(holds, value))
        if isinstance(value, dict):
            return any(map(holds, (*value, *value.values())))
        return value is source

    return holds(node.args) or holds(node.kwargs)


def dump(plan: Plan) -> str:
    """The compiled plan as text: its nodes in the order of a serial run, and what each waits for.

    >>> import taskloom
    >>> from taskloom.observe.drawing import dump
    >>> g = taskloom.Graph()
    >>> words = g.add(str.split, "b a")
    >>> _ = g.add(list.sort, taskloom.forward(words))
    >>> print(dump(g.compile()))
    plan of 2 nodes and 1 edge, 1 of the nodes waiting for nothing
      0  split#0  priority 2.50
      1  sort#1  priority 1  kept  <- split#0 (forward)
    """
    waits: dict[int, list[str]] = {}
    count = 0
    for edge in _edges(plan):
        waits.setdefault(edge.after, []).append(f"{plan.nodes[edge.before].name} ({edge.label})")
        count += 1
    nodes = plan.order
    entries = sum(node.index not in waits for node in nodes)
    lines = [
        f"plan of {len(nodes)} node{'s' * (len(nodes) != 1)} and {count} edge{'s' * (count != 1)}, "
        f"{entries} of the nodes waiting for nothing"
    ]
    effective = plan._priorities
    if plan._preference != "depth_first":
        lines[0] += f", by {plan._preference.replace('_', ' ')}"
    kept = set(plan._kept)
    width = len(str(max(len(nodes) - 1, 0)))
    for place, node in enumerate(nodes):
        line = f"  {place:>{width}}  {node.name}"
        line += f"  priority {effective[node.index]:.2f}".removesuffix(".00")
        if node.index in kept:
            line += "  kept"
        if node.index in waits:
            line += f"  <- {', '.join(waits[node.index])}"
        lines.append(line)
    return "\n".join(lines)


def draw(plan: Plan, format: Format = "svg") -> str:
    """The plan as a drawing: the text of an SVG, Mermaid or DOT file.

    Raises `OptionError` for any other format.

    >>> import taskloom
    >>> from taskloom.observe.drawing import draw
    >>> g = taskloom.Graph()
    >>> words = g.add(str.split, "b a")
    >>> _ = g.add(list.sort, taskloom.forward(words))
    >>> print(draw(g.compile(), "mermaid"))
    flowchart TD
        n0["split#0"]
        n1["sort#1"]
        n0 -->|forward| n1
    """
    if format not in get_args(Format):
        raise OptionError(f"format={format!r} is none of 'svg', 'mermaid', 'dot'")
    if format == "mermaid":
        return _mermaid(plan)
    return _dot(plan) if format == "dot" else _svg(plan)


def _mermaid(plan: Plan) -> str:
    lines = ["flowchart TD"]
    for node in plan.nodes:
        name = node.name.replace("&", "&amp;").replace('"', "&quot;").replace("\n", " ")
        lines.append(f'    n{node.index}["{name}"]')
    for edge in _edges(plan):
        arrow = "-->" if edge.carries else "-.->"
        lines.append(f"    n{edge.before} {arrow}{_mermaid_label(edge)} n{edge.after}")
    return "\n".join(lines)


def _mermaid_label(edge: _Edge) -> str:
    return "" if edge.label == "read" else f"|{edge.label}|"


def _dot(plan: Plan) -> str:
    lines = ["digraph plan {", "    node [shape=box]"]
    for node in plan.nodes:
        name = node.name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
        lines.append(f'    n{node.index} [label="{name}"]')
    for edge in _edges(plan):
        style = "" if edge.carries else ", style=dashed"
        label = "" if edge.label == "read" else edge.label
        lines.append(f'    n{edge.before} -> n{edge.after} [label="{label}"{style}]')
    return "\n".join([*lines, "}"])


def _svg(plan: Plan) -> str:
    """Nodes stand in rows by their longest way from a node that waits for nothing."""
    edges = list(_edges(plan))
    before: dict[int, list[int]] = {}
    for edge in edges:
        before.setdefault(edge.after, []).append(edge.before)
    row: dict[int, int] = {}
    rows: list[list[int]] = []
    for node in plan.order:
        place = max((row[source] + 1 for source in before.get(node.index, ())), default=0)
        row[node.index] = place
        if place == len(rows):
            rows.append([])
        rows[place].append(node.index)
    widths = [len(node.name) * LETTER + 20 for node in plan.nodes]
    lengths = [sum(widths[i] for i in own) + GAP_ACROSS * (len(own) - 1) for own in rows]
    across = max(lengths, default=0) + 2 * MARGIN
    down = len(rows) * HEIGHT + max(len(rows) - 1, 0) * GAP_DOWN + 2 * MARGIN
    middle: dict[int, tuple[float, float]] = {}
    boxes: list[str] = []
    for place, own in enumerate(rows):
        left, top = (across - lengths[place]) / 2, MARGIN + place * (HEIGHT + GAP_DOWN)
        for index in own:
            width = widths[index]
            middle[index] = x, y = left + width / 2, top + HEIGHT / 2
            boxes.append(
                f'<rect x="{left:.1f}" y="{top}" width="{width:.1f}" height="{HEIGHT}" rx="5" '
                'fill="#eef3fb" stroke="#4a6fa5"/>'
                f'<text x="{x:.1f}" y="{y + 4:.1f}" text-anchor="middle">'
                f"{escape(plan.nodes[index].name)}</text>"
            )
            left += width + GAP_ACROSS
    lines = []
    for edge in edges:
        (x1, y1), (x2, y2) = middle[edge.before], middle[edge.after]
        y1, y2 = y1 + HEIGHT / 2, y2 - HEIGHT / 2
        dashes = "" if edge.carries else ' stroke-dasharray="4 3"'
        lines.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#555"{dashes} '
            'marker-end="url(#arrow)"/>'
        )
        if edge.label != "read":
            lines.append(
                f'<text x="{(x1 + x2) / 2 + 4:.1f}" y="{(y1 + y2) / 2:.1f}" fill="#777">'
                f"{edge.label}</text>"
            )
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{across:.0f}" height="{down:.0f}" '
            'font-family="sans-serif" font-size="12">',
            '<defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" '
            'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="#555"/></marker></defs>',
            *lines,
            *boxes,
            "</svg>",
        ]
    )
