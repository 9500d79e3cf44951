"""One run of one node in one superstep.

A task is made for every due node, so it begins as a handful of references. What only some nodes
ask for (its id, its namespace, its config and runtime, answers to interrupts) is made when asked.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from taskloom._forking import lock_across_forks
from taskloom.pregel.config import checkpoint_metadata_of
from taskloom.pregel.constants import (
    CHECKPOINT_ID,
    CHECKPOINT_MAP,
    CHECKPOINT_NS,
    CHECKPOINTER_KEY,
    NS_END,
    NS_SEP,
    PARENT_KEY,
    PULL,
    PUSH,
    READ_KEY,
    RESUME,
    RUNTIME_KEY,
    SEND_KEY,
    TASK_ID_KEY,
)
from taskloom.pregel.errors import GraphInterrupt, NodeError
from taskloom.pregel.ids import digest, first_task_id, path_text, task_id
from taskloom.pregel.missing import MISSING
from taskloom.pregel.runtime import ExecutionInfo, Runtime, no_heartbeat
from taskloom.pregel.types import Interrupt, RunnableConfig, StreamWriter

if TYPE_CHECKING:
    from taskloom.pregel.callee import Injected
    from taskloom.pregel.checkpoint.memory.line import Names
    from taskloom.pregel.loop import Loop
    from taskloom.pregel.policy import CacheKey, TimeoutPolicy
    from taskloom.pregel.program import CompiledNode

_PUSH_TRIGGER = (PUSH,)
_lock = lock_across_forks()


class Task:
    """One run of one node.

    Args:
        loop: the run.
        node: what to run.
        input: what the node is given.
        index: its place among the superstep's sends, or -1 for a node that a cell made due.
    """

    # Rarely set, so kept on the class until they are.
    parent: Task | None = None  # the task that called it (functional API)
    failed: Task | None = None  # the task whose failure it handles
    error: BaseException | None = None
    node_error: NodeError | None = None
    timeout: TimeoutPolicy | None = None
    cache_key: CacheKey | None = None
    attempt = 1
    first_attempt_time: float | None = None
    retried = False
    cached = False
    future: Any = None
    stream_guard: Any = None
    traced: Any = None  # the attempt, as LangChain's callbacks see it
    progress: Callable[[], None] | None = None  # told of writes, calls and nested streams
    heartbeat: Any = staticmethod(no_heartbeat)
    _id: str | None = None
    _ns: str | None = None
    _config: RunnableConfig | None = None
    _runtime: Runtime[Any] | None = None
    _answers: list[Any] | None = None
    asked = 0  # questions so far
    _calls = 0
    _subgraphs = 0

    def __init__(self, loop: Loop, node: CompiledNode, input: Any, index: int = -1) -> None:
        self.loop = loop
        self.node = node
        self.name = node.name
        self.input = input
        self.index = index
        self.triggers = node.triggers if index < 0 else _PUSH_TRIGGER
        self.writes: list[tuple[str, Any]] = []

    # Identity

    @property
    def path(self) -> tuple[Any, ...]:
        """Where the task comes from; tasks are applied in the order of their paths."""
        if self.failed is not None:
            return (*self.failed.path[:3], "node_error_handler", False)
        if self.parent is not None:
            return (PUSH, self.parent.path, self.index, True)
        return (PULL, self.name) if self.index < 0 else (PUSH, self.index, False)

    @property
    def path_text(self) -> str:
        """The path as text, by which savers order tasks."""
        if self.index < 0 and self.failed is None and self.parent is None:
            return self.node.path_text
        return path_text(self.path)

    @property
    def id(self) -> str:
        """Names the task: the same in a run resumed from the same checkpoint."""
        if self._id is None:
            loop = self.loop
            scope = self._scope()
            start = (loop.checkpoint_id, scope, str(loop.step), self.name)
            named = first_task_id if loop.first_format else task_id
            if self.failed is not None:
                self._id = named(*start, PUSH, "node_error_handler", self.failed.id)
            elif self.parent is not None:
                self._id = named(*start, PUSH, path_text(self.parent.path), str(self.index))
            elif self.index < 0:
                self._id = named(*start, self.node.id_text)
            else:
                self._id = named(*start, PUSH, str(self.index))
        return self._id

    @property
    def names(self) -> Names:
        """The path, and the id or, if nobody has asked for it yet, what it is made of."""
        if self._id is not None or self.index >= 0 or self.failed or self.parent:
            return self.names_by_id
        loop, node, name = self.loop, self.node, self.name
        if loop.first_format:
            return self.names_by_id
        around = loop.ns
        scope = f"{around}{NS_SEP}{name}" if around else name
        return (node.path_text, scope, loop.step, name, node.id_text)

    @property
    def names_by_id(self) -> Names:
        """The path and the id."""
        return (self.path_text, self.id, None, None, None)

    def set_id(self, id: str) -> None:
        """Take the id of a task of an earlier run."""
        self._id = id

    def _scope(self) -> str:
        around = self.parent.ns if self.parent is not None else self.loop.ns
        return f"{around}{NS_SEP}{self.name}" if around else self.name

    @property
    def ns(self) -> str:
        """The namespace of a graph that the task runs: the tasks on the way, with their ids."""
        if self._ns is None:
            self._ns = f"{self._scope()}{NS_END}{self.id}"
        return self._ns

    def reserve_subgraph(self) -> int:
        """The number of the next graph that the task runs."""
        with _lock:
            index = self._subgraphs
            self._subgraphs += 1
        return index

    def reserve_call(self) -> int:
        """The number of the next task that this task calls."""
        with _lock:
            index = self._calls
            self._calls += 1
        return index

    def restart(self) -> None:
        """Prepare for another attempt."""
        self.writes = []
        self.traced = None
        self._config = None
        self._runtime = None
        self.asked = self._calls = self._subgraphs = 0

    # What a node may ask for

    def inject(self, injected: Injected) -> dict[str, Any]:
        """The keyword arguments that the engine provides."""
        return {name: provide(self) for name, provide in injected}

    @property
    def metadata(self) -> dict[str, Any]:
        """What is known about the task, for streams and tracing."""
        loop = self.loop
        return {
            **checkpoint_metadata_of(loop.config),
            "langgraph_step": loop.step,
            "langgraph_node": self.name,
            "langgraph_triggers": self.triggers,
            "langgraph_path": self.path,
            "langgraph_checkpoint_ns": self.ns,
            **self.node.metadata,
        }

    @property
    def config(self) -> RunnableConfig:
        """The run's config as it is for this task."""
        if self._config is None:
            loop = self.loop
            base = loop.config
            configurable = base.get("configurable") or {}
            around = configurable.get(CHECKPOINT_MAP) or {}
            config: RunnableConfig = {
                **base,
                "tags": [*(base.get("tags") or ()), *self.node.tags],
                "metadata": self.metadata,
                "run_name": self.name,
                "configurable": {
                    **configurable,
                    TASK_ID_KEY: self.id,
                    CHECKPOINTER_KEY: loop.saver,
                    CHECKPOINT_MAP: {**around, loop.ns: loop.checkpoint_id},
                    CHECKPOINT_ID: None,
                    CHECKPOINT_NS: self.ns,
                    PARENT_KEY: self,
                    RUNTIME_KEY: self.runtime,
                    SEND_KEY: self.send,
                    READ_KEY: self.read,
                },
            }
            if self.traced is not None:
                config["callbacks"] = self.traced.get_child()
                del config["run_name"]
                config.pop("run_id", None)
            self._config = config
        return self._config

    @property
    def execution_info(self) -> ExecutionInfo:
        """Where in the run the task is."""
        loop = self.loop
        run_id = loop.config.get("run_id")
        if self.first_attempt_time is None:
            self.first_attempt_time = time.time()
        return ExecutionInfo(
            checkpoint_id=loop.checkpoint_id,
            checkpoint_ns=self.ns,
            task_id=self.id,
            thread_id=loop.thread_id,
            run_id=None if run_id is None else str(run_id),
            node_attempt=self.attempt,
            node_first_attempt_time=self.first_attempt_time,
        )

    @property
    def runtime(self) -> Runtime[Any]:
        """What a node with a parameter `runtime` is given."""
        if self._runtime is None:
            loop = self.loop
            previous = loop.previous
            self._runtime = Runtime(
                context=loop.context,
                store=loop.store,
                stream_writer=self.stream_writer,
                heartbeat=self.heartbeat,
                previous=None if previous is MISSING else previous,
                execution_info=self.execution_info,
                server_info=loop.server_info,
                control=loop.control,
            )
        return self._runtime

    @property
    def stream_writer(self) -> StreamWriter:
        """Emits its argument in the `custom` stream mode."""
        writer = self.loop.writer_for(self)
        guard = self.stream_guard
        return writer if guard is None else guard(writer)

    def send(self, writes: Any) -> None:
        """Append writes from within the node."""
        self.writes.extend(writes)

    def read(self, select: Any, fresh: bool = False) -> Any:
        """Read cells from within the node; with `fresh`, as its writes so far leave them."""
        cells = self.loop.cells
        return cells.read_fresh(select, self.writes) if fresh else cells.read(select)

    # Interrupts

    def interrupt(
        self, value: Any, schema: Any = None, check: Callable[[Any], Any] | None = None
    ) -> Any:
        """The answer to the task's next question, or a `GraphInterrupt` if there is none yet."""
        answers = self._answers
        if answers is None:
            answers = self._answers = self.loop.answers_for(self)
        index = self.asked
        self.asked += 1
        if index >= len(answers):
            answer = self.loop.take_answer()
            if answer is None:
                asked = Interrupt(value, self.question_id(len(answers)), schema)
                raise GraphInterrupt((asked,))
            answers.append(answer)
        answer = answers[index] if check is None else check(answers[index])
        self.writes.append((RESUME, answers[: index + 1]))
        return answer

    def only_answered(self) -> bool:
        """Whether a task that has asked has written nothing but what it was answered."""
        return all(key == RESUME for key, _ in self.writes)

    def question_id(self, answered: int) -> str:
        """The id of the question that the task asks after `answered` answers."""
        return digest(f"{self.ns}{NS_SEP}{answered}" if answered else self.ns)

    def __repr__(self) -> str:
        return f"<task of node {self.name!r} in superstep {self.loop.step}>"
