"""State graphs as SVG: rows by the longest way from the start, edges that go back beside them."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, NamedTuple

from taskloom.observe.layered import layered
from taskloom.pregel.constants import END, START

if TYPE_CHECKING:
    from taskloom.pregel.draw import Drawing, DrawnEdge

_LETTER, _HEIGHT, _ACROSS, _DOWN, _MARGIN = 7.2, 30, 28, 46, 24
_PASS = 12  # width of a place where an edge passes a row
_ASIDE = 26  # between the ways of edges that go back


class _Place(NamedTuple):
    left: float
    top: float
    width: float

    @property
    def middle(self) -> float:
        return self.left + self.width / 2


def draw_svg(drawing: Drawing) -> str:
    """The graph as an SVG picture; dashed edges may be taken or not."""
    names = list(drawing.nodes)
    number = {name: index for index, name in enumerate(names)}
    edges = [e for e in drawing.edges if e.source in number and e.target in number]
    order = _order(names, edges)
    at = {name: index for index, name in enumerate(order)}
    onward = [e for e in edges if at[e.source] < at[e.target]]
    back = [e for e in edges if at[e.source] >= at[e.target]]
    pairs = list(dict.fromkeys((number[e.source], number[e.target]) for e in onward))
    rows, ways = layered([number[name] for name in order], pairs)
    places, across, down = _placed(drawing, names, rows)
    lines: list[str] = []
    labels: list[str] = []
    for edge in onward:
        way = [places[index] for index in ways[number[edge.source], number[edge.target]]]
        points = [(way[0].middle, way[0].top + _HEIGHT)]
        for place in way[1:-1]:
            points += [(place.middle, place.top), (place.middle, place.top + _HEIGHT)]
        points.append((way[-1].middle, way[-1].top))
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        lines.append(_line(path, edge))
        (x1, y1), (x2, y2) = points[:2]
        labels += _label(edge, (x1 + x2) / 2 + 4, (y1 + y2) / 2 + 4)
    left, right = 0.0, across
    for edge in back:
        source, target = places[number[edge.source]], places[number[edge.target]]
        y1, y2 = source.top + _HEIGHT / 2 + 6, target.top + _HEIGHT / 2 - 6
        room = _ASIDE + len(edge.data or "") * 6
        if source is target:
            x1 = x2 = source.left + source.width
            turn = x1 + 2 * _ASIDE
            right = max(right, turn)
        elif source.middle <= across / 2:
            x1, x2 = source.left, target.left
            left = turn = left - room
        else:
            x1, x2 = source.left + source.width, target.left + target.width
            right = turn = right + room
        path = f"M{x1:.1f} {y1:.1f}C{turn:.1f} {y1:.1f} {turn:.1f} {y2:.1f} {x2:.1f} {y2:.1f}"
        lines.append(_line(path, edge))
        labels += _label(edge, x2 + (turn - x2) * 0.75 + 4, (y1 + y2) / 2 + 4)
    width, height = right - left, down
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
            f'viewBox="{left:.0f} 0 {width:.0f} {height:.0f}" '
            'font-family="sans-serif" font-size="12">',
            '<defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" '
            'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="#555"/></marker></defs>',
            f'<rect x="{left:.0f}" width="{width:.0f}" height="{height:.0f}" fill="#fff"/>',
            *lines,
            *(_box(drawing, name, places[number[name]]) for name in names),
            *labels,
            "</svg>",
        ]
    )


def _order(names: Sequence[str], edges: Sequence[DrawnEdge]) -> list[str]:
    """The nodes, each before those that it leads to, but for edges that close a cycle."""
    targets: dict[str, list[str]] = {name: [] for name in names}
    for edge in edges:
        targets[edge.source].append(edge.target)
    finished: list[str] = []
    seen: set[str] = set()
    for root in names:
        stack = [(root, iter(targets[root]))] if root not in seen else []
        seen.add(root)
        while stack:
            name, rest = stack[-1]
            following = next((other for other in rest if other not in seen), None)
            if following is None:
                finished.append(name)
                stack.pop()
            else:
                seen.add(following)
                stack.append((following, iter(targets[following])))
    order = finished[::-1]
    if END in order:  # nothing follows it
        order.remove(END)
        order.append(END)
    return order


def _placed(
    drawing: Drawing, names: Sequence[str], rows: Sequence[Sequence[int]]
) -> tuple[dict[int, _Place], float, float]:
    def width(index: int) -> float:
        if index >= len(names):
            return _PASS
        name = names[index]
        longest = max(len(name), len(drawing.nodes[name].note))
        return longest * _LETTER + 22

    lengths = [sum(map(width, row)) + _ACROSS * (len(row) - 1) for row in rows]
    across = max(lengths, default=0) + 2 * _MARGIN
    places: dict[int, _Place] = {}
    for depth, row in enumerate(rows):
        left, top = (across - lengths[depth]) / 2, _MARGIN + depth * (_HEIGHT + _DOWN)
        for index in row:
            places[index] = _Place(left, top, width(index))
            left += width(index) + _ACROSS
    return places, across, len(rows) * (_HEIGHT + _DOWN) - _DOWN + 2 * _MARGIN


def _line(path: str, edge: DrawnEdge) -> str:
    dashes = ' stroke-dasharray="4 3"' if edge.conditional else ""
    return f'<path d="{path}" fill="none" stroke="#555"{dashes} marker-end="url(#arrow)"/>'


def _label(edge: DrawnEdge, x: float, y: float) -> list[str]:
    if not edge.data:
        return []
    return [
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="11" fill="#777" stroke="#fff" '
        f'stroke-width="3" paint-order="stroke">{escape(edge.data)}</text>'
    ]


def _box(drawing: Drawing, name: str, place: _Place) -> str:
    end = drawing.nodes[name].name in (START, END)
    note = drawing.nodes[name].note
    fill, stroke = ("#fff", "#999") if end else ("#eef3fb", "#4a6fa5")
    middle = place.top + _HEIGHT / 2 + (-2 if note else 4)
    text = (
        f'<rect x="{place.left:.1f}" y="{place.top:.1f}" width="{place.width:.1f}" '
        f'height="{_HEIGHT}" rx="{_HEIGHT / 2 if end else 5:.0f}" fill="{fill}" stroke="{stroke}"/>'
        f'<text x="{place.middle:.1f}" y="{middle:.1f}" text-anchor="middle">'
        f"{escape(name)}</text>"
    )
    if note:
        text += (
            f'<text x="{place.middle:.1f}" y="{middle + 12:.1f}" text-anchor="middle" '
            f'font-size="9" fill="#b05a00">{escape(note)}</text>'
        )
    return text
