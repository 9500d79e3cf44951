"""Names that a state graph reserves: in its edges, in its checkpoints, in its tasks.

The stored names are LangGraph's, so that a thread saved by either can be resumed by the other.
"""

from typing import Any, Final

START: Final = "__start__"
"""The virtual node that a run enters by; it copies the input into the state."""
END: Final = "__end__"
"""The virtual node that a branch goes to when nothing follows."""
TAG_HIDDEN: Final = "langsmith:hidden"
"""A node with this tag is left out of streams and interrupts."""
TAG_NOSTREAM: Final = "nostream"
"""A node with this tag emits nothing in the `messages` stream mode."""

# Cells that are no state: written by tasks, kept in checkpoints as pending writes.
INPUT: Final = "__input__"
INTERRUPT: Final = "__interrupt__"
RESUME: Final = "__resume__"
ERROR: Final = "__error__"
ERROR_SOURCE_NODE: Final = "__error_source_node__"
NO_WRITES: Final = "__no_writes__"
SCHEDULED: Final = "__scheduled__"
TASKS: Final = "__pregel_tasks"
RETURN: Final = "__return__"
PREVIOUS: Final = "__previous__"
PUSH: Final = "__pregel_push"
PULL: Final = "__pregel_pull"
OVERWRITE: Final = "__overwrite__"
ROOT: Final = "__root__"
BRANCH_TO: Final = "branch:to:"

NS_SEP: Final = "|"
NS_END: Final = ":"
CONF: Final = "configurable"
NULL_TASK_ID: Final = "00000000-0000-0000-0000-000000000000"

# Keys of `configurable`.
THREAD_ID: Final = "thread_id"
CHECKPOINT_ID: Final = "checkpoint_id"
CHECKPOINT_NS: Final = "checkpoint_ns"
CHECKPOINT_MAP: Final = "checkpoint_map"
CHECKPOINTER_KEY: Final = "__pregel_checkpointer"
PARENT_KEY: Final = "__pregel_task"
RUNTIME_KEY: Final = "__pregel_runtime"
TASK_ID_KEY: Final = "__pregel_task_id"
DURABILITY_KEY: Final = "__pregel_durability"
NODE_FINISHED_KEY: Final = "__pregel_node_finished"
READ_KEY: Final = "__pregel_read"
STRICT_RESUME_KEY: Final = "__pregel_strict_resume"
SEND_KEY: Final = "__pregel_send"

COORDINATES: Final = (THREAD_ID, CHECKPOINT_NS, CHECKPOINT_ID, CHECKPOINT_MAP)

# Writes that say how a task ended; they never reach a cell.
SIGNALS_ONLY: Final = frozenset(
    (NO_WRITES, PUSH, RESUME, INTERRUPT, RETURN, ERROR, ERROR_SOURCE_NODE)
)
# Of these a task has one each: a later one replaces an earlier one.
SINGULAR: Final = frozenset((ERROR, SCHEDULED, INTERRUPT, RESUME))

RESERVED: Final = frozenset(
    (
        TAG_HIDDEN,
        INPUT,
        INTERRUPT,
        RESUME,
        ERROR,
        ERROR_SOURCE_NODE,
        NO_WRITES,
        PUSH,
        PULL,
        NS_SEP,
        NS_END,
        CONF,
        CHECKPOINT_MAP,
        CHECKPOINT_ID,
        CHECKPOINT_NS,
        CHECKPOINTER_KEY,
        PARENT_KEY,
        RUNTIME_KEY,
        TASK_ID_KEY,
        DURABILITY_KEY,
    )
)

DEFAULT_RECURSION_LIMIT: Final = 10007


def __getattr__(name: str) -> Any:
    # Programs for LangGraph's first releases import these two from here; looked up when asked for,
    # since `types` stands above.
    if name not in ("Send", "Interrupt"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__package__}.types"), name)
