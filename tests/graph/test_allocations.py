"""What runs of one plan ask of the memory allocator, counted below Python and the engine alike."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

COUNTER = r"""
#define _GNU_SOURCE
#include <stddef.h>
#include <errno.h>
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
static unsigned long calls;
unsigned long allocations(void) { return __atomic_load_n(&calls, __ATOMIC_RELAXED); }
static void count(void) { __atomic_fetch_add(&calls, 1, __ATOMIC_RELAXED); }
void *malloc(size_t size) { count(); return __libc_malloc(size); }
void *calloc(size_t n, size_t size) { count(); return __libc_calloc(n, size); }
void *realloc(void *old, size_t size) { count(); return __libc_realloc(old, size); }
void *aligned_alloc(size_t to, size_t size) { count(); return __libc_memalign(to, size); }
int posix_memalign(void **out, size_t to, size_t size) {
    count();
    return (*out = __libc_memalign(to, size)) ? 0 : ENOMEM;
}
"""

#: Prints how often memory was asked for in each of a hundred runs, in the mean, of a graph of ten
#: nodes and of one of two thousand more.
PROGRAM = """
import ctypes, gc, operator, sys
import taskloom

shape, mode = sys.argv[1:]
allocations = ctypes.CDLL(None).allocations
allocations.restype = ctypes.c_ulong

def plan(nodes):
    g = taskloom.Graph()
    node = first = g.add(bool)
    for _ in range(nodes - 1):
        if shape == "making":
            g.add(object)
        else:
            node = g.add(operator.not_, node if shape == "chain" else first)
    if shape == "joined":
        g.add(max, *g.nodes)
    return g.compile()

def in_a_run(plan):
    with taskloom.Executor(1) as executor:
        for _ in range(20):
            executor.run(plan, mode=mode)
        gc.collect()
        gc.disable()
        before = allocations()
        for _ in range(100):
            executor.run(plan, mode=mode)
        gc.enable()
        return (allocations() - before) / 100

print(in_a_run(plan(10)), in_a_run(plan(2_010)))
"""

# Without a GIL Python has an allocator of its own, which is not seen here; the engine's is.
SEES_PYTHON = not sysconfig.get_config_var("Py_GIL_DISABLED")

pytestmark = pytest.mark.skipif(
    sys.platform != "linux"
    or shutil.which("cc") is None
    or os.confstr("CS_GNU_LIBC_VERSION") is None,
    reason="counts what goes through glibc's malloc, with a library that a C compiler makes",
)


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder: Path = tmp_path_factory.mktemp("allocations")
    (folder / "counter.c").write_text(COUNTER)
    library = folder / "counter.so"
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-O1", "-o", library, folder / "counter.c"], check=True
    )

    def allocations(shape: str, mode: str) -> tuple[float, float]:
        """How often a run of few nodes asks for memory, and one of many."""
        environment = {**os.environ, "LD_PRELOAD": str(library)}
        if SEES_PYTHON:
            environment["PYTHONMALLOC"] = "malloc"
        found = subprocess.run(
            [sys.executable, "-c", PROGRAM, shape, mode],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        few, many = map(float, found.stdout.split())
        return few, many

    return allocations


@pytest.mark.parametrize("mode", ["serial", "parallel"])
@pytest.mark.parametrize("shape", ["chain", "wide", "joined"])
def test_a_run_asks_for_memory_as_often_for_few_nodes_as_for_many(
    counted: Any, shape: str, mode: str
) -> None:
    few, many = counted(shape, mode)
    assert few > 0
    # One for each node would be two thousand more. Without a GIL the queues of ready nodes grow and
    # shrink by doubling: a few dozen.
    assert abs(many - few) < 200


@pytest.mark.skipif(not SEES_PYTHON, reason="objects are made by an allocator that is not seen")
def test_what_nodes_make_themselves_is_counted(counted: Any) -> None:
    few, many = counted("making", "serial")
    assert many > few + 1_900
