"""Options and settings of a seeded executor do in virtual time what they do in real time."""

from __future__ import annotations

import concurrent.futures

import pytest
from taskloom import CancelScope, Limit, Resources, Retry, current_task
from taskloom.errors import Cancelled, DeadlineMissed, QueueFull
from taskloom.testing import SeededExecutor, SeededFuture, explore

SEEDS = range(20)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_timeout_ends_the_future_while_the_call_goes_on(seed: int) -> None:
    with SeededExecutor(seed) as executor:
        clock = executor.clock

        def deaf() -> None:
            with CancelScope(shield=True):
                clock.sleep(60)

        future = executor.options(timeout=5, name="slow").submit(deaf)
        with pytest.raises(TimeoutError, match="task 'slow' ran longer than its timeout of 5"):
            future.result()
        assert clock.now() == 5
    assert clock.now() == 60


@pytest.mark.parametrize("seed", SEEDS)
def test_a_timeout_asks_the_task_to_stop(seed: int) -> None:
    heard: list[float] = []
    with SeededExecutor(seed) as executor:
        clock = executor.clock

        def work() -> None:
            try:
                clock.sleep(60)
            except Cancelled:
                heard.append(clock.now())
                raise

        executor.options(timeout=5).submit(work)
    assert heard == [5]
    assert clock.now() == 5


@pytest.mark.parametrize("seed", SEEDS)
def test_needs_are_held_until_the_call_has_left(seed: int) -> None:
    with SeededExecutor(seed, resources={"gpu": 1}) as executor:
        clock = executor.clock
        view = executor.options(resources=Resources(gpu=1))

        def deaf() -> None:
            with CancelScope(shield=True):
                clock.sleep(60)

        late = view.options(timeout=5).submit(deaf)
        after = executor.options(after=[late], on_error="continue").submit(clock.now)
        other = view.options(priority=-1).submit(clock.now)
        assert other.result() == 60
        assert after.cancelled()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_running_task_is_asked_to_stop_and_says_so(seed: int) -> None:
    with SeededExecutor(seed) as executor:
        future = executor.submit(executor.clock.sleep, 60)
        executor.clock.sleep(5)
        assert future.cancel() is False
        executor.run_until_idle()
        assert future.cancelled()
        assert executor.clock.now() == 5


@pytest.mark.parametrize("seed", SEEDS)
def test_cancelling_a_parent_cancels_what_it_submitted(seed: int) -> None:
    children: list[SeededFuture[None]] = []
    with SeededExecutor(seed) as executor:
        clock = executor.clock

        def parent() -> None:
            children.append(executor.submit(clock.sleep, 60))
            children.append(executor.options(after=children[:1]).submit(clock.sleep, 60))
            clock.sleep(60)

        future = executor.submit(parent)
        clock.sleep(5)
        future.cancel()
    assert future.cancelled()
    assert [child.cancelled() for child in children] == [True, True]
    assert clock.now() == 5


def test_the_jitter_of_a_retry_is_the_seeds() -> None:
    def delay(seed: int) -> float:
        with SeededExecutor(seed) as executor:
            moments: list[float] = []

            def flaky() -> None:
                moments.append(executor.clock.now())
                if len(moments) < 2:
                    raise OSError

            executor.options(retry=Retry(2, delay=10, jitter=0.5)).submit(flaky).result()
        return moments[1]

    delays = [delay(seed) for seed in SEEDS]
    assert delays == [delay(seed) for seed in SEEDS]
    assert len(set(delays)) == len(SEEDS)
    assert all(5 <= seconds <= 10 for seconds in delays)


def test_a_timeout_counts_from_the_start_of_the_task() -> None:
    with SeededExecutor(1, default_timeout=5) as executor:
        clock = executor.clock
        before = executor.options(timeout=None).submit(clock.sleep, 60)
        assert executor.options(after=[before]).submit(clock.sleep, 4).result() is None


@pytest.mark.parametrize("seed", SEEDS)
def test_a_retry_waits_its_delays_in_virtual_time(seed: int) -> None:
    moments: list[float] = []
    with SeededExecutor(seed) as executor:

        def flaky() -> str:
            moments.append(executor.clock.now())
            if len(moments) < 3:
                raise OSError
            return "done"

        retry = Retry(5, delay=10, backoff=2)
        assert executor.options(retry=retry).submit(flaky).result() == "done"
    assert moments == [0, 10, 30]


def test_no_attempt_is_made_after_the_deadline() -> None:
    with SeededExecutor(1) as executor:

        def failing() -> None:
            raise OSError("not there")

        view = executor.options(retry=Retry(5, delay=10), deadline=15)
        with pytest.raises(OSError, match="not there"):
            view.submit(failing).result()
        assert executor.clock.now() == 10


@pytest.mark.parametrize(
    ("overdue", "order"), [("first", ["late", "urgent"]), ("skip", ["urgent"])]
)
def test_a_late_task_goes_first_or_not_at_all(overdue: str, order: list[str]) -> None:
    done: list[str] = []
    with SeededExecutor(1, overdue=overdue) as executor:  # type: ignore[arg-type]
        late = executor.options(deadline=5, name="late", priority=-3).submit(done.append, "late")
        urgent = executor.options(priority=4).submit(done.append, "urgent")
        executor.clock._jump(6)
        executor.run_until_idle()
        assert urgent.done()
        if overdue == "skip":
            assert isinstance(late.exception(), DeadlineMissed)
    assert done == order


def test_a_late_task_runs_in_its_turn_where_it_is_only_reported() -> None:
    done: list[str] = []
    with SeededExecutor(1, overdue="report") as executor:
        executor.options(deadline=5, priority=-3).submit(done.append, "late")
        executor.options(priority=4).submit(done.append, "urgent")
        executor.clock._jump(6)
    assert done == ["urgent", "late"]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_earliest_deadline_of_a_band_goes_first(seed: int) -> None:
    done: list[int] = []
    with SeededExecutor(seed) as executor:
        for deadline in (30, 10, 20):
            executor.options(deadline=deadline).submit(done.append, deadline)
    assert done == [10, 20, 30]


def test_a_running_task_ends_at_its_deadline() -> None:
    with SeededExecutor(1) as executor:
        future = executor.options(deadline=5).submit(executor.clock.sleep, 60)
        assert isinstance(future.exception(), DeadlineMissed)
        assert executor.clock.now() == 5


def test_those_after_a_failure_that_lets_them_go_on_run() -> None:
    with SeededExecutor(1) as executor:
        failed = executor.options(on_error="continue").submit(int, "x")
        assert executor.options(after=[failed]).submit(int).result() == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_tasks_with_needs_never_share_more_than_there_is(seed: int) -> None:
    inside = most = 0
    with SeededExecutor(seed, resources={"gpu": 2}) as executor:

        def use() -> None:
            nonlocal inside, most
            inside += 1
            most = max(most, inside)
            executor.clock.sleep(1)
            inside -= 1

        view = executor.options(resources=Resources(gpu=1))
        for future in [view.submit(use) for _ in range(6)]:
            future.result()
        assert executor.clock.now() == 3
    assert most == 2


def test_a_rate_is_kept_in_virtual_time() -> None:
    executor = SeededExecutor(1)
    api = Limit("api", rate=1.0, clock=executor.clock.now)
    with executor:
        view = executor.options(resources=Resources(api))
        moments = [view.submit(executor.clock.now) for _ in range(3)]
        assert [moment.result() for moment in moments] == pytest.approx([0, 1, 2])


def test_a_full_queue_refuses() -> None:
    with SeededExecutor(1, max_queue_depth=1, when_full="reject") as executor:
        executor.submit(int)
        with pytest.raises(QueueFull, match="max_queue_depth=1"):
            executor.submit(int)


def test_a_full_queue_makes_room_by_running_what_waits() -> None:
    with SeededExecutor(1, max_queue_depth=1) as executor:
        first = executor.submit(int)
        executor.submit(int)
        assert first.done()


def test_a_task_that_submits_is_never_refused() -> None:
    with SeededExecutor(1, max_queue_depth=1, when_full="reject") as executor:

        def parent() -> int:
            return sum(future.result() for future in executor.submit_many(abs, [1, -2, 3]))

        assert executor.submit(parent).result() == 6


def test_the_oldest_task_goes_for_a_new_one() -> None:
    with SeededExecutor(1, max_queue_depth=2, when_full="drop_oldest") as executor:
        futures = [executor.submit(int) for _ in range(3)]
        assert isinstance(futures[0].exception(), QueueFull)
        assert [future.result() for future in futures[1:]] == [0, 0]


def test_the_least_urgent_task_goes_even_if_it_is_the_new_one() -> None:
    with SeededExecutor(1, max_queue_depth=1, when_full="drop_lowest") as executor:
        low = executor.options(priority=-1).submit(int)
        high = executor.options(priority=1).submit(int)
        lower = executor.options(priority=0).submit(int)
        assert isinstance(low.exception(), QueueFull)
        assert isinstance(lower.exception(), QueueFull)
        assert high.result() == 0


def test_a_thousand_seeds_explore_limits_retries_and_a_full_queue() -> None:
    def programme(executor: SeededExecutor) -> None:
        clock = executor.clock
        tries: list[float] = []

        def flaky() -> str:
            tries.append(clock.now())
            clock.sleep(2)
            if len(tries) < 2:
                raise OSError
            return "done"

        retried = executor.options(retry=Retry(3, delay=1)).submit(flaky)
        slow = executor.options(timeout=4).submit(clock.sleep, 5)
        quick = executor.options(timeout=4).submit(clock.sleep, 3)
        after = executor.options(after=[slow], on_error="continue").submit(int)
        last = executor.options(after=[after]).submit(clock.now)
        assert retried.result() == "done"
        assert isinstance(slow.exception(), TimeoutError)
        assert quick.result() is None
        assert after.cancelled()
        assert last.cancelled() is False
        assert tries[1] - tries[0] == 3

    found = explore(programme, max_queue_depth=3)
    assert found.seeds == 1000
    assert found.interleavings > 100


def test_a_view_submits_many_maps_and_calls_with_its_options() -> None:
    tries: list[int] = []

    def second_time(number: int) -> int:
        tries.append(number)
        if tries.count(number) < 2:
            raise ValueError(number)
        return number

    with SeededExecutor(1) as executor:
        view = executor.options(retry=2)
        assert [future.result() for future in view.submit_many(second_time, [1, 2])] == [1, 2]
        assert list(view.map(second_time, [3, 4], buffersize=1)) == [3, 4]
        assert view.call(second_time, 5) == 5


def test_a_cancelled_task_makes_room() -> None:
    with SeededExecutor(1, max_queue_depth=2, when_full="reject") as executor:
        futures = executor.submit_many(abs, [-1, -2])
        with pytest.raises(QueueFull):
            executor.submit(int)
        assert futures[0].cancel()
        assert executor.submit(int, "3").result() == 3


def test_a_task_knows_itself() -> None:
    seen: list[tuple[object, ...]] = []
    with SeededExecutor(1) as executor:
        clock = executor.clock

        def work() -> None:
            task = current_task()
            assert task is not None
            clock.sleep(2)
            task.progress(1, 4)
            seen.append((task.name, task.attempt, task.deadline, task.time_left, task.cancelled))

        future = executor.options(name="load", deadline=10).submit(work)
        executor.submit(work).result()
        assert future.result() is None
        assert (future.name, future.progress) == ("load", (1.0, 4.0))
    assert ("load", 1, 10.0, 8.0, False) in seen
    assert current_task() is None


def test_a_task_knows_its_attempt_and_the_error_before() -> None:
    seen: list[tuple[int, str]] = []

    def work() -> None:
        task = current_task()
        assert task is not None
        seen.append((task.attempt, repr(task.last_error)))
        if task.attempt < 3:
            raise ValueError(task.attempt)

    with SeededExecutor(1) as executor:
        executor.options(retry=3).submit(work).result()
    assert seen == [(1, "None"), (2, "ValueError(1)"), (3, "ValueError(2)")]


def test_a_coroutine_knows_itself() -> None:
    seen: list[tuple[object, ...]] = []

    async def work() -> None:
        task = current_task()
        assert task is not None
        task.progress(1)
        task.checkpoint()
        seen.append((task.name.rpartition(".")[2], task.attempt, task.deadline))

    with SeededExecutor(1) as executor:
        executor.run_coroutine(work)
    assert seen == [("work", 1, None)]


def test_a_child_is_not_taken_for_its_parent() -> None:
    def name() -> str:
        task = current_task()
        assert task is not None
        return task.name

    with SeededExecutor(1) as executor:

        def parent() -> tuple[str, str]:
            return name(), executor.options(name="child").submit(name).result()

        assert executor.options(name="parent").submit(parent).result() == ("parent", "child")


@pytest.mark.parametrize("seed", SEEDS)
def test_an_interrupt_strikes_where_a_task_waits(seed: int) -> None:
    """Whatever it waits for: a shield keeps its token away, and no interrupt."""
    ended: list[float] = []
    with SeededExecutor(seed, cancel="interrupt") as executor:
        clock = executor.clock

        def deaf() -> None:
            with CancelScope(shield=True):
                try:
                    for _ in range(10):
                        clock.sleep(10)
                finally:
                    ended.append(clock.now())

        future = executor.submit(deaf)
        clock.sleep(15)
        assert future.cancel() is False
        with pytest.raises(concurrent.futures.CancelledError):
            future.result()
    assert ended == [20]


def test_a_timeout_interrupts_as_well() -> None:
    ended: list[float] = []
    with SeededExecutor(1, cancel="interrupt") as executor:
        clock = executor.clock

        def deaf() -> None:
            with CancelScope(shield=True):
                try:
                    for _ in range(10):
                        clock.sleep(10)
                finally:
                    ended.append(clock.now())

        future = executor.options(timeout=15).submit(deaf)
        assert isinstance(future.exception(), TimeoutError)
        assert clock.now() == 15
    assert ended == [20]


def test_an_interrupt_does_not_reach_the_next_task() -> None:
    with SeededExecutor(1, cancel="interrupt") as executor:

        def gives_itself_up() -> None:
            futures[0].cancel()

        futures = [executor.submit(gives_itself_up)]
        executor.run_until_idle()
        assert executor.submit(executor.clock.sleep, 1).result() is None
