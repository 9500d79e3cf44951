"""Access modes: who runs before whom, who gets which object, and what is refused."""

from __future__ import annotations

import random
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import taskloom
from taskloom import Copy, Forward, Take, Write, copy, forward, read, take, write
from taskloom.errors import GraphError, ValueFreedError


class Thing:
    """Something that a weak reference can follow."""

    def __init__(self, *items: int) -> None:
        self.items = list(items)


@pytest.fixture(params=["serial", "parallel"])
def run(request: pytest.FixtureRequest) -> Callable[..., taskloom.Run]:
    def go(target: Any, **options: Any) -> taskloom.Run:
        return taskloom.run(target, mode=request.param, **options)

    return go


def test_a_writer_comes_between_earlier_and_later_readers(run: Any) -> None:
    g = taskloom.Graph()
    x = g.add(list, (1, 2))
    before = g.add(len, x)
    g.add(list.append, write(x), 3)
    after = g.add(len, x)
    got = run(g)
    assert (got[before], got[after]) == (2, 3)


def test_writers_keep_their_order(run: Any) -> None:
    g = taskloom.Graph()
    x = g.add(list)
    for number in range(20):
        g.add(list.append, write(x), number)
    last = g.add(tuple, x)
    assert run(g)[last] == tuple(range(20))


def test_a_forwarding_node_stands_for_the_object(run: Any) -> None:
    g = taskloom.Graph()
    x = g.add(list, (3, 1, 2))
    ordered = g.add(list.sort, forward(x))
    first = g.add(lambda items: items[0], ordered)
    got = run(g)
    assert got[first] == 1


def test_users_of_the_first_name_come_after_the_forward(run: Any) -> None:
    g = taskloom.Graph()
    x = g.add(list, (3, 1, 2))
    g.add(list.sort, forward(x))
    seen = g.add(tuple, x)
    assert run(g)[seen] == (1, 2, 3)


def test_a_copy_leaves_the_original_alone(run: Any) -> None:
    g = taskloom.Graph()
    x = g.add(lambda: [[1]])
    mine = g.add(lambda mine: mine[0].append(2) or mine, copy(x))
    rest = g.add(lambda original: original, x)
    got = run(g)
    assert (got[mine], got[rest]) == ([[1, 2]], [[1]])


def test_a_copier_may_be_given(run: Any) -> None:
    g = taskloom.Graph()
    x = g.add(lambda: [[1]])
    mine = g.add(lambda mine: mine, copy(x, list))
    inner = g.add(lambda original: original, x)
    got = run(g)
    assert got[mine] is not got[inner]
    assert got[mine][0] is got[inner][0]


def test_a_taker_has_the_last_reference(run: Any) -> None:
    followed: list[weakref.ref[Thing]] = []

    def make() -> Thing:
        thing = Thing()
        followed.append(weakref.ref(thing))
        return thing

    def swallow(first: int, thing: Thing, *, last: Any = None) -> bool:
        assert followed[-1]() is not None
        del thing
        return followed[-1]() is None

    g = taskloom.Graph()
    x = g.add(make)
    g.add(lambda thing: thing.items, x)
    node = g.add(swallow, 1, take(x), last=[g.add(int)])
    other = g.add(make)
    keyword = g.add(swallow, 1, thing=take(other), last=2)
    plan = g.compile()
    for _ in range(2):
        got = run(plan)
        assert (got[node], got[keyword]) == (True, True)


def test_a_taker_has_the_last_reference_though_all_values_are_kept(run: Any) -> None:
    followed: list[weakref.ref[Thing]] = []

    def make() -> Thing:
        thing = Thing()
        followed.append(weakref.ref(thing))
        return thing

    def swallow(thing: Thing) -> bool:
        del thing
        return followed[-1]() is None

    g = taskloom.Graph()
    x = g.add(make)
    same = g.add(lambda thing: None, forward(x))
    node = g.add(swallow, take(same))
    got = run(g.compile(slots="one_to_one"))
    assert got[node] is True
    with pytest.raises(ValueFreedError, match="was taken by its last user"):
        got[x]


def test_modes_may_stand_in_annotations(run: Any) -> None:
    def fill(target: Write[list[int]], number: int) -> None:
        target.append(number)

    def order(target: Forward[list[int]]) -> None:
        target.sort()

    def changed(mine: Copy[list[int]]) -> list[int]:
        mine.clear()
        return mine

    def empty(target: Take[list[int]]) -> int:
        return len(target)

    g = taskloom.Graph()
    x = g.add(list, (5,))
    g.add(fill, x, 4)
    ordered = g.add(order, x)
    cleared = g.add(changed, ordered)
    snapshot = g.add(tuple, ordered)
    count = g.add(empty, ordered)
    got = run(g)
    assert (got[cleared], got[snapshot], got[count]) == ([], (4, 5), 2)


def test_a_mode_at_the_call_overrules_the_annotation() -> None:
    def fill(target: Write[list[int]]) -> int:
        return len(target)

    g = taskloom.Graph()
    x = g.add(list)
    g.add(fill, read(x))
    g.add(fill, read(x))
    assert g.compile()._edges == [(0, 1, 0), (0, 2, 0)]


def test_a_failed_writer_skips_later_users(run: Any) -> None:
    g = taskloom.Graph()
    x = g.add(list)
    g.options(name="bad").add(list.remove, write(x), 7)
    later = g.add(len, x)
    got = run(g, check=False)
    assert [node.name for node in got.why(later).chain][1:] == ["bad"]


def test_a_failed_reader_does_not_keep_the_writer_from_running(run: Any) -> None:
    g = taskloom.Graph()
    x = g.add(list)
    g.add(lambda items: items[0], x)
    g.add(list.append, write(x), 1)
    later = g.add(len, x)
    got = run(g, check=False)
    assert got[later] == 1
    assert len(got.exceptions()) == 1


def test_a_use_after_a_take_is_refused_with_what_would_mend_it() -> None:
    g = taskloom.Graph()
    x = g.options(name="x").add(list)
    g.options(name="eater").add(len, take(x))
    g.options(name="late").add(len, x)
    with pytest.raises(GraphError, match=r"'late' is to read .* 'x' after 'eater' .* copy\("):
        g.compile()


def test_two_takers_are_refused() -> None:
    g = taskloom.Graph()
    x = g.options(name="x").add(list)
    g.options(name="one").add(len, take(x))
    g.options(name="two").add(len, take(x))
    with pytest.raises(GraphError, match="'one' and 'two' both take the value of 'x'"):
        g.compile()


def test_a_write_past_the_node_that_stands_for_the_object_is_refused() -> None:
    g = taskloom.Graph()
    x = g.options(name="x").add(list)
    g.options(name="now").add(list.sort, forward(x))
    g.add(list.clear, write(x))
    with pytest.raises(GraphError, match=r"'now' stands for that object .* use write\(now\)"):
        g.compile()


@pytest.mark.parametrize("mode", [write, forward, take])
def test_constants_are_not_written_to(mode: Any) -> None:
    with pytest.raises(GraphError, match="a constant of the graph is the same object"):
        taskloom.Graph().add(list.clear, mode([1]))


def test_one_call_does_not_write_what_it_also_reads() -> None:
    g = taskloom.Graph()
    x = g.add(list)
    with pytest.raises(GraphError, match="by another argument too"):
        g.add(list.extend, write(x), x)


def test_one_call_does_not_write_what_it_also_reads_under_another_name() -> None:
    g = taskloom.Graph()
    x = g.add(list)
    same = g.add(list.sort, forward(x))
    g.add(list.extend, write(same), x)
    with pytest.raises(GraphError, match="use the same object twice"):
        g.compile()


def test_a_mode_inside_a_container_is_refused() -> None:
    g = taskloom.Graph()
    x = g.add(list)
    g.add(len, [write(x)])
    with pytest.raises(GraphError, match="an access mode inside a container"):
        g.compile()


def test_a_retry_of_a_writer_needs_retry_safe() -> None:
    g = taskloom.Graph()
    x = g.add(list)
    g.options(retry=2).add(list.clear, write(x))
    with pytest.raises(GraphError, match="retry_safe=True"):
        g.compile()
    g = taskloom.Graph()
    x = g.add(list)
    g.options(retry=2, retry_safe=True).add(list.clear, write(x))
    assert taskloom.run(g).ok


def test_a_writer_that_may_not_have_the_value_for_itself_is_refused() -> None:
    g = taskloom.Graph()
    x = g.add(list)
    g.options(place="process").add(list.clear, write(x))
    with pytest.raises(GraphError, match="writes to its argument 0"):
        g.compile()


def test_keeping_a_value_that_is_taken_is_refused() -> None:
    g = taskloom.Graph()
    x = g.add(list)
    g.add(len, take(x))
    with pytest.raises(GraphError, match="is taken in the end"):
        g.compile(keep=[x])


class Watched:
    """A list that notices when a writer is not alone, or values differ from a serial run."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.readers = self.writers = 0
        self.value = 0
        self.overlaps: list[str] = []

    def read(self) -> int:
        with self.lock:
            self.readers += 1
            if self.writers:
                self.overlaps.append("read beside a write")
        seen = self.value
        sum(range(200))
        with self.lock:
            self.readers -= 1
            if self.value != seen:
                self.overlaps.append("changed while read")
        return seen

    def write(self, number: int) -> int:
        with self.lock:
            if self.writers or self.readers:
                self.overlaps.append("write beside another use")
            self.writers += 1
        sum(range(200))
        self.value = (self.value * 31 + number) % 1_000_003
        with self.lock:
            self.writers -= 1
        return self.value


@pytest.mark.parametrize("seed", range(15))
def test_random_uses_never_overlap_and_give_the_values_of_a_serial_reference(seed: int) -> None:
    draw = random.Random(seed)
    g = taskloom.Graph()
    names = [g.add(Watched) for _ in range(3)]
    roots = list(names)
    reference = [0, 0, 0]
    expected: dict[taskloom.Node[Any], int] = {}
    for number in range(60):
        which = draw.randrange(3)
        mode = draw.choice(["read", "read", "write", "forward"])
        target = names[which]
        if mode == "read":
            expected[g.add(Watched.read, draw.choice([target, roots[which]]))] = reference[which]
            continue
        reference[which] = (reference[which] * 31 + number) % 1_000_003
        if mode == "write":
            expected[g.add(Watched.write, write(target), number)] = reference[which]
        else:
            names[which] = g.add(Watched.write, forward(target), number)
    with taskloom.Executor(3) as executor:
        got = executor.run(g.compile(slots="one_to_one"))
    assert {node: got[node] for node in expected} == expected
    assert [got[root].overlaps for root in roots] == [[], [], []]


RETRIED: dict[str, Any] = {"retry": 2, "retry_safe": True}


@pytest.mark.parametrize("mode", ["serial", "parallel"])
@pytest.mark.parametrize("options", [{}, RETRIED, {"max_concurrency": 1}, {"place": "caller"}])
def test_a_node_may_forward_any_of_its_arguments(mode: Any, options: dict[str, Any]) -> None:
    def fill(numbers: list[int], box: list[int], *, more: list[int]) -> str:
        box += numbers + more
        return "not the value"

    g = taskloom.Graph()
    numbers, box, more = (g.add(list, [n]) for n in range(3))
    by_position = g.options(**options).add(fill, numbers, forward(box), more=more)
    by_name = g.options(**options).add(fill, [7], by_position, more=forward(more))
    in_list = g.options(**options).add(fill, [numbers], forward(by_position), more=[8])
    plan = g.compile(keep=[by_position, by_name])
    run = taskloom.run(plan, mode=mode)
    assert run[by_position] is run[in_list]
    assert run[in_list] == [1, 0, 2, 7, 2, [0], 8]
    assert run[by_name] == [2]


@pytest.mark.parametrize("mode", ["serial", "parallel"])
def test_a_forwarding_node_may_ask_for_another_attempt(mode: Any) -> None:
    asked: list[int] = []

    def twice(box: list[int]) -> None:
        asked.append(len(box))
        if len(asked) % 2:
            raise taskloom.RetryTask

    g = taskloom.Graph()
    box = g.add(twice, forward(g.add(list, "ab")))
    size = g.add(len, box)
    assert taskloom.run(g, mode=mode)[size] == 2
    assert asked == [2, 2]


@pytest.mark.parametrize("mode", ["serial", "parallel"])
@pytest.mark.parametrize(
    "options", [{}, {"max_concurrency": 1}, {"resources": taskloom.Resources(cpu=0.5)}]
)
def test_a_node_that_forwards_may_not_spawn(mode: Any, options: dict[str, Any]) -> None:
    def spawn(_: list[int]) -> taskloom.Spawn:
        inner = taskloom.Graph()
        return taskloom.Spawn(inner, inner.add(int))

    g = taskloom.Graph()
    view = g.options(**options)
    nodes = [view.add(spawn, forward(g.add(list))) for _ in range(2)]
    run = taskloom.run(g, mode=mode, check=False)
    assert all("stands for its argument" in str(run.exceptions()[node]) for node in nodes)
