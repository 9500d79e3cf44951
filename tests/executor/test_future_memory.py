"""Where futures lie, and what is freed with them."""

from __future__ import annotations

import gc
import sys
import sysconfig
import weakref

import pytest
from taskloom import Executor, Future

OWN_CELLS = sys.version_info >= (3, 12) and not sysconfig.get_config_var("Py_GIL_DISABLED")


class Thing:
    """Something that weak references can point to."""


def promise_of(value: object) -> Future[object]:
    future: Future[object] = Future()
    future.set_result(value)
    return future


@pytest.mark.skipif(not OWN_CELLS, reason="futures lie in the interpreter's memory here")
def test_futures_take_no_memory_from_the_interpreter_s_allocator() -> None:
    futures: list[object] = [None] * 10_000
    before = sys.getallocatedblocks()
    for index in range(len(futures)):
        futures[index] = Future()
    assert sys.getallocatedblocks() - before < 1_000


@pytest.mark.parametrize("inputs", [0, 1, 5, 30])
def test_futures_of_any_size_keep_their_inputs_apart(inputs: int) -> None:
    def take(*values: int) -> tuple[int, ...]:
        return values

    with Executor(1, max_queue_depth=None) as executor:
        calls = [tuple(range(start, start + inputs)) for start in range(2_000)]
        futures = [executor.submit(take, *call) for call in calls]
        assert [future.result() for future in futures] == calls


def test_long_chain_of_results_is_freed_without_exhausting_the_stack() -> None:
    chain = promise_of(None)
    ends = weakref.ref(chain)
    for _ in range(100_000):
        chain = promise_of(chain)
    del chain
    assert ends() is None


def test_long_chain_of_futures_and_lists_is_freed_without_exhausting_the_stack() -> None:
    chain = promise_of(None)
    ends = weakref.ref(chain)
    for _ in range(50_000):
        chain = promise_of([chain])
    del chain
    assert ends() is None


def test_attributes_of_a_future_go_with_it() -> None:
    future, thing = promise_of(1), Thing()
    future.thing = thing  # type: ignore[attr-defined]
    gone = weakref.ref(thing)
    del thing
    assert gone() is not None
    del future
    assert gone() is None


def test_dictionary_of_a_future_outlives_it() -> None:
    future = promise_of(1)
    attributes = future.__dict__
    future.mark = 1  # type: ignore[attr-defined]
    del future
    assert attributes == {"mark": 1}


def test_weak_reference_to_a_future_is_told_when_it_goes() -> None:
    future = promise_of(1)
    told: list[object] = []
    reference = weakref.ref(future, told.append)
    del future
    assert told == [reference]
    assert reference() is None


def test_outcome_goes_with_its_future() -> None:
    thing = Thing()
    gone = weakref.ref(thing)
    future = promise_of([thing])
    del thing
    assert gone() is not None
    del future
    assert gone() is None


def test_future_in_a_cycle_with_its_result_is_collected() -> None:
    cycle: list[object] = []
    cycle.append(promise_of(cycle))
    gone = weakref.ref(cycle[0])
    del cycle
    gc.collect()
    assert gone() is None


def test_finalizer_that_somebody_gives_the_class_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[object] = []
    monkeypatch.setattr(Future, "__del__", lambda _: ended.append(True), raising=False)
    promise_of(1)
    assert ended == [True]
