"""Plans as text and as drawings."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
import taskloom
from taskloom import forward, take, write
from taskloom.errors import OptionError


@pytest.fixture
def plan() -> taskloom.Plan:
    g = taskloom.Graph()
    numbers = g.options(name="numbers").add(list, (3, 1))
    g.options(name="size").add(len, numbers)
    g.options(name="more").add(list.append, write(numbers), 0)
    ordered = g.options(name="ordered").add(list.sort, forward(numbers))
    last = g.options(name="text").add(str, take(ordered))
    g.options(name='a "quoted" <name>').add(print).after(last)
    return g.compile()


def test_a_dump_names_the_access_of_every_edge(plan: taskloom.Plan) -> None:
    assert plan.dump().splitlines() == [
        "plan of 6 nodes and 7 edges, 1 of the nodes waiting for nothing, "
        "values in 4 slots of a serial run or 5 of a parallel one",
        "  0  numbers  priority 6.83  slot 0  entry",
        "  1  size  priority 5.67  slot 1  kept  <- numbers (read)",
        "  2  more  priority 4.50  slot 2  kept  <- numbers (write), size (after read)",
        "  3  ordered  priority 3.33  slot 0/3  <- numbers (forward), more (same object)",
        "  4  text  priority 2.17  slot 0/3  kept  <- ordered (take)",
        '  5  a "quoted" <name>  priority 1  slot 3/4  kept  <- text (after)',
    ]


def test_mermaid_has_every_edge_once(plan: taskloom.Plan) -> None:
    lines = plan.draw("mermaid").splitlines()
    assert lines[0] == "flowchart TD"
    assert "    n0 -->|write| n2" in lines
    assert "    n1 -.->|after read| n2" in lines
    assert "    n4 -.->|after| n5" in lines
    assert '    n5["a &quot;quoted&quot; <name>"]' in lines
    assert len(lines) == 1 + 6 + 7


def test_dot_quotes_names(plan: taskloom.Plan) -> None:
    text = plan.draw("dot")
    assert 'n5 [label="a \\"quoted\\" <name>"]' in text
    assert 'n4 -> n5 [label="after", style=dashed]' in text


def test_svg_is_well_formed_and_draws_each_node_and_edge(plan: taskloom.Plan) -> None:
    root = ElementTree.fromstring(plan.draw())
    space = "{http://www.w3.org/2000/svg}"
    assert len(root.findall(f"{space}rect")) == 6
    assert len(root.findall(f"{space}polyline")) == 7


def test_the_empty_plan_can_be_drawn() -> None:
    plan = taskloom.Graph().compile()
    assert ElementTree.fromstring(plan.draw()) is not None
    assert plan.dump() == (
        "plan of 0 nodes and 0 edges, 0 of the nodes waiting for nothing, values in 0 slots"
    )


def test_an_unknown_format_is_refused(plan: taskloom.Plan) -> None:
    with pytest.raises(OptionError, match="none of 'svg', 'mermaid', 'dot'"):
        plan.draw("png")  # type: ignore[arg-type]
