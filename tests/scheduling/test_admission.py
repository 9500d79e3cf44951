from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from taskloom.scheduling.admission import Admission
from taskloom.scheduling.resources import Limit, Resources


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_does_not_fit_does_not_block_what_fits_behind_it() -> None:
    admission = Admission[str]({"cpu": 4, "memory": 100})
    assert admission.offer("a", Resources(cpu=3))
    assert not admission.offer("needs too much now", Resources(cpu=2))
    assert admission.offer("fits", Resources(cpu=1, memory=50))
    assert admission.release(Resources(cpu=3)) == ["needs too much now"]


def test_the_large_one_is_not_starved_by_small_ones() -> None:
    admission = Admission[int]({"cpu": 4}, patience=5)
    small, large = Resources(cpu=1), Resources(cpu=4)
    running = [n for n in range(4) if admission.offer(n, small)]
    assert not admission.offer(-1, large)
    # Small ones keep coming: each that ends is followed by another.
    for number in range(4, 100):
        admission.offer(number, small)
        running.pop()
        admitted = admission.release(small)
        if -1 in admitted:
            break
        running += admitted
    else:
        pytest.fail("the large task starved")
    assert number <= 4 + 5 + 4
    assert admission.in_use == {"cpu": 4}


def test_a_claim_leaves_alone_what_needs_other_resources() -> None:
    admission = Admission[str]({"cpu": 2, "licences": 1}, patience=0)
    assert admission.offer("running", Resources(cpu=1))
    assert not admission.offer("large", Resources(cpu=2))
    assert not admission.offer("would put it off", Resources(cpu=1))
    assert admission.offer("needs another resource", Resources(licences=1))


def test_the_more_urgent_of_two_held_tasks_goes_first() -> None:
    admission = Admission[str]({"cpu": 1})
    one = Resources(cpu=1)
    assert admission.offer("running", one)
    assert not admission.offer("normal", one, rank=4)
    assert not admission.offer("urgent", one, rank=0)
    assert not admission.offer("urgent but smaller", Resources(cpu=0.5), rank=1)
    assert admission.release(one) == ["urgent"]
    assert admission.release(one) == ["urgent but smaller"]


@pytest.mark.parametrize(
    ("needs", "message"),
    [
        (Resources(cpu=3), r"needs cpu=3, but there is only 2"),
        (Resources(gpus=1), r"no resource is named 'gpus'; there are: cpu, gpu"),
    ],
)
def test_needs_that_could_never_be_met_are_refused(needs: Resources, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Admission[str]({"cpu": 2, "gpu": 1}).offer("x", needs)


def test_a_withdrawn_task_is_not_admitted_any_more() -> None:
    admission = Admission[str]({"cpu": 1})
    one = Resources(cpu=1)
    admission.offer("running", one)
    admission.offer("cancelled", one)
    admission.offer("next", one)
    assert admission.withdraw("cancelled", one)
    assert not admission.withdraw("cancelled", one)
    assert admission.release(one) == ["next"]


def test_a_rate_lets_held_tasks_in_as_time_goes_by() -> None:
    clock = Clock()
    admission = Admission[int]({})
    needs = Resources(Limit("api", rate=2.0, clock=clock))
    assert [admission.offer(n, needs) for n in range(3)] == [True, False, False]
    assert admission.ready_in() == pytest.approx(0.5)
    assert admission.poll() == []
    clock.now = 0.5
    assert admission.poll() == [1]
    clock.now = 1.0
    assert admission.poll() == [2]
    assert admission.ready_in() is None


def test_waiting_for_a_rate_reserves_nothing_else() -> None:
    admission = Admission[str]({"cpu": 2}, patience=0)
    slow = Resources(Limit("api", rate=0.1, clock=Clock()), cpu=1)
    assert admission.offer("first call", slow)
    assert not admission.offer("second call", slow)
    admission.release(slow)
    assert admission.offer("one", Resources(cpu=1))
    assert admission.offer("two", Resources(cpu=1))


def test_a_limit_holds_across_executors_and_wakes_the_other_one() -> None:
    gpu = Limit("gpu", 1)
    admitted: list[str] = []
    here = Admission[str]({})
    there = Admission[str]({}, on_admitted=admitted.extend)
    assert here.offer("here", Resources(gpu))
    assert not there.offer("there", Resources(gpu))
    assert here.release(Resources(gpu)) == []
    assert admitted == ["there"]


def test_a_task_that_cannot_have_all_its_limits_takes_none() -> None:
    gpu, api = Limit("gpu", 1), Limit("api", 1)
    admission = Admission[str]({})
    assert api.acquire_nowait()
    assert not admission.offer("both", Resources(gpu, api))
    assert gpu.in_use == 0
    api.release()
    assert admission.poll() == ["both"]


def test_draining_gives_the_held_tasks_up_in_order() -> None:
    admission = Admission[str]({"cpu": 1})
    admission.offer("running", Resources(cpu=1))
    admission.offer("second", Resources(cpu=1), rank=4)
    admission.offer("first", Resources(cpu=0.5), rank=1)
    assert admission.drain() == ["first", "second"]
    assert admission.held == 0


NEEDS: list[Callable[[Limit], Resources]] = [
    lambda limit: Resources(cpu=1),
    lambda limit: Resources(cpu=0.1),
    lambda limit: Resources(cpu=4),
    lambda limit: Resources(memory=60),
    lambda limit: Resources(cpu=2, memory=100),
    Resources,
    lambda limit: Resources(limit, cpu=3),
]


class AnyOrder(RuleBasedStateMachine):
    """Whatever comes and goes in whatever order."""

    @initialize(patience=st.integers(0, 5))
    def start(self, patience: int) -> None:
        self.limit = Limit("limit", 2)
        self.admission = Admission[int]({"cpu": 4.0, "memory": 100.0}, patience=patience)
        self.needs: dict[int, Resources] = {}
        self.running: list[int] = []
        self.held: list[int] = []

    def admit(self, items: list[int]) -> None:
        for item in items:
            self.held.remove(item)
            self.running.append(item)

    @rule(kind=st.sampled_from(NEEDS), rank=st.integers(0, 7))
    def offer(self, kind: Callable[[Limit], Resources], rank: int) -> None:
        item = len(self.needs)
        self.needs[item] = kind(self.limit)
        admitted = self.admission.offer(item, self.needs[item], rank=rank)
        (self.running if admitted else self.held).append(item)

    @precondition(lambda self: self.running)
    @rule(choice=st.integers(0, 1000))
    def finish(self, choice: int) -> None:
        item = self.running.pop(choice % len(self.running))
        self.admit(self.admission.release(self.needs[item]))

    @precondition(lambda self: self.held)
    @rule(choice=st.integers(0, 1000))
    def cancel(self, choice: int) -> None:
        item = self.held.pop(choice % len(self.held))
        assert self.admission.withdraw(item, self.needs[item])
        self.admit(self.admission.poll())

    @invariant()
    def nothing_is_used_that_is_not_there(self) -> None:
        for name, capacity in (("cpu", 4), ("memory", 100)):
            used = sum(self.needs[item].amounts.get(name, 0) for item in self.running)
            assert used <= capacity + 1e-6
            assert self.admission.in_use[name] == pytest.approx(used)
        assert self.limit.in_use <= 2

    @invariant()
    def nothing_is_lost(self) -> None:
        assert self.admission.held == len(self.held)

    @invariant()
    def something_runs_while_anything_is_held(self) -> None:
        assert self.running or not self.held

    def teardown(self) -> None:
        if not hasattr(self, "admission"):
            return
        while self.running:
            self.finish(0)
        assert not self.held


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
