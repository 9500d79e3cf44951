"""Random graphs of random uses: no writer overlaps another user, and values are a serial run's.

Each graph is checked twice: by a model, for which every two uses that must not overlap have to be
ordered by a way through the plan's edges; and by running it with objects that notice overlaps.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import taskloom
from taskloom import Group, Node, copy, forward, read, take, write

SEEDS = range(25)


class Watched:
    """A number that notices when somebody changes it who is not alone with it."""

    def __init__(self, overlaps: list[str], value: int = 0) -> None:
        self.overlaps = overlaps
        self.lock = threading.Lock()
        self.readers = self.writers = 0
        self.value = value

    def read(self, *_: Any) -> int:
        with self.lock:
            self.readers += 1
            if self.writers:
                self.overlaps.append("a read beside a write")
        seen = self.value
        time.sleep(0)  # lets other threads in
        with self.lock:
            self.readers -= 1
            if self.value != seen:
                self.overlaps.append("a value that changed while it was read")
        return seen

    def write(self, number: int) -> int:
        with self.lock:
            if self.writers or self.readers:
                self.overlaps.append("a write beside another use")
            self.writers += 1
        before = self.value
        time.sleep(0)
        self.value = changed(before, number)
        with self.lock:
            self.writers -= 1
        return self.value

    def copied(self) -> Watched:
        return Watched(self.overlaps, self.read())


def changed(value: int, number: int) -> int:
    return (value * 31 + number) % 1_000_003


class Thing:
    """One object as the reference knows it: its value, and the node that stands for it now."""

    def __init__(self, node: Node[Any], value: int) -> None:
        self.node = node
        self.names = [node]
        self.value = value
        #: The nodes that use it, in order, and whether each needs it for itself.
        self.uses: list[tuple[int, bool]] = [(node.index, True)]


class Maker:
    """Grows a random graph together with what a serial run of it must give."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.graph = taskloom.Graph()
        self.overlaps: list[str] = []
        self.things: list[Thing] = []
        self.gone: list[Thing] = []
        self.expected: dict[Node[Any], int] = {}
        self.steps = [
            *[self.read] * 4,
            *[self.write] * 3,
            *[self.forward] * 2,
            *[self.copy] * 2,
            self.take,
            self.map_reads,
            self.map_writes,
            self.reduce,
            self.tree,
            self.subgraph,
        ]
        for _ in range(3):
            self.new()
        for _ in range(45):
            self.draw.choice(self.steps)()

    def view(self) -> Any:
        """The graph, or now and then a view that limits how many of its nodes run at once."""
        if self.draw.random() < 0.2:
            return self.graph.options(max_concurrency=self.draw.randint(1, 2))
        return self.graph

    def number(self) -> int:
        return self.draw.randrange(1000)

    def new(self) -> None:
        value = self.number()
        self.things.append(Thing(self.graph.add(Watched, self.overlaps, value), value))

    def pick(self) -> Thing:
        return self.draw.choice(self.things)

    def note(self, thing: Thing, node: Node[Any], alone: bool, value: int | None) -> None:
        thing.uses.append((node.index, alone))
        if value is not None:
            self.expected[node] = value

    def read(self) -> None:
        thing = self.pick()
        # Any node that ever stood for the object may be read.
        node = self.view().add(Watched.read, self.draw.choice(thing.names))
        self.note(thing, node, False, thing.value)

    def write(self) -> None:
        thing, number = self.pick(), self.number()
        thing.value = changed(thing.value, number)
        node = self.view().add(Watched.write, write(thing.node), number)
        self.note(thing, node, True, thing.value)

    def forward(self) -> None:
        thing, number = self.pick(), self.number()
        thing.value = changed(thing.value, number)
        thing.node = self.view().add(Watched.write, forward(thing.node), number)
        thing.names.append(thing.node)
        self.note(thing, thing.node, True, None)

    def copy(self) -> None:
        thing, number = self.pick(), self.number()
        node = self.view().add(Watched.write, copy(thing.node, Watched.copied), number)
        self.note(thing, node, False, changed(thing.value, number))

    def take(self) -> None:
        thing, number = self.pick(), self.number()
        node = self.view().add(Watched.write, take(thing.node), number)
        self.note(thing, node, True, changed(thing.value, number))
        self.things.remove(thing)
        self.gone.append(thing)
        self.new()

    def map_reads(self) -> None:
        some = [self.pick() for _ in range(3)]
        nodes = self.view().map(Watched.read, Group([thing.node for thing in some]))
        for thing, node in zip(some, nodes, strict=True):
            self.note(thing, node, False, thing.value)

    def map_writes(self) -> None:
        thing, numbers = self.pick(), [self.number() for _ in range(3)]
        for number, node in zip(
            numbers, self.view().map(Watched.write, write(thing.node), numbers), strict=True
        ):
            thing.value = changed(thing.value, number)
            self.note(thing, node, True, thing.value)

    def reduce(self) -> None:
        reads = []
        for thing in self.things:
            reads.append(self.graph.add(Watched.read, read(thing.node)))
            self.note(thing, reads[-1], False, None)
        total = self.view().reduce(lambda a, b: a + b, reads, split_every=self.draw.randint(2, 3))
        self.expected[total] = sum(thing.value for thing in self.things)

    def tree(self) -> None:
        thing = self.pick()
        tree = self.view().tree(thing.node)
        for _ in range(3):
            number = self.number()
            way = self.draw.choice(["read", "write", "copy", "forward"])
            if way == "read":
                node = tree.child(Watched.read).node
                self.note(thing, node, False, thing.value)
            elif way == "copy":
                node = tree.child(Watched.write, copy(tree, Watched.copied), number).node
                self.note(thing, node, False, changed(thing.value, number))
            elif way == "write":
                thing.value = changed(thing.value, number)
                node = tree.child(Watched.write, write(tree), number).node
                self.note(thing, node, True, thing.value)
            else:
                thing.value = changed(thing.value, number)
                tree = tree.child(Watched.write, forward(tree), number)
                thing.node = tree.node
                thing.names.append(tree.node)
                self.note(thing, tree.node, True, None)

    def subgraph(self) -> None:
        thing, number = self.pick(), self.number()
        inner = taskloom.Graph()
        shared = inner.resource("shared")
        before = inner.add(Watched.read, shared)
        during = inner.add(Watched.write, write(shared), number)
        after = inner.add(Watched.read, shared)
        made = self.view().subgraph(inner, shared=thing.node)
        self.note(thing, made[before], False, thing.value)
        thing.value = changed(thing.value, number)
        self.note(thing, made[during], True, thing.value)
        self.note(thing, made[after], False, thing.value)


def reachable(plan: taskloom.Plan, without: tuple[int, int] | None = None) -> list[int]:
    """For each node, as bits, the nodes that come after it whatever happens."""
    later = [0] * len(plan)
    targets: dict[int, list[int]] = {}
    for before, after, _ in plan._edges:
        if (before, after) != without:
            targets.setdefault(before, []).append(after)
    for node in reversed(plan.order):
        for target in targets.get(node.index, ()):
            later[node.index] |= later[target] | 1 << target
    return later


@pytest.fixture(scope="module")
def executors() -> Iterator[list[taskloom.Executor]]:
    made = [taskloom.Executor(workers) for workers in (1, 4)]
    yield made
    for executor in made:
        executor.shutdown()


def must_be_ordered(made: Maker) -> list[tuple[int, int]]:
    """The pairs of uses of one object of which one needs it for itself, the first one first."""
    return [
        (first, second)
        for thing in made.things + made.gone
        for place, (first, alone) in enumerate(thing.uses)
        for second, also in thing.uses[place + 1 :]
        if alone or also
    ]


@pytest.mark.parametrize("seed", SEEDS)
def test_uses_that_must_not_overlap_are_ordered_by_the_plan(seed: int) -> None:
    made = Maker(seed)
    later = reachable(made.graph.compile())
    pairs = must_be_ordered(made)
    assert len(pairs) > 100
    assert [(first, second) for first, second in pairs if not later[first] >> second & 1] == []


@pytest.mark.parametrize("seed", SEEDS)
def test_the_model_misses_each_edge_that_an_access_mode_made(seed: int) -> None:
    made = Maker(seed)
    plan = made.graph.compile()
    pairs, noticed = must_be_ordered(made), 0
    for edge in sorted(plan._inferred)[::5]:
        later = reachable(plan, without=edge)
        if later[edge[0]] >> edge[1] & 1:
            continue  # There is a longer way, too.
        noticed += 1
        assert any(not later[first] >> second & 1 for first, second in pairs), edge
    assert noticed > 3


@pytest.mark.parametrize("seed", SEEDS)
def test_runs_see_no_overlap_and_give_the_values_of_a_serial_reference(
    executors: list[taskloom.Executor], seed: int
) -> None:
    made = Maker(seed)
    plan = made.graph.compile(keep=list(made.expected))
    for executor in executors:
        runs = [executor.run(plan), executor.start(plan).result()]
        runs.append(executor.run(plan, mode="serial"))
        for run in runs:
            assert {node: run[node] for node in made.expected} == made.expected
    assert made.overlaps == []


def test_a_watched_object_notices_overlaps() -> None:
    seen: list[str] = []
    watched = Watched(seen)
    watched.readers = 1
    watched.write(1)
    watched.readers, watched.writers = 0, 1
    watched.read()
    assert seen == ["a write beside another use", "a read beside a write"]
