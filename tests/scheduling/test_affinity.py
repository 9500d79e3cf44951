from __future__ import annotations

import os
import threading
import warnings

import pytest
from taskloom.scheduling import affinity
from taskloom.scheduling.affinity import Realtime, pin_thread
from taskloom.scheduling.cpus import usable_cpus

needs_affinity = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="this system has no processor affinity"
)


@pytest.fixture(autouse=True)
def forget_warnings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(affinity, "_warned", set())


@needs_affinity
def test_pinning_a_thread_leaves_the_others_where_they_are() -> None:
    before = usable_cpus()
    seen: list[tuple[int, ...]] = []

    def pinned() -> None:
        assert pin_thread(before[:1])
        seen.append(usable_cpus())

    thread = threading.Thread(target=pinned)
    thread.start()
    thread.join()
    assert seen == [before[:1]]
    assert usable_cpus() == before


@needs_affinity
def test_processors_that_do_not_exist_are_warned_about_once() -> None:
    with pytest.warns(RuntimeWarning, match="the process may use"):
        assert not pin_thread([100_000])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not pin_thread([100_000])


@pytest.mark.skipif(not hasattr(os, "sched_setscheduler"), reason="no scheduling classes here")
def test_refused_realtime_is_warned_about_with_what_would_help(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(pid: int, policy: int, param: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    with pytest.warns(RuntimeWarning, match="CAP_SYS_NICE"):
        assert not Realtime("fifo", 10).apply()


@pytest.mark.skipif(not hasattr(os, "sched_setscheduler"), reason="no scheduling classes here")
def test_realtime_asks_for_its_class_and_priority(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []

    def record(pid: int, policy: int, param: os.sched_param) -> None:
        asked.append((policy & ~os.SCHED_RESET_ON_FORK, param.sched_priority))

    monkeypatch.setattr(os, "sched_setscheduler", record)
    assert Realtime("rr", 20).apply()
    assert asked == [(os.SCHED_RR, 20)]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("fifo", Realtime("fifo", 1)),
        ("rr:20", Realtime("rr", 20)),
        (["fifo", 5], Realtime("fifo", 5)),
    ],
)
def test_realtime_has_a_notation_for_configuration(written: object, meant: Realtime) -> None:
    assert Realtime.parse(written) == meant


@pytest.mark.parametrize("written", ["soft", "fifo:0", "rr:100", "fifo:x", "a:b:c", 3])
def test_what_is_no_realtime_class_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="real-time"):
        Realtime.parse(written)


def test_realtime_is_immutable() -> None:
    with pytest.raises(AttributeError):
        Realtime("fifo", 1).priority = 2  # type: ignore[misc]
