"""Ids of checkpoints: UUIDs of version 6 that sort by the time they were made."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from taskloom.pregel.ids import checkpoint_id, digest, task_id

_TICKS_TO_1970 = 0x01B21DD213814000  # of 100 ns, from 1582-10-15


def test_ids_grow_however_quickly_they_are_made() -> None:
    made = [checkpoint_id() for _ in range(10_000)]
    assert made == sorted(set(made))


def test_ids_made_by_several_threads_differ() -> None:
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: [checkpoint_id() for _ in range(2_000)], range(4)))
    assert len({id for ids in made for id in ids}) == 8_000


def test_an_id_holds_its_time_and_the_number_of_its_superstep() -> None:
    before = time.time_ns() // 100
    parsed = UUID(checkpoint_id(37))
    after = time.time_ns() // 100
    assert parsed.version == 6
    assert parsed.clock_seq == 37
    high, middle, low = str(parsed).split("-")[:3]
    ticks = int(high + middle + low[1:], 16) - _TICKS_TO_1970
    assert before <= ticks <= after + 20_000  # ids made in a hurry run ahead of the clock


def test_the_number_of_a_superstep_before_the_first_fits_too() -> None:
    assert UUID(checkpoint_id(-1)).clock_seq == 0x3FFF


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_has_ids_of_its_own() -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, checkpoint_id().encode())
        os._exit(0)
    os.waitpid(child, 0)
    with open(reader) as pipe:
        os.close(writer)
        assert UUID(pipe.read()).node != UUID(checkpoint_id()).node


def test_tasks_and_questions_have_the_ids_that_langgraph_gives_them() -> None:
    start = "1f00ffbe-5368-6c0a-bfff-ac22bea4c512"
    parts = ("work", "1", "work", "__pregel_pull", "branch:to:work")
    assert task_id(start, *parts) == "83ae95b3-0e2a-f72d-05a8-0c2f0665c81e"
    assert digest("work:83ae95b3-0e2a-f72d-05a8-0c2f0665c81e") == "384643e86c4b50ab50756746d3af3334"


def test_a_checkpoint_whose_id_is_no_uuid_has_tasks_with_ids_too() -> None:
    assert UUID(task_id("first", "work")) != UUID(task_id("second", "work"))
