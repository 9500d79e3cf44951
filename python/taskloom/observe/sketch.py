"""Boxes and arrows as SVG, Mermaid and Graphviz's DOT: for whatever is a graph.

Arrows lead from a box to a later one, or back: then they are drawn beside.
"""

from __future__ import annotations

from html import escape
from typing import Literal, NamedTuple, final, get_args

from taskloom.errors import OptionError
from taskloom.observe.layered import layered

__all__ = ["Arrow", "Sketch", "draw_sketch"]

Format = Literal["svg", "mermaid", "dot"]

#: Of the drawing, in pixels: a letter's width, a box's height, the gaps between boxes.
LETTER, HEIGHT, GAP_ACROSS, GAP_DOWN, MARGIN = 7.5, 30, 24, 54, 16


@final
class Arrow(NamedTuple):
    """From one box to another, by their places; a label may be empty.

    >>> Arrow(0, 1).solid
    True
    """

    before: int
    after: int
    label: str = ""
    solid: bool = True


@final
class Sketch(NamedTuple):
    """What is drawn: boxes by name, arrows between their places.

    >>> len(Sketch("plan", ("a", "b"), (Arrow(0, 1),)).boxes)
    2
    """

    title: str
    boxes: tuple[str, ...]
    arrows: tuple[Arrow, ...]


def draw_sketch(sketch: Sketch, format: Format = "svg") -> str:
    """The text of a file in that format; raises `OptionError` for any other.

    >>> print(draw_sketch(Sketch("plan", ("a", "b"), (Arrow(0, 1, "after", False),)), "mermaid"))
    flowchart TD
        n0["a"]
        n1["b"]
        n0 -.->|after| n1
    """
    if format not in get_args(Format):
        raise OptionError(f"format={format!r} is none of 'svg', 'mermaid', 'dot'")
    if format == "mermaid":
        return _mermaid(sketch)
    return _dot(sketch) if format == "dot" else _svg(sketch)


def _mermaid(sketch: Sketch) -> str:
    lines = ["flowchart TD"]
    for place, box in enumerate(sketch.boxes):
        name = box.replace("&", "&amp;").replace('"', "&quot;").replace("\n", " ")
        lines.append(f'    n{place}["{name}"]')
    for before, after, label, solid in sketch.arrows:
        said = f"|{label}|" if label else ""
        lines.append(f"    n{before} {'-->' if solid else '-.->'}{said} n{after}")
    return "\n".join(lines)


def _dot(sketch: Sketch) -> str:
    lines = [f"digraph {sketch.title} {{", "    node [shape=box]"]
    for place, box in enumerate(sketch.boxes):
        name = box.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
        lines.append(f'    n{place} [label="{name}"]')
    for before, after, label, solid in sketch.arrows:
        style = "" if solid else ", style=dashed"
        lines.append(f'    n{before} -> n{after} [label="{label}"{style}]')
    return "\n".join([*lines, "}"])


def _svg(sketch: Sketch) -> str:
    count = len(sketch.boxes)
    # An arrow that leads back is drawn, and moves nothing.
    forward = {(arrow.before, arrow.after) for arrow in sketch.arrows if arrow.before < arrow.after}
    found, _ = layered(range(count), sorted(forward))
    rows = [[box for box in row if box < count] for row in found]
    widths = [len(box) * LETTER + 20 for box in sketch.boxes]
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
                f"{escape(sketch.boxes[index])}</text>"
            )
            left += width + GAP_ACROSS
    lines = []
    for start, end, label, solid in sketch.arrows:
        (x1, y1), (x2, y2) = middle[start], middle[end]
        half = HEIGHT / 2 if y2 >= y1 else -HEIGHT / 2
        y1, y2 = y1 + half, y2 - half
        if half < 0:  # beside the arrow that it answers
            x1, x2 = x1 + 10, x2 + 10
        dashes = "" if solid else ' stroke-dasharray="4 3"'
        lines.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#555"{dashes} '
            'marker-end="url(#arrow)"/>'
        )
        if label:
            lines.append(
                f'<text x="{(x1 + x2) / 2 + 4:.1f}" y="{(y1 + y2) / 2:.1f}" fill="#777">'
                f"{escape(label)}</text>"
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
