"""The pictures of docs/graphs.md show the graphs that they are said to show."""

from __future__ import annotations

from collections import Counter
from xml.etree import ElementTree

import draw_pictures
import pytest


def shown(svg: str) -> tuple[Counter[str | None], int]:
    """The texts of a picture, and how many edges it has."""
    space = "{http://www.w3.org/2000/svg}"
    root = ElementTree.fromstring(svg)
    texts = Counter(element.text for element in root.findall(f"{space}text"))
    return texts, len(root.findall(f"{space}polyline"))


@pytest.mark.parametrize("name", sorted(draw_pictures.GRAPHS))
def test_the_picture_shows_its_graph(name: str) -> None:
    drawn = draw_pictures.GRAPHS[name]().compile().draw()
    kept = (draw_pictures.PICTURES / f"{name}.svg").read_text()
    assert shown(kept) == shown(drawn), "run tools/draw_pictures.py and commit docs/pictures/"


def test_every_picture_has_a_graph() -> None:
    stale = {file.stem for file in draw_pictures.PICTURES.glob("*.svg")} - {*draw_pictures.GRAPHS}
    assert not stale
