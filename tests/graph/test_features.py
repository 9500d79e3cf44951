"""Each feature that others' graphs have is shown by a test named after it, and by an example.

The tests say that it works, the examples how it is used; both run. A row names the feature, its
test, and what to look for in which example.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

TESTS = Path(__file__).resolve().parent
EXAMPLES = TESTS.parent.parent / "examples"


class Row(NamedTuple):
    feature: str
    test: str
    example: str
    shown: str


PLEXUS = [
    Row("bake", "bake_once_run_often", "plan_reuse.py", "g.compile("),
    Row(
        "read after write", "edges_are_inferred_for_a_read_after_a_write", "access_modes.py", "max,"
    ),
    Row(
        "write after write",
        "edges_are_inferred_for_a_write_after_a_write",
        "access_modes.py",
        "g.add(fill, buffer, 1)",
    ),
    Row(
        "write after read",
        "edges_are_inferred_for_a_write_after_a_read",
        "access_modes.py",
        "add(order, buffer)",
    ),
    Row("run_after", "run_after_and_run_before", "ordering.py", ".after("),
    Row("run_before", "run_after_and_run_before", "ordering.py", ".before("),
    Row(
        "effective priority",
        "effective_priority_is_that_of_the_user_then_of_the_path_and_the_descendants",
        "priorities.py",
        "priority=1",
    ),
    Row("error policies", "three_error_policies", "failure_policies.py", '"cancel_run"'),
    Row("main-thread affinity", "main_thread_affinity", "caller_place.py", 'place="caller"'),
    Row(
        "synchronous, parallel or in sequence",
        "synchronous_and_asynchronous_execution_in_parallel_and_in_sequence",
        "plan_reuse.py",
        '("serial", "parallel", "auto")',
    ),
    Row(
        "asynchronous",
        "synchronous_and_asynchronous_execution_in_parallel_and_in_sequence",
        "plan_reuse.py",
        "executor.start(plan",
    ),
    Row("batch dispatch", "batch_dispatch", "batches.py", "submit_many("),
    Row("pooled task nodes", "nodes_of_a_plan_are_reused_by_its_runs", "batches.py", "range(3)"),
    Row("worker index and count", "worker_index_and_count", "plan_reuse.py", "worker_index()"),
    Row("profiler callback", "a_profiler_is_called_back", "plan_reuse.py", "on_event="),
    Row("text dump", "text_dump_of_the_baked_graph", "priorities.py", "plan.dump()"),
]

YORCH = [
    Row(
        "a tree compiled to a plan",
        "a_tree_is_compiled_to_a_plan_that_runs_many_times",
        "trees.py",
        ".compile(",
    ),
    Row(
        "context by type",
        "an_argument_comes_from_the_context_by_type",
        "context_values.py",
        "from_context(",
    ),
    Row("stored value", "an_argument_is_a_stored_value", "trees.py", ".child("),
    Row("borrowed", "the_output_of_the_parent_is_borrowed", "trees.py", ".child("),
    Row("mutably borrowed", "the_output_of_the_parent_is_mutably_borrowed", "trees.py", "write("),
    Row("copied", "the_output_of_the_parent_is_copied", "trees.py", "copy("),
    Row("consumed", "the_output_of_the_parent_is_consumed", "trees.py", "take("),
    Row("direct output", "a_direct_output_task_hands_on_what_it_returns", "trees.py", ".then("),
    Row(
        "forward prev",
        "a_forward_prev_task_hands_on_the_object_of_its_parent",
        "trees.py",
        "forward(",
    ),
    Row(
        "fan-out rules",
        "fan_out_rules_are_checked_when_the_tree_is_built",
        "trees.py",
        "refused:",
    ),
    Row("one to one slots", "one_to_one_slots_keep_every_output", "lifetimes.py", '"one_to_one"'),
    Row(
        "compact slots",
        "compact_slots_free_an_output_after_its_last_reader",
        "lifetimes.py",
        "except ValueFreedError",
    ),
    Row("depth first", "a_serial_run_is_depth_first", "lifetimes.py", 'mode="serial"'),
    Row("no recursion", "a_serial_run_needs_no_recursion", "lifetimes.py", "4096"),
    Row("success", "a_result_is_success", "flow_control.py", ".ok"),
    Row(
        "failure",
        "a_result_is_failure_and_only_its_subtree_is_skipped",
        "failure_policies.py",
        "skipped",
    ),
    Row("retry", "a_result_is_retry", "flow_control.py", "RetryTask"),
    Row("abort branch", "a_result_is_abort_branch", "flow_control.py", "AbortBranch"),
    Row("abort execution", "a_result_is_abort_execution", "flow_control.py", "AbortRun"),
    Row("catching adapter", "an_adapter_catches_exceptions", "flow_control.py", "catch("),
    Row("retrying adapter", "an_adapter_retries", "failure_policies.py", "Retry(3"),
]

TASK_SYSTEM = [
    Row("depends_on", "depends_on", "depends_on.py", "depends_on("),
    Row("with_combiner", "with_combiner", "depends_on.py", "combiner="),
    Row(
        "values freed when their last reader is done",
        "values_are_freed_when_their_last_reader_is_done",
        "lifetimes.py",
        "most_alive",
    ),
    Row(
        "types checked when an edge is made",
        "types_are_checked_when_an_edge_is_made",
        "edge_types.py",
        "check_types=",
    ),
    Row("parallel", "parallel", "batches.py", "g.map("),
    Row("map", "map", "patterns.py", "g.map("),
    Row("reduce", "reduce", "patterns.py", "g.reduce("),
    Row("fold", "fold", "patterns.py", "functools.reduce"),
    Row("fan out", "fan_out", "patterns.py", "g.map(operator.getitem, numbers"),
    Row("fan in", "fan_in", "patterns.py", "# fan in"),
    Row("aggregate", "aggregate", "patterns.py", "g.add(max, sums)"),
    Row("partition", "partition", "patterns.py", "g.partition("),
    Row("concat", "concat", "patterns.py", "g.concat("),
]

TABLE = [
    *(("test_plexus_features.py", row) for row in PLEXUS),
    *(("test_yorch_features.py", row) for row in YORCH),
    *(("test_task_system_patterns.py", row) for row in TASK_SYSTEM),
]


@pytest.mark.parametrize(("file", "row"), TABLE, ids=lambda part: getattr(part, "feature", ""))
def test_the_feature_has_a_test_and_an_example(file: str, row: Row) -> None:
    tests = (TESTS / file).read_text()
    assert re.search(rf"^def test_{row.test}\(", tests, re.MULTILINE), f"no such test in {file}"
    assert row.shown in (EXAMPLES / row.example).read_text(), f"not in examples/{row.example}"


@pytest.mark.parametrize("file", sorted({file for file, _ in TABLE}))
def test_each_test_of_a_feature_stands_in_the_table(file: str) -> None:
    there = set(re.findall(r"^def test_(\w+)\(", (TESTS / file).read_text(), re.MULTILINE))
    extra = {"errors_come_out_as_one_group", "scatter_and_gather", "a_window_on_concurrency"}
    assert there - extra == {row.test for name, row in TABLE if name == file}
