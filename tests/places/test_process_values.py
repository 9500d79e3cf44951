"""Values, errors and arguments of tasks in processes are what they are in a thread."""

from __future__ import annotations

import contextvars
import traceback

import numpy as np
import process_tasks as tasks
import pytest
from taskloom.errors import RemoteError
from taskloom.places.process import ProcessPlace


def test_a_value_comes_back_from_another_process(place: ProcessPlace) -> None:
    import os

    assert place.submit(tasks.pid).result() != os.getpid()


def test_keyword_arguments_reach_the_function(place: ProcessPlace) -> None:
    assert place.submit(int, ("ff",), {"base": 16}).result() == 255


def test_a_closure_and_a_lambda_can_be_sent(place: ProcessPlace) -> None:
    factor = 3
    assert place.submit(lambda number: number * factor, (4,)).result() == 12


def test_an_instance_of_a_local_class_comes_back_as_that_class(place: ProcessPlace) -> None:
    class Point:
        def __init__(self, x: int) -> None:
            self.x = x

    back = place.submit(lambda point: Point(point.x + 1), (Point(1),)).result()
    assert type(back) is Point
    assert back.x == 2


def test_an_error_keeps_its_type_and_arguments(place: ProcessPlace) -> None:
    error = place.submit(int, ("x",)).exception()
    assert type(error) is ValueError
    assert error.args == ("invalid literal for int() with base 10: 'x'",)


def test_an_error_leads_to_the_line_of_the_task(place: ProcessPlace) -> None:
    error = place.submit(tasks.raise_key_error_from_here).exception()
    entry = traceback.extract_tb(error.__traceback__)[-1]
    assert entry.filename == tasks.__file__
    assert entry.name == "raise_key_error_from_here"
    assert entry.line == 'raise ValueError("no such entry") from error'


def test_an_error_names_its_process_in_a_note(single: ProcessPlace) -> None:
    pid = single.submit(tasks.pid).result()
    error = single.submit(int, ("x",)).exception()
    assert error.__notes__ == [f"raised in process {pid}"]


def test_the_cause_of_an_error_comes_with_it(place: ProcessPlace) -> None:
    error = place.submit(tasks.raise_key_error_from_here).exception()
    assert type(error.__cause__) is KeyError
    assert error.__cause__.args == ("missing",)


def test_an_error_whose_init_takes_other_arguments_comes_back(place: ProcessPlace) -> None:
    error = place.submit(tasks.raise_awkward).exception()
    assert type(error) is tasks.Awkward
    assert (str(error), error.code) == ("7: seven", 7)


def test_an_error_that_cannot_be_pickled_is_quoted(place: ProcessPlace) -> None:
    error = place.submit(tasks.raise_unpicklable).exception()
    assert type(error) is RemoteError
    assert str(error) == "ValueError: carries a lock"
    assert traceback.extract_tb(error.__traceback__)[-1].name == "raise_unpicklable"


def test_system_exit_is_an_error_of_the_task(single: ProcessPlace) -> None:
    pid = single.submit(tasks.pid).result()
    assert type(single.submit(tasks.leave, (3,)).exception()) is SystemExit
    assert single.submit(tasks.pid).result() == pid


def test_a_value_that_cannot_be_pickled_fails_its_task_alone(single: ProcessPlace) -> None:
    pid = single.submit(tasks.pid).result()
    error = single.submit(tasks.generator).exception()
    assert type(error) is TypeError
    assert "the task's value could not be sent from its process" in error.__notes__
    assert single.submit(tasks.pid).result() == pid


def test_a_value_that_does_not_load_fails_its_task_alone(single: ProcessPlace) -> None:
    failed = single.submit(tasks.value_that_does_not_load)
    after = single.submit(tasks.give, (1,))
    assert type(failed.exception()) is LookupError
    assert after.result() == 1


def test_an_argument_that_cannot_be_pickled_fails_its_task(place: ProcessPlace) -> None:
    error = place.submit(tasks.give, (tasks.generator(),)).exception()
    assert type(error) is TypeError
    assert error.__notes__[-1] == "task 'give' could not be sent to a process"


def test_a_function_that_the_process_cannot_import_fails_its_task(
    place: ProcessPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys
    import types

    module = types.ModuleType("only_here")
    exec("def function(): pass", module.__dict__)
    monkeypatch.setitem(sys.modules, "only_here", module)
    error = place.submit(module.function).exception()
    assert type(error) is ModuleNotFoundError
    assert "the task could not be loaded in its process" in error.__notes__


@pytest.mark.parametrize("size", [10, 1_000, 300_000])
def test_an_array_comes_back_equal_and_writable(place: ProcessPlace, size: int) -> None:
    array = np.arange(size, dtype=np.float64)
    back = place.submit(tasks.give, (array,)).result()
    assert np.array_equal(array, back)
    back[0] = 7


def test_a_task_works_on_its_own_copy_of_an_array(place: ProcessPlace) -> None:
    array = np.zeros(100_000)
    assert place.submit(tasks.add_one, (array,)).result()[0] == 1
    assert array[0] == 0


@pytest.mark.parametrize("writable", [True, False])
def test_an_array_is_as_writable_in_the_process_as_outside(
    place: ProcessPlace, writable: bool
) -> None:
    array = np.zeros(100_000)
    array.flags.writeable = writable
    assert place.submit(tasks.is_writable, (array,)).result() is writable


def test_named_context_variables_travel_as_of_the_submit() -> None:
    with ProcessPlace(1, process_context=[tasks.request_id]) as place:
        token = tasks.request_id.set("first")
        future = place.submit(tasks.get_request_id)
        tasks.request_id.reset(token)
        assert future.result() == "first"
        assert place.submit(tasks.get_request_id).result() == "none"


def test_a_task_does_not_see_context_that_the_one_before_it_set(single: ProcessPlace) -> None:
    single.submit(tasks.set_request_id, ("left behind",)).result()
    assert single.submit(tasks.get_request_id).result() == "none"


def test_a_context_variable_that_no_module_has_is_refused() -> None:
    nameless: contextvars.ContextVar[int] = contextvars.ContextVar("nameless")
    with pytest.raises(ValueError, match="no imported module has as an attribute"):
        ProcessPlace(1, process_context=[nameless])
