"""Compiled plans as text and as drawings: SVG, Mermaid and Graphviz's DOT.

An edge says how the later node uses the earlier one's value. A dashed edge carries no value: it
orders two nodes, by `after` or because they use the same object.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from html import escape
from typing import Any, Literal, NamedTuple, get_args

from taskloom._modes import choice_so_far
from taskloom._taskloom import Pack, Plan
from taskloom.errors import OptionError
from taskloom.graph.composition import Box
from taskloom.observe.layered import layered

__all__ = ["draw", "dump"]

Format = Literal["svg", "mermaid", "dot"]

#: Of the drawing, in pixels: a letter's width, a box's height, the gaps between boxes.
LETTER, HEIGHT, GAP_ACROSS, GAP_DOWN, MARGIN = 7.5, 30, 24, 54, 16
#: The room for an edge that passes through a row of boxes.
PASS = 6
#: The room for the label of a box.
LABEL = 12


class _Edge(NamedTuple):
    before: int
    after: int
    label: str
    carries: bool


def _edges(plan: Plan) -> Iterator[_Edge]:
    facts, inferred = plan._facts, plan._inferred
    for before, after, kind in plan._edges:
        modes = [use.mode for use in facts.uses.get(after, ()) if use.source == before]
        if modes:
            yield _Edge(before, after, modes[0], True)
        elif kind == 0 and (before, after) in inferred and not _reads(plan, before, after):
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
    plan of 2 nodes and 1 edge, 1 of the nodes waiting for nothing, values in 1 slot
      0  split#0  priority 2.50  slot 0  entry
      1  sort#1  priority 1  slot 0  kept  <- split#0 (forward)
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
        f"{entries} of the nodes waiting for nothing, values in {_slots(plan)}"
    ]
    effective = plan._priorities
    if plan._preference != "depth_first":
        lines[0] += f", by {plan._preference.replace('_', ' ')}"
    choice = choice_so_far(plan)
    if choice is not None:
        lines[0] += f"; {choice}"
    kept = set(plan._kept)
    serial, parallel = plan._slots(True)[0], plan._slots(False)[0]
    width = len(str(max(len(nodes) - 1, 0)))
    for place, node in enumerate(nodes):
        line = f"  {place:>{width}}  {node.name}"
        line += f"  priority {effective[node.index]:.2f}".removesuffix(".00")
        line += f"  slot {serial[node.index]}"
        if serial[node.index] != parallel[node.index]:
            line += f"/{parallel[node.index]}"
        if node.index in kept:
            line += "  kept"
        if node.index in waits:
            line += f"  <- {', '.join(waits[node.index])}"
        else:
            line += "  entry"
        lines.append(line)
    return "\n".join(lines)


def _slots(plan: Plan) -> str:
    serial, parallel = plan._slots(True)[1], plan._slots(False)[1]
    if serial == parallel:
        return f"{serial} slot{'s' * (serial != 1)}"
    return f"{serial} slot{'s' * (serial != 1)} of a serial run or {parallel} of a parallel one"


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


def _boxes(plan: Plan) -> list[Box]:
    """The plan's subgraphs, which are boxes in a drawing; those around others come first."""
    return [box for box in plan.graph._boxes if all(index < len(plan) for index in box.members)]


def _nested(plan: Plan, open_box: Callable[[int, str], str], close_box: str) -> list[str | int]:
    """Text that opens and closes boxes, and between it the indices of nodes."""
    boxes = _boxes(plan)
    innermost: dict[int, int] = {}
    for number, box in enumerate(boxes):
        innermost.update(dict.fromkeys(box.members, number))

    def inside(number: int | None) -> list[str | int]:
        found: list[str | int] = [
            node.index for node in plan.nodes if innermost.get(node.index) == number
        ]
        for other, box in enumerate(boxes):
            if box.within == number:
                found += [open_box(other, box.label), *inside(other), close_box]
        return found

    return inside(None)


def _mermaid(plan: Plan) -> str:
    def quoted(text: str) -> str:
        return text.replace("&", "&amp;").replace('"', "&quot;").replace("\n", " ")

    lines = ["flowchart TD"]
    depth = 1
    for item in _nested(plan, lambda n, label: f'subgraph b{n}["{quoted(label)}"]', "end"):
        depth -= item == "end"
        text = item if isinstance(item, str) else f'n{item}["{quoted(plan.nodes[item].name)}"]'
        lines.append(f"{'    ' * depth}{text}")
        depth += isinstance(item, str) and item != "end"
    for edge in _edges(plan):
        arrow = "-->" if edge.carries else "-.->"
        lines.append(f"    n{edge.before} {arrow}{_mermaid_label(edge)} n{edge.after}")
    return "\n".join(lines)


def _mermaid_label(edge: _Edge) -> str:
    return "" if edge.label == "read" else f"|{edge.label}|"


def _dot(plan: Plan) -> str:
    def quoted(text: str) -> str:
        return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")

    lines = ["digraph plan {", "    node [shape=box]"]
    depth = 1
    start = 'subgraph cluster_{} {{ label="{}"'
    for item in _nested(plan, lambda n, label: start.format(n, quoted(label)), "}"):
        depth -= item == "}"
        text = (
            item if isinstance(item, str) else f'n{item} [label="{quoted(plan.nodes[item].name)}"]'
        )
        lines.append(f"{'    ' * depth}{text}")
        depth += isinstance(item, str) and item != "}"
    for edge in _edges(plan):
        style = "" if edge.carries else ", style=dashed"
        label = "" if edge.label == "read" else edge.label
        lines.append(f'    n{edge.before} -> n{edge.after} [label="{label}"{style}]')
    return "\n".join([*lines, "}"])


class _Place(NamedTuple):
    """Where a node stands in a drawing."""

    left: float
    top: float
    width: float

    @property
    def middle(self) -> float:
        return self.left + self.width / 2


def _svg(plan: Plan) -> str:
    edges = list(_edges(plan))
    box = {index: number for number, box in enumerate(_boxes(plan)) for index in box.members}
    rows, ways = layered(
        [node.index for node in plan.order], [(edge.before, edge.after) for edge in edges], box
    )
    # What is not a node is where an edge passes through a row.
    widths = {node.index: len(node.name) * LETTER + 20 for node in plan.nodes}
    for edge in edges:
        for passed, index in enumerate(ways[edge.before, edge.after][1:-1]):
            label = "" if passed or edge.label == "read" else edge.label
            widths[index] = PASS + len(label) * LETTER
    wide = [[widths[i] for i in own] for own in rows]
    lengths = [sum(own) + GAP_ACROSS * (len(own) - 1) for own in wide]
    margin = MARGIN + (2 * LABEL if box else 0)
    across = max(lengths, default=0) + 2 * margin
    down = len(rows) * HEIGHT + max(len(rows) - 1, 0) * GAP_DOWN + 2 * margin
    places: dict[int, _Place] = {}
    for number, own in enumerate(rows):
        left, top = (across - lengths[number]) / 2, margin + number * (HEIGHT + GAP_DOWN)
        for index, width in zip(own, wide[number], strict=True):
            places[index] = _Place(left, top, width)
            left += width + GAP_ACROSS
    nodes = [
        f'<rect x="{place.left:.1f}" y="{place.top}" width="{place.width:.1f}" height="{HEIGHT}" '
        'rx="5" fill="#eef3fb" stroke="#4a6fa5"/>'
        f'<text x="{place.middle:.1f}" y="{place.top + HEIGHT / 2 + 4:.1f}" '
        f'text-anchor="middle">{escape(node.name)}</text>'
        for node in plan.nodes
        for place in (places[node.index],)
    ]
    lines: list[str] = []
    labels: list[str] = []
    for edge in edges:
        way = [places[index] for index in ways[edge.before, edge.after]]
        points = [(way[0].middle, way[0].top + HEIGHT)]
        for place in way[1:-1]:
            x = place.left + PASS / 2
            points += [(x, place.top), (x, place.top + HEIGHT)]
        points.append((way[-1].middle, way[-1].top))
        dashes = "" if edge.carries else ' stroke-dasharray="4 3"'
        drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        lines.append(
            f'<polyline points="{drawn}" fill="none" stroke="#555"{dashes} '
            'marker-end="url(#arrow)"/>'
        )
        if edge.label != "read":
            # Where it passes a row, or else along the way, not at one height with its neighbours.
            (x1, y1), (x2, y2) = points[1:3] if len(way) > 2 else points
            along = 0.5 if len(way) > 2 else (0.35, 0.65)[len(labels) % 2]
            labels.append(
                f'<text x="{x1 + (x2 - x1) * along + 4:.1f}" y="{y1 + (y2 - y1) * along + 4:.1f}" '
                'font-size="11" fill="#777" stroke="#fff" stroke-width="3" paint-order="stroke">'
                f"{edge.label}</text>"
            )
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{across:.0f}" height="{down:.0f}" '
            'font-family="sans-serif" font-size="12">',
            '<defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" '
            'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="#555"/></marker></defs>',
            *_outlines(_boxes(plan), places, range(len(plan))),
            *lines,
            *labels,
            *nodes,
            "</svg>",
        ]
    )


def _depth(boxes: list[Box], number: int) -> int:
    """How many boxes there are in each other within this one."""
    inner = [_depth(boxes, other) + 1 for other, box in enumerate(boxes) if box.within == number]
    return max(inner, default=0)


def _outlines(boxes: list[Box], places: dict[int, _Place], named: range) -> Iterator[str]:
    """The boxes of subgraphs, as far as no other node stands among theirs."""
    for number, box in enumerate(boxes):
        if not box.members:
            continue
        own = [places[index] for index in box.members]
        deep = _depth(boxes, number)
        room = 7 + 5 * deep
        left = min(p.left for p in own) - room
        top = min(p.top for p in own) - room - 4 - LABEL * deep
        right = max(p.left + p.width for p in own) + room
        bottom = max(p.top + HEIGHT for p in own) + room
        members = set(box.members)
        if any(
            place.left < right
            and place.left + place.width > left
            and place.top < bottom
            and place.top + HEIGHT > top
            for index, place in places.items()
            if index in named and index not in members
        ):
            continue
        yield (
            f'<rect x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" '
            f'height="{bottom - top:.1f}" rx="8" fill="#f7f4ea" stroke="#b59f5b" '
            'stroke-dasharray="5 3"/>'
            f'<text x="{left + 6:.1f}" y="{top - 3:.1f}" fill="#8a7433" font-size="11">'
            f"{escape(box.label)}</text>"
        )
